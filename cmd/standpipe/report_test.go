package main

import (
	"strings"
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

// A stream that cannot be read is not one in which nothing waits.
func TestTheReportNeverCallsAStreamFreshThatIsNotRead(t *testing.T) {
	now := time.Now()
	var r status.Report
	fill(&r, []delivery.ShardStatus{
		{Shard: "a", State: delivery.StateDelivering, Begun: now.Add(-time.Hour), ReadAt: now.Add(-2 * time.Minute), Behind: time.Second, Holding: "read shard a: denied"},
		{Shard: "b", State: delivery.StateDelivering, Begun: now.Add(-time.Hour), ReadAt: now},
		{Shard: "c", State: delivery.StateOpening, Begun: now.Add(-3 * time.Minute), Holding: "get iterator of shard c: denied"},
	}, delivery.Fleet{}, "me", now)
	if a, b, c := r.Shards[0].UnreadSeconds, r.Shards[1].UnreadSeconds, r.Shards[2].UnreadSeconds; a.Duration() != 2*time.Minute || b != nil || c.Duration() != 3*time.Minute {
		t.Errorf("unread %v %v %v, want 2m, nothing and 3m", a, b, c)
	}
	if line := freshnessLine(r, marks{}); !strings.HasPrefix(line, "[r not read for 3m 00s]   buffered ") {
		t.Errorf("the first line says %s", line)
	}
	rows := shardRows(r, marks{})
	if a, b, c := rows[1][3].text, rows[2][3].text, rows[3][3].text; a != "2m 01s" || b != "0.0 s" || c != "3m 00s" {
		t.Errorf("behind: %s, %s, %s; want the time without a page on top of what the last one said", a, b, c)
	}
	r.FreshnessSeconds = status.SecondsOf(time.Minute)
	if line := freshnessLine(r, marks{}); !strings.HasPrefix(line, "freshness 1m 00s   [r not read for 3m 00s]   buffered ") {
		t.Errorf("with something in hand it says %s", line)
	}
}

// With -c the stream is asked for what waits. No answer is not "nothing".
func TestFreshnessIsNotJudgedWithoutAnAnswerOfTheStream(t *testing.T) {
	asked := func(shards ...status.Shard) status.Report { return status.Report{Shards: shards} }
	for name, c := range map[string]struct {
		report status.Report
		want   string
	}{
		"nothing waits":                  {asked(status.Shard{ID: "a", State: status.ShardUnowned, BehindSeconds: status.SecondsOf(0)}), ""},
		"refused":                        {asked(status.Shard{ID: "a", State: status.ShardDelivering, Problem: "what waits in the stream is not known: denied"}), "a: what waits in the stream is not known: denied"},
		"waits for a parent":             {asked(status.Shard{ID: "a", State: status.ShardWaiting, Problem: "waits for the end of b (not begun)"}), ""},
		"another worker's, of a process": {status.Report{Worker: status.Worker{ID: "me"}, Shards: []status.Shard{{ID: "a", State: status.ShardDelivering}}}, ""},
	} {
		got := ""
		if err := judgeFreshness(c.report, time.Minute); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if line := freshnessLine(c.report, marks{}); strings.HasPrefix(line, "nothing waits") != (c.want == "") {
			t.Errorf("%s: the first line says %s", name, line)
		}
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
