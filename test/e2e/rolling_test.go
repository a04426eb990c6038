package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// longestPause is what a deploy may cost a shard.
const longestPause = 5 * time.Second

// A deploy: three workers under load, each told to stop and started anew, one
// after the other. A shard's pause is the time between two answered GetRecords
// calls for it, whoever made them; on a shard that is read in peace it is a
// second. What the machine itself stood still is no fault of the fleet's.
func TestARollingRestartPausesNoShardForLongAndRepeatsNothing(t *testing.T) {
	reads := harness.NewReads()
	f := newFleet(t, fleetOptions{name: "rolling", workers: 3, shards: 12, bytesPerSecond: 6_000_000, reads: reads})
	ctx := limited(t, testLimit)
	stall := harness.NewStall()
	defer stall.Stop()
	f.load.Start(ctx)
	for _, w := range f.workers {
		w.Start(t)
	}
	f.balanced(t, reads, 12)
	begun := time.Now()
	for _, w := range f.workers {
		took, err := w.Stop(stopLimit)
		if err != nil {
			t.Fatal(err)
		}
		w.Start(t)
		balanced := f.balanced(t, reads, 12)
		t.Logf("worker %s stopped in %v; %v after its start the shards were balanced", w.Name, took.Round(time.Millisecond), balanced.Round(time.Millisecond))
	}
	longest := reads.Longest(begun, time.Now(), stall)
	byLength := slices.SortedFunc(maps.Keys(longest), func(a, b string) int { return cmp.Compare(longest[b].Own(), longest[a].Own()) })
	for _, shard := range byLength {
		t.Logf("%s: longest pause %v, without what the machine stood still %v",
			shard, longest[shard].Lasted.Round(time.Millisecond), longest[shard].Own().Round(time.Millisecond))
	}
	worst := longest[byLength[0]]
	t.Logf("LONGEST PAUSE of a shard in a rolling restart of three workers: %v; the machine stood still for %v of it",
		worst.Lasted.Round(time.Millisecond), worst.Stood.Round(time.Millisecond))
	if worst.Own() >= longestPause {
		t.Errorf("%s paused for %v, want less than %v", byLength[0], worst.Own(), longestPause)
	}
	f.close(t, deliverLimit)
}

// balanced sweeps until all shards were read since now, by all workers, and no
// worker reads two more than another; it returns how long that took.
func (f *fleet) balanced(t *testing.T, reads *harness.Reads, shards int) time.Duration {
	t.Helper()
	ctx, begun := limited(t, deliverLimit), time.Now()
	err := harness.Poll(ctx, "the shards to be balanced", func() error {
		if err := f.sweep(ctx); err != nil {
			return err
		}
		readers := reads.Readers(begun)
		counts := slices.Sorted(maps.Values(readers))
		if n := total(readers); n < shards || len(readers) < len(f.workers) || counts[len(counts)-1]-counts[0] > 1 {
			return fmt.Errorf("of %d shards the workers read %v", shards, readers)
		}
		for _, w := range f.workers {
			if !alive(w.Process()) {
				return errors.New("worker " + w.Name + " has ended")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return time.Since(begun)
}

func alive(p *harness.Process) bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}
