package delivery

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/sink"
)

// simulate runs one seed and returns the violation, if any, and the digest of
// all events.
func simulate(t *testing.T, seed uint64, b breaks, verbose bool) (violation string, digest uint64) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed, b, verbose)
		violation = w.run()
		digest = w.digest
		for n := range w.processes { // every goroutine ends with its bubble
			w.crash(n)
		}
	})
	return violation, digest
}

// eachSeed runs f for seeds 1 to n on all cores until f returns false.
func eachSeed(t *testing.T, n int, f func(t *testing.T, seed uint64) bool) {
	var next atomic.Uint64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for !stop.Load() {
				seed := next.Add(1)
				if seed > uint64(n) {
					return
				}
				if !f(t, seed) {
					stop.Store(true)
				}
			}
		})
	}
	wg.Wait()
}

func TestSimulationEveryRecordIsInExactlyOneVisibleObject(t *testing.T) {
	if *seedOnly != 0 {
		if v, _ := simulate(t, *seedOnly, breaks{}, true); v != "" {
			t.Fatal(v)
		}
		return
	}
	eachSeed(t, *seeds, func(t *testing.T, seed uint64) bool {
		if v, _ := simulate(t, seed, breaks{}, false); v != "" {
			t.Errorf("seed %d: %s\nrepeat with: go test ./delivery -run Simulation -seed %d -v", seed, v, seed)
			return false
		}
		return true
	})
	t.Logf("%d seeds", *seeds)
}

func TestSimulationIsDeterministic(t *testing.T) {
	for seed := uint64(1); seed <= 50; seed++ {
		_, once := simulate(t, seed, breaks{}, false)
		if _, twice := simulate(t, seed, breaks{}, false); once != twice {
			t.Fatalf("seed %d took two different courses: what it finds could not be repeated", seed)
		}
	}
}

// Each rule of the protocol is broken once, to prove that the checker would
// notice and that the rule is needed.
func TestSimulationFindsEveryBrokenRule(t *testing.T) {
	const limit = 10_000
	for name, b := range map[string]breaks{
		"R1 publish before prepare is confirmed":      {publishBeforePrepare: true},
		"R2 no such upload taken for lost":            {noUploadMeansLost: true},
		"R3 rolled back though something is visible":  {neverRepair: true},
		"R4 intent known by its flush number only":    {weakIdentity: true},
		"R5 own uploads discarded on unknown outcome": {discardOnUnknown: true},
		"R6 prepare without epoch, flush and base":    {weakConditions: true},
		"R7 placement decided anew in recovery":       {recover: placeAgain},
		"a start whose moment is not kept":            {forgetStart: true},
	} {
		t.Run(name, func(t *testing.T) {
			var found atomic.Uint64
			var what atomic.Value
			eachSeed(t, limit, func(t *testing.T, seed uint64) bool {
				v, _ := simulate(t, seed, b, false)
				if strings.HasPrefix(v, "I") { // a stuck shard would be no proof
					what.Store(fmt.Sprintf("seed %d: %s", seed, v))
					found.Store(seed)
				}
				return found.Load() == 0
			})
			if found.Load() == 0 {
				t.Fatalf("%d seeds did not notice", limit)
			}
			t.Log("found with ", what.Load())
		})
	}
}

// placeAgain is recovery as a design without staged objects would do it: it
// reads the range again and decides anew which record goes where.
func placeAgain(ctx context.Context, s *shard) error {
	i, plan, err := s.protocol.pending(ctx)
	if err != nil {
		return err
	}
	next := plan
	next.Objects = nil
	var writers [2]*sink.Writer
	var batches [2]batcher.Batch
	err = s.reread(ctx, i, plan, func(e *sink.Encoder, ordinal, _ int64, r *standpipe.Record) {
		k := ordinal % 2
		s.splitter.each(r, 0, func(line []byte, newline bool) {
			if writers[k] == nil {
				writers[k] = s.newWriter(i.ID, r.Arrival)
			}
			writers[k].Append(e, line, newline)
			batches[k].Line(line, len(line)+1)
		})
	})
	if err != nil {
		return err
	}
	for k, w := range writers {
		if w == nil {
			continue
		}
		up, err := s.finish(ctx, w)
		if err != nil {
			return err
		}
		next.Objects = append(next.Objects, planned(up, &batches[k], false))
	}
	if _, err := s.protocol.publish(ctx, i, next); err != nil {
		return err
	}
	return s.protocol.commit(ctx, i, next)
}
