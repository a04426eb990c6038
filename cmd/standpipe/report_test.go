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
	got := shardReport(delivery.ShardStatus{
		Shard: "shardId-000000000002", State: delivery.StateWaiting, WaitingFor: []standpipe.ShardID{"shardId-000000000000"},
	}, "me", time.Now())
	if got.State != status.ShardWaiting || got.Mine || got.Problem != "waits for [shardId-000000000000] to end" {
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
