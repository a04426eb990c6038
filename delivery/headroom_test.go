package delivery

import (
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
