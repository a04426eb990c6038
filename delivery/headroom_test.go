package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
)

// A shard that is not read is the one that loses records: its headroom has to
// fall although nothing of it is in hand.
func TestHeadroomFallsForAShardThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		w := NewWorker(Settings{}, Parts{Budget: NewBudget(1)})
		w.stream.Retention = 24 * time.Hour
		for name, c := range map[string]struct {
			status ShardStatus
			want   time.Duration
		}{
			"caught up and idle":         {ShardStatus{ReadAt: now.Add(-2 * time.Second), Committed: now.Add(-20 * time.Hour)}, 24 * time.Hour},
			"behind":                     {ShardStatus{ReadAt: now, Behind: time.Hour}, 23 * time.Hour},
			"stuck for two hours":        {ShardStatus{ReadAt: now.Add(-2 * time.Hour), Behind: time.Hour}, 21 * time.Hour},
			"failed before its first":    {ShardStatus{State: StateFailed, Committed: now.Add(-5 * time.Hour)}, 19 * time.Hour},
			"ended long ago":             {ShardStatus{State: StateEnded, Committed: now.Add(-23 * time.Hour)}, 24 * time.Hour},
			"in hand and not yet commit": {ShardStatus{ReadAt: now, OldestArrival: now.Add(-time.Minute)}, 24*time.Hour - time.Minute},
		} {
			w.shards = map[standpipe.ShardID]*running{"s": {last: c.status}}
			if got := w.Headroom(now); got != c.want {
				t.Errorf("%s: headroom %v, want %v", name, got, c.want)
			}
		}
	})
}

// Freshness speaks of what was read. Of a shard that cannot be read something
// else has to say that nobody knows what waits in it.
func TestAShardThatIsNotReadSaysForHowLong(t *testing.T) {
	now := time.Now()
	ago := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		status ShardStatus
		want   time.Duration
	}{
		"idle and asked":               {ShardStatus{State: StateDelivering, Begun: ago, ReadAt: now.Add(-2 * time.Second)}, 0},
		"refused for a minute":         {ShardStatus{State: StateDelivering, Begun: ago, ReadAt: now.Add(-time.Minute)}, time.Minute},
		"refused from the start":       {ShardStatus{State: StateOpening, Begun: ago, Committed: ago.Add(-time.Hour)}, time.Hour},
		"just begun":                   {ShardStatus{State: StateOpening, Begun: now, Committed: ago}, 0},
		"drained: nothing is asked":    {ShardStatus{State: StateDraining, Begun: ago, ReadAt: ago}, 0},
		"another worker's, once ours":  {ShardStatus{State: StateElsewhere, Begun: ago, ReadAt: ago}, 0},
		"ended: there is nothing more": {ShardStatus{State: StateEnded, Begun: ago, ReadAt: ago}, 0},
	} {
		if got := c.status.Unread(now); got != c.want {
			t.Errorf("%s: unread for %v, want %v", name, got, c.want)
		}
	}
}

// Aim: an alarm hears of a shard that fails each time before it has read a page,
// however often it is begun anew. Method: a panic in each read.
func TestAShardThatFailsAgainAndAgainWasNotReadAllTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "GetRecords" {
				panic("broken")
			}
			return do()
		})
		p.run()
		time.Sleep(30 * time.Minute)
		s := p.status(shardID(0))
		if d := s.Unread(time.Now()); d < 29*time.Minute {
			t.Errorf("unread for %v in half an hour", d)
		}
		p.gate.set(nil)
		r.delivered()
		s = p.status(shardID(0))
		if d := s.Unread(time.Now()); d != 0 {
			t.Errorf("delivered, and unread for %v", d)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}
