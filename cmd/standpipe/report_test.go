package main

import (
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/status"
)

// A shard that does nothing has to say what it waits for, or people reshard
// again.
func TestTheReportNamesTheParentsAShardWaitsFor(t *testing.T) {
	now := time.Now()
	var r status.Report
	fill(&r, []delivery.ShardStatus{
		{Shard: "a", State: delivery.StateDelivering, Behind: 90 * time.Second, ReadAt: now},
		{Shard: "b", State: delivery.StateElsewhere, Owner: "other", Committed: now.Add(-5 * time.Minute)},
		{Shard: "c", State: delivery.StateUnowned},
		{Shard: "d", State: delivery.StateWaiting, WaitingFor: []standpipe.ShardID{"a", "b", "c"}},
	}, delivery.Fleet{}, "me", now)
	const want = "waits for the end of a (1m 30s behind) and b (delivered up to 5m 00s ago) and c (not begun)"
	if got := r.Shards[3]; got.State != status.ShardWaiting || got.Mine || got.Problem != want {
		t.Errorf("got %+v", got)
	}
}

// Every state of delivery has a word on the status page.
func TestEveryStateIsReported(t *testing.T) {
	for _, s := range delivery.States {
		if shardStates[s] == "" {
			t.Errorf("state %s has no word", s)
		}
	}
}
