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
