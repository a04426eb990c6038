package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"encoding/json"
	"time"
)

// Bounds of requests.
const (
	ShardsMax = 10000 // shards of one CreateStream; AWS has a quota per account
	pageMax   = 10000 // greatest Limit of a listing
)

func (s *Server) createStream(c *call) (any, error) {
	var in struct {
		StreamName                 *string
		ShardCount                 *int64
		MaxRecordSizeInKiB         *int64
		StreamModeDetails          *modeDetails
		RecordDistributionStrategy *string
		WarmThroughputMiBps        *int64
		Tags                       map[string]string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	v.text(in.StreamName, "streamName", true, 1, 128, namePattern)
	v.number(in.ShardCount, "shardCount", false, 1, ShardsMax)
	v.number(in.MaxRecordSizeInKiB, "maxRecordSizeInKiB", false, recordKiB, recordKiBMax)
	in.StreamModeDetails.check(&v, false)
	v.enum(in.RecordDistributionStrategy, "recordDistributionStrategy", false, distributions...)
	v.number(in.WarmThroughputMiBps, "warmThroughputMiBps", false, 0, warmMax)
	v.tags(in.Tags)
	if err := v.err(); err != nil {
		return nil, err
	}
	set := settings{Retention: retentionMin, RecordKiB: recordKiB, Tags: in.Tags}
	count := onDemandParts
	set.OnDemand = in.StreamModeDetails.onDemand() || in.ShardCount == nil
	if !set.OnDemand {
		count = int(*in.ShardCount)
	}
	if in.MaxRecordSizeInKiB != nil {
		set.RecordKiB = int(*in.MaxRecordSizeInKiB)
	}
	if in.WarmThroughputMiBps != nil {
		set.Warm = int(*in.WarmThroughputMiBps)
	}
	set.Auto = text(in.RecordDistributionStrategy) == distributions[0]
	if (set.Auto || set.Warm > 0) && !set.OnDemand {
		return nil, notOnDemand(*in.StreamName, s.cfg.Account)
	}
	return nil, s.create(*in.StreamName, count, set)
}

// A modeDetails is StreamModeDetails of a request; nil when absent.
type modeDetails struct{ StreamMode *string }

func (m *modeDetails) check(v *violations, required bool) {
	switch {
	case m != nil:
		v.enum(m.StreamMode, "streamModeDetails.streamMode", true, "PROVISIONED", "ON_DEMAND")
	case required:
		v.add(nil, "streamModeDetails", "not be null")
	}
}

func (m *modeDetails) onDemand() bool { return m != nil && text(m.StreamMode) == "ON_DEMAND" }

func (s *Server) deleteStream(c *call) (any, error) {
	var in struct {
		streamRef
		EnforceConsumerDeletion *bool
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.find(in.streamRef, c.now)
	if err != nil {
		return nil, err
	}
	now := c.now.UnixMilli()
	st.mu.Lock()
	enforced := in.EnforceConsumerDeletion != nil && *in.EnforceConsumerDeletion
	if n := len(st.consumersNow(now)); n > 0 && !enforced {
		st.mu.Unlock()
		return nil, inUse("Stream %s under account %s has %d registered consumers. Deregister them, or set EnforceConsumerDeletion.", st.name, s.cfg.Account, n)
	}
	st.changing, st.ready = deleting, c.now.Add(s.cfg.CreateDelay).UnixMilli()
	err = st.save()
	st.hangUp(streamNotFound(st.name, s.cfg.Account))
	gone := st.status(now) == ""
	st.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if gone {
		s.drop(st)
	}
	return nil, nil
}

// refer decodes a request that has nothing but its stream. With ready it must
// be ACTIVE.
func (s *Server) refer(c *call, ready bool) (*stream, error) {
	var in streamRef
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.find(in, c.now)
	if err != nil || !ready {
		return st, err
	}
	if status := st.statusNow(c.now.UnixMilli()); status != active {
		return nil, notActive(st.name, s.cfg.Account, status)
	}
	return st, nil
}

// The answers' members, in the API's names.
type (
	shardRange struct{ StartingHashKey, EndingHashKey string }
	shardShape struct {
		ShardId               string
		ParentShardId         string `json:",omitempty"`
		AdjacentParentShardId string `json:",omitempty"`
		HashKeyRange          shardRange
		SequenceNumberRange   struct {
			StartingSequenceNumber string
			EndingSequenceNumber   string `json:",omitempty"`
		}
	}
	streamMode  struct{ StreamMode string }
	monitoring  struct{ ShardLevelMetrics []string }
	streamShape struct {
		StreamName              string
		StreamARN               string
		StreamStatus            string
		StreamModeDetails       streamMode
		StreamCreationTimestamp instant
		RetentionPeriodHours    int
		EnhancedMonitoring      []monitoring
		EncryptionType          string
		KeyId                   string `json:",omitempty"`
	}
	streamSummary struct {
		StreamName              string
		StreamARN               string
		StreamStatus            string
		StreamModeDetails       streamMode
		StreamCreationTimestamp instant
	}
)

func (sh *shard) shape() shardShape {
	out := shardShape{ShardId: sh.name(), HashKeyRange: sh.hash.shape()}
	if len(sh.parents) > 0 {
		out.ParentShardId = shardName(sh.parents[0])
	}
	if len(sh.parents) > 1 {
		out.AdjacentParentShardId = shardName(sh.parents[1])
	}
	out.SequenceNumberRange.StartingSequenceNumber = sh.firstSequence().String()
	if !sh.open() {
		out.SequenceNumberRange.EndingSequenceNumber = sh.endSequence().String()
	}
	return out
}

func (r hashRange) shape() shardRange { return shardRange{r.Start.String(), r.End.String()} }

// shape is what DescribeStream and DescribeStreamSummary share; the caller
// holds mu.
func (st *stream) shape(now int64) streamShape {
	out := streamShape{
		StreamName: st.name, StreamARN: st.arn, StreamStatus: st.status(now), StreamModeDetails: st.set.mode(),
		StreamCreationTimestamp: instant(st.created), RetentionPeriodHours: st.set.Retention,
		EnhancedMonitoring: []monitoring{{ShardLevelMetrics: st.set.metrics()}},
		EncryptionType:     "NONE", KeyId: st.set.KeyID,
	}
	if out.KeyId != "" {
		out.EncryptionType = "KMS"
	}
	return out
}

// listed returns the shards a client may see: none while CREATING, and no
// expired ones. The caller holds mu.
func (st *stream) listed(now int64) []*shard {
	if st.status(now) == creating {
		return nil
	}
	horizon := st.horizon(now)
	list := make([]*shard, 0, len(st.shards))
	for _, sh := range st.shards {
		if !sh.expired(horizon) {
			list = append(list, sh)
		}
	}
	return list
}

func (s *Server) describeStream(c *call) (any, error) {
	var in struct {
		streamRef
		ExclusiveStartShardId *string
		Limit                 *int64
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.ExclusiveStartShardId, "exclusiveStartShardId", false, 1, 128, namePattern)
	v.number(in.Limit, "limit", false, 1, pageMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.find(in.streamRef, c.now)
	if err != nil {
		return nil, err
	}
	limit, after := 100, int64(-1)
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if in.ExclusiveStartShardId != nil {
		index, ok := parseShardName(*in.ExclusiveStartShardId)
		if !ok {
			return nil, notFound("Could not find shard %s in stream %s under account %s.", *in.ExclusiveStartShardId, st.name, s.cfg.Account)
		}
		after = int64(index)
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	shards, more := []shardShape{}, false
	for _, sh := range st.listed(c.now.UnixMilli()) {
		if int64(sh.index) <= after {
			continue
		}
		if more = len(shards) == limit; more {
			break
		}
		shards = append(shards, sh.shape())
	}
	type description struct {
		streamShape
		Shards        []shardShape
		HasMoreShards bool
	}
	return struct{ StreamDescription description }{
		description{st.shape(c.now.UnixMilli()), shards, more},
	}, nil
}

func (s *Server) describeStreamSummary(c *call) (any, error) {
	st, err := s.refer(c, false)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	type summary struct {
		streamShape
		OpenShardCount     int
		ConsumerCount      int
		MaxRecordSizeInKiB int
		// Of on-demand streams only.
		RecordDistributionStrategy string          `json:",omitempty"`
		WarmThroughput             *warmThroughput `json:",omitempty"`
	}
	now := c.now.UnixMilli()
	out := summary{
		streamShape: st.shape(now), OpenShardCount: len(st.routes),
		ConsumerCount: len(st.consumersNow(now)), MaxRecordSizeInKiB: st.set.RecordKiB,
	}
	if st.set.OnDemand {
		out.RecordDistributionStrategy, out.WarmThroughput = st.set.distribution(), st.set.warm()
	}
	if out.StreamStatus == creating {
		out.OpenShardCount = 0
	}
	return struct{ StreamDescriptionSummary summary }{out}, nil
}

func (s *Server) listStreams(c *call) (any, error) {
	var in struct {
		ExclusiveStartStreamName *string
		NextToken                *string
		Limit                    *int64
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	v.text(in.ExclusiveStartStreamName, "exclusiveStartStreamName", false, 1, 128, namePattern)
	v.text(in.NextToken, "nextToken", false, 1, 1<<20, "")
	v.number(in.Limit, "limit", false, 1, pageMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	after, limit := text(in.ExclusiveStartStreamName), 100
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if in.NextToken != nil {
		var token streamsToken
		if err := token.open(*in.NextToken, c.now); err != nil {
			return nil, err
		}
		after = token.After
	}
	out := struct {
		StreamNames     []string
		StreamSummaries []streamSummary
		HasMoreStreams  bool
		NextToken       string `json:",omitempty"`
	}{StreamNames: []string{}, StreamSummaries: []streamSummary{}}
	for _, st := range s.all(c.now) {
		if st.name <= after {
			continue
		}
		if len(out.StreamNames) == limit {
			out.HasMoreStreams = true
			out.NextToken = streamsToken{out.StreamNames[limit-1], c.now.UnixMilli()}.String()
			break
		}
		out.StreamNames = append(out.StreamNames, st.name)
		st.mu.RLock()
		out.StreamSummaries = append(out.StreamSummaries, streamSummary{
			st.name, st.arn, st.status(c.now.UnixMilli()), st.set.mode(), instant(st.created),
		})
		st.mu.RUnlock()
	}
	return out, nil
}

// A streamsToken is the NextToken of ListStreams.
type streamsToken struct {
	After  string
	Issued int64 // ms
}

func (t streamsToken) String() string { return sealJSON(streamsKind, t) }

func (t *streamsToken) open(s string, now time.Time) error {
	if err := unsealJSON(streamsKind, s, t); err != nil {
		return err
	}
	return checkTokenAge(t.Issued, now)
}

func sealJSON(kind byte, v any) string {
	b, err := json.Marshal(v)
	if err != nil { // our own structs of strings and numbers
		panic(err)
	}
	return seal(kind, b)
}

func unsealJSON(kind byte, s string, into any) error {
	b, ok := unseal(kind, s)
	if !ok || json.Unmarshal(b, into) != nil {
		return invalidArgument("Invalid NextToken.")
	}
	return nil
}

func checkTokenAge(issued int64, now time.Time) error {
	if now.Sub(time.UnixMilli(issued)) <= iteratorLife {
		return nil
	}
	return clientError("ExpiredNextTokenException", "NextToken expired. The token was created at time %s while right now it is %s which is further in the future than the tolerated delay of 300000 milliseconds.",
		javaTime(time.UnixMilli(issued)), javaTime(now))
}

// javaTime is java.util.Date's form, which the service's messages use.
func javaTime(t time.Time) string { return t.UTC().Format("Mon Jan 02 15:04:05 UTC 2006") }
