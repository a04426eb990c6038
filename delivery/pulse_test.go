package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/internal/backoff"
)

func TestALoopThatStandsStillSendsNoHeartbeatAndItsShardsGoToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, shared)
		a := r.boot()
		dead := errors.New("the loop hangs")
		var hang atomic.Bool
		a.pulse.live = func() error {
			if hang.Load() {
				return dead
			}
			return nil
		}
		a.run()
		r.until("one worker has all", func() bool { return r.balanced(a) })
		hang.Store(true)
		time.Sleep(time.Second)
		before := a.gate.count("beat")
		b := r.start()
		time.Sleep(30 * time.Second)
		if n := a.gate.count("beat") - before; n > 1 {
			t.Errorf("%d heartbeats of a loop that hangs", n)
		}
		r.until("the other has all", func() bool { return r.balanced(b) })
		hang.Store(false)
		r.until("balanced", func() bool { return r.balanced(a, b) })
		_, _ = a.end(), b.end()
	})
}

func TestAWorkerWithNothingToDoIsAlive(t *testing.T) {
	for name, change := range map[string]func(*rig){"alone": func(*rig) {}, "in a fleet": shared} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, change)
				p := r.start()
				time.Sleep(time.Second)
				for range 20 * 60 {
					time.Sleep(time.Second)
					if err := p.Live(); err != nil {
						t.Fatal(err)
					}
					if still := time.Since(p.made) - time.Duration(p.beat.Load()); still > stuckAfter/4 {
						t.Fatalf("the loop has not turned for %v, at %v it counts as stuck", still, stuckAfter)
					}
				}
				_ = p.end()
			})
		})
	}
}

// An idle shard writes nothing, so no refused write tells that it was lost.
func TestAnIdleShardThatAnotherOwnsIsLeftWithinALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		p := r.start()
		r.until("both are delivered", func() bool { return r.balanced(p) })
		beat := func() {
			if _, err := r.store.Beat(t.Context(), checkpoint.Worker{ID: "intruder"}); err != nil {
				t.Fatal(err)
			}
		}
		beat()
		stolen, err := r.store.Update(t.Context(), checkpoint.Take(r.lease(shardID(0)), "intruder"))
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			time.Sleep(time.Second)
			beat()
		}
		if s := p.status(shardID(0)); s.State != StateElsewhere || s.Owner != "intruder" {
			t.Errorf("8 s after it was lost the shard is %s, owner %q", s.State, s.Owner)
		}
		if n := p.metric("standpipe_lease_lost_total", ""); n != 1 {
			t.Errorf("standpipe_lease_lost_total is %v", n)
		}
		if s := p.status(shardID(1)); s.State != StateDelivering {
			t.Errorf("the other shard is %s", s.State)
		}
		if after := r.lease(shardID(0)); after.Counter != stolen.Counter {
			t.Error("the old owner wrote to the lease")
		}
		time.Sleep(20 * time.Second) // the intruder is dead
		r.until("both are delivered", func() bool { return r.balanced(p) })
		_ = p.end()
	})
}

// Aim: a worker that can beat and cannot list the leases takes nothing over from
// anybody, which has to be seen from outside. Method: refuse the listing alone.
func TestAWorkerThatMayNotListTheLeasesIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		p := r.start()
		r.until("both are delivered", func() bool { return p.held() == 2 })
		p.gate.refuse(denied("table"), "roster")
		time.Sleep(10 * time.Minute)
		if err := p.Ready(); err == nil || !strings.Contains(err.Error(), "403 AccessDenied") {
			t.Errorf("ready: %v", err)
		}
		if n := r.logs.FilterMessage("leases could not be listed").Len(); n == 0 || n > 20 {
			t.Errorf("%d lines in ten minutes", n)
		}
		p.gate.refuse(unavailable("table"), "roster")
		time.Sleep(10 * time.Second)
		p.gate.set(nil)
		time.Sleep(time.Minute)
		if err := p.Ready(); err != nil {
			t.Errorf("granted, and not ready: %v", err)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// Aim: what a look does besides, however long the store takes for it, does not let
// the loop stand still, which would end the heartbeat and have the process killed.
// Method: a table that is throttled for removals, and the rows of twenty workers
// that are gone.
func TestRowsThatCannotBeRemovedDoNotHoldTheLoopUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		for n := range 20 {
			if _, err := r.store.Beat(t.Context(), checkpoint.Worker{ID: fmt.Sprintf("gone-%d", n)}); err != nil {
				t.Fatal(err)
			}
		}
		p := r.boot()
		p.gate.set(func(ctx context.Context, op string, do func() error) error {
			if op == "forget" {
				_ = backoff.Sleep(ctx, 15*time.Second)
				return unavailable("table")
			}
			return do()
		})
		p.run()
		for range 10 * 60 {
			time.Sleep(time.Second)
			if err := p.Live(); err != nil {
				t.Fatal(err)
			}
		}
		if n := p.gate.count("forget"); n == 0 {
			t.Error("no row was to be removed")
		}
		p.gate.set(nil)
		r.until("the rows are removed", func() bool { return len(r.roster().Workers) == 1 })
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// Aim: a worker that beats and cannot list the leases gets none from others: they
// would lie with nobody for two lease durations, be taken back, and be given to it
// again, for ever. Method: two workers, one of which may list at its start only.
func TestAWorkerThatCannotListTheLeasesIsGivenNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, shared)
		a := r.start()
		r.until("one worker has all", func() bool { return r.balanced(a) })
		b := r.boot()
		var deaf atomic.Bool
		deaf.Store(true)
		b.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "roster" && b.begun.Load() && deaf.Load() {
				return denied("table")
			}
			return do()
		})
		b.run()
		time.Sleep(10 * time.Minute)
		if n := a.metric("standpipe_leases_handed_over_total", ""); n > 2 {
			t.Errorf("%v hand-overs to a worker that hears of none", n)
		}
		if !r.balanced(a) {
			t.Errorf("the worker that can take has %d of 4 shards", a.held())
		}
		deaf.Store(false)
		r.until("balanced", func() bool { return r.balanced(a, b) })
		_, _ = a.end(), b.end()
	})
}

// Aim: a worker whose heart never beat takes nothing, which has to be seen from
// outside: a rolling deploy would go on to stop the workers that deliver. Method:
// refuse the heartbeats alone, from the start.
func TestAWorkerWhoseFirstHeartbeatIsRefusedIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		p := r.boot()
		p.gate.refuse(denied("table"), "beat")
		p.run()
		for range 10 {
			time.Sleep(time.Minute)
			if err := p.Ready(); err == nil || !strings.Contains(err.Error(), "no heartbeat") {
				t.Fatalf("ready: %v, with %d of 2 shards", err, p.held())
			}
		}
		p.gate.set(nil)
		r.until("both are delivered", func() bool { return r.balanced(p) })
		if err := p.Ready(); err != nil {
			t.Errorf("delivering, and not ready: %v", err)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// Aim: a lease that was deleted by hand and made anew is delivered from its start at
// once, also when its shard is idle, so that no write tells the old owner; and a
// program that takes leases without raising the epoch, as KCL does, is believed.
func TestAnIdleShardWhoseLeaseIsNotTheOneTakenIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		p := r.start()
		r.until("both are delivered", func() bool { return r.balanced(p) })
		old := r.lease(shardID(0))
		if err := r.store.Delete(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		if l := r.lease(shardID(0)); l.Incarnation == old.Incarnation || l.Owner != p.settings.Worker || l.Epoch == 0 {
			t.Errorf("three minutes after it was made anew the lease is with %q at epoch %d", l.Owner, l.Epoch)
		}
		l, kcl := r.lease(shardID(1)), "kcl"
		if _, err := r.store.Update(t.Context(), checkpoint.Update{Shard: l.Shard, Set: checkpoint.Change{Owner: &kcl}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		if s := p.status(shardID(1)); s.State != StateElsewhere || s.Owner != kcl {
			t.Errorf("8 s after it was lost the shard is %s, owner %q", s.State, s.Owner)
		}
		time.Sleep(time.Minute)
		r.until("both are delivered", func() bool { return r.balanced(p) })
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}
