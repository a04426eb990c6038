package kcl

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A Picture is what a lease table and its companions held at one moment.
type Picture struct {
	// Table is every item of the lease table.
	Table []Item
	// Coordinator and Metrics are those of <app>-CoordinatorState and
	// <app>-WorkerMetricStats, which KCL 3.x has before 3.5.
	Coordinator, Metrics []Item
}

// CoordinatorTable and MetricsTable name the companions of a lease table.
func CoordinatorTable(table string) string { return table + "-CoordinatorState" }

// MetricsTable is where KCL 3.0 to 3.4 keeps the load of its workers.
func MetricsTable(table string) string { return table + "-WorkerMetricStats" }

const (
	// Failover is KCL's failoverTimeMillis: a live owner renews three times in it.
	Failover = 10 * time.Second
	// leaderWatch is longer than the heartbeat of a 3.x leader, 30 s.
	leaderWatch = 45 * time.Second
	// workerWatch is longer than the time between two heartbeats of a standpipe
	// with a lease duration of up to a minute (five to a lease).
	workerWatch = 15 * time.Second
	// metricsFresh is four reports of a 3.x worker. It compares two clocks, but
	// it can only refuse.
	metricsFresh = 2 * time.Minute
)

// WatchFor is how long a table has to be watched to see whether anybody is at
// work: twice the failover time, longer when a leader has not said that it left.
func WatchFor(p Picture, failover time.Duration) time.Duration {
	watch := 2 * failover
	if len(leaders(p)) > 0 {
		watch = max(watch, leaderWatch)
	}
	if slices.ContainsFunc(p.Table, IsWorker) {
		watch = max(watch, workerWatch)
	}
	return watch
}

// Alive says why somebody is believed to be at work on the table: counters and
// leader locks that moved between two pictures, reports that are fresh now. No
// reason is the silence that a take-over needs.
func Alive(before, after Picture, now time.Time) (reasons []string) {
	seen := map[string]string{}
	for _, item := range before.Table {
		seen[plainText(item, Key)] = pulse(item)
	}
	for _, item := range after.Table {
		if !IsLease(item) && !IsWorker(item) {
			continue
		}
		key := plainText(item, Key)
		was, known := seen[key]
		switch {
		case !known:
			reasons = append(reasons, fmt.Sprintf("row %s appeared", key))
		case was != pulse(item):
			reason := "row " + key + " moved"
			if owner := plainText(item, Owner); owner != "" { // a worker's row has none
				reason += fmt.Sprintf(", it is with %q", owner)
			}
			reasons = append(reasons, reason)
		}
	}
	was := leaders(before)
	for key, version := range leaders(after) {
		if was[key] != version {
			reasons = append(reasons, "the leader "+key+" renewed its lock")
		}
	}
	for _, item := range slices.Concat(after.Metrics, entities(after.Table, "WORKER_METRIC_STATS")) {
		if at, ok := reported(item); ok && now.Sub(at) < metricsFresh {
			reasons = append(reasons, fmt.Sprintf("worker %s reported %s ago; a stopped worker is forgotten after %s",
				plainText(item, "wid")+plainText(item, Key), now.Sub(at).Round(time.Second), metricsFresh))
		}
	}
	slices.Sort(reasons)
	return reasons
}

// pulse is what changes in a row that somebody keeps: KCL's counter.
func pulse(item Item) string {
	n, ok := item[Counter].(*types.AttributeValueMemberN)
	if !ok {
		return ""
	}
	return n.Value + " " + plainText(item, Owner)
}

// leaders are the versions of the leader locks that were not released, by key
// (DynamoDB lock client: recordVersionNumber changes with every heartbeat).
func leaders(p Picture) map[string]string {
	found := map[string]string{}
	for _, item := range slices.Concat(p.Coordinator, entities(p.Table, "LEADER")) {
		version := plainText(item, "recordVersionNumber")
		if version != "" && item["isReleased"] == nil {
			found[plainText(item, "key")+plainText(item, Key)+" "+plainText(item, "ownerName")] = version
		}
	}
	return found
}

func entities(items []Item, kind string) []Item {
	return slices.DeleteFunc(slices.Clone(items), func(item Item) bool { return plainText(item, Entity) != kind })
}

// reported is when a worker wrote its load last: lut, Unix seconds.
func reported(item Item) (time.Time, bool) {
	n, ok := item["lut"].(*types.AttributeValueMemberN)
	if !ok {
		return time.Time{}, false
	}
	at, err := strconv.ParseInt(n.Value, 10, 64)
	return time.Unix(at, 0), err == nil
}
