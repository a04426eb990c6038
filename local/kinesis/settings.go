package kinesis

import (
	"maps"
	"slices"
)

// settings are what a stream's owner may change. A value is never changed once
// it is in a stream: change makes a new one. Its JSON form is part of stream.json.
type settings struct {
	Retention int  `json:"retention_hours"`
	RecordKiB int  `json:"record_kib"`
	OnDemand  bool `json:"on_demand,omitempty"`
	// Auto says that records are distributed whatever their keys, which are
	// forgotten (RecordDistributionStrategy AUTO, on-demand streams only).
	Auto bool `json:"auto,omitempty"`
	// Warm is WarmThroughputMiBps, 0 without. It is stored and told, no more.
	Warm int `json:"warm_mibps,omitempty"`
	// KeyID is the KMS key of an encrypted stream. Nothing is encrypted here;
	// answers say KMS.
	KeyID string `json:"key_id,omitempty"`
	// Metrics are the shard-level metrics that were enabled; none are measured.
	Metrics []string          `json:"metrics,omitempty"`
	Tags    map[string]string `json:"tags,omitempty"`
	Policy  string            `json:"policy,omitempty"`
}

func (set settings) encryption() string {
	if set.KeyID != "" {
		return "KMS"
	}
	return ""
}

func (set settings) mode() streamMode {
	if set.OnDemand {
		return streamMode{"ON_DEMAND"}
	}
	return streamMode{"PROVISIONED"}
}

// The values of RecordDistributionStrategy; the first is settings.Auto.
var distributions = []string{"AUTO", "USER_PARTITION_KEY"}

func (set settings) distribution() string {
	if set.Auto {
		return distributions[0]
	}
	return distributions[1]
}

type warmThroughput struct{ TargetMiBps, CurrentMiBps int }

// warm is nil for a stream without.
func (set settings) warm() *warmThroughput {
	if set.Warm == 0 {
		return nil
	}
	return &warmThroughput{set.Warm, set.Warm}
}

// warmMax is 10 GiB a second (API reference, UpdateStreamWarmThroughput).
const warmMax = 10 << 10

// shardMetrics are the values of ShardLevelMetrics but for ALL.
var shardMetrics = []string{
	"IncomingBytes", "IncomingRecords", "OutgoingBytes", "OutgoingRecords",
	"WriteProvisionedThroughputExceeded", "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds",
}

// metrics is never nil: a list without members is written as one.
func (set settings) metrics() []string { return append([]string{}, set.Metrics...) }

// clone is a copy that shares nothing.
func (set settings) clone() settings {
	set.Metrics, set.Tags = slices.Clone(set.Metrics), maps.Clone(set.Tags)
	return set
}
