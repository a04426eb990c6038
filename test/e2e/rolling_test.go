package e2e

import (
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
	f.load.Start(ctx)
	for _, w := range f.workers {
		w.Start(t)
	}
	f.balanced(t, reads, 12)
	begun, stall := time.Now(), harness.NewStall()
	for _, w := range f.workers {
		took, err := w.Stop(stopLimit)
		if err != nil {
			t.Fatal(err)
		}
		w.Start(t)
		if err := w.Started(ctx); err != nil {
			t.Fatal(err)
		}
		f.balanced(t, reads, 12)
		t.Logf("worker %s stopped in %v; shards read by %v", w.Name, took.Round(time.Millisecond), reads.Readers())
	}
	worst := stall.Worst()
	longest := reads.Longest(begun)
	byLength := slices.SortedFunc(maps.Keys(longest), func(a, b string) int { return int(longest[b] - longest[a]) })
	for _, shard := range byLength {
		t.Logf("%s: longest pause %v", shard, longest[shard].Round(time.Millisecond))
	}
	t.Logf("LONGEST PAUSE of a shard in a rolling restart of three workers: %v; the machine stood still for %v at most",
		longest[byLength[0]].Round(time.Millisecond), worst.Round(time.Millisecond))
	if pause := longest[byLength[0]] - worst; pause >= longestPause {
		t.Errorf("%s paused for %v, want less than %v", byLength[0], pause, longestPause)
	}
	f.close(t, deliverLimit)
}

// balanced sweeps until all shards are read and no worker reads two more than
// another.
func (f *fleet) balanced(t *testing.T, reads *harness.Reads, shards int) {
	t.Helper()
	ctx := limited(t, deliverLimit)
	err := harness.Poll(ctx, "the shards to be balanced", func() error {
		if err := f.sweep(ctx); err != nil {
			return err
		}
		readers := reads.Readers()
		counts := slices.Sorted(maps.Values(readers))
		if len(readers) < len(f.workers) {
			return fmt.Errorf("only %d workers read: %v", len(readers), readers)
		}
		if n := reads.Shards(time.Now().Add(-2 * longestPause)); n < shards {
			return fmt.Errorf("only %d shards are read", n)
		}
		if counts[len(counts)-1]-counts[0] > 1 {
			return fmt.Errorf("shards by worker: %v", readers)
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
}

func alive(p *harness.Process) bool {
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}
