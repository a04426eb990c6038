package delivery

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAStopDuringTheStartIsNoError(t *testing.T) {
	for _, op := range []string{"DescribeStreamSummary", "probe", "ListShards", "roster", "create"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2)
				p := r.boot()
				p.gate.set(func(ctx context.Context, at string, do func() error) error {
					if at == op {
						p.stop()
						return context.Canceled
					}
					return do()
				})
				p.run()
				<-p.done
				if p.err != nil {
					t.Errorf("Run returned %v, though nothing had been taken", p.err)
				}
			})
		})
	}
}

func TestAGracefulStopCommitsWhatWasReadAndARestartDeliversNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, func(r *rig) { r.settings.Limits.Age = time.Hour })
		for round := range 5 {
			p := r.start()
			r.events(round*100, round*100+100)
			r.until("everything is read", func() bool { return p.metric("standpipe_read_records_total", "") == 100 })
			if r.committed() != int64(round)*100 {
				t.Fatal("the scene needs an open batch at the stop")
			}
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			for _, l := range r.leases() {
				if l.Owner != "" || l.Pending != nil {
					t.Errorf("lease after the stop: %+v", l)
				}
			}
			for _, s := range p.Status() {
				if s.State != StateReleased || s.Buffered != 0 || !s.OldestArrival.IsZero() {
					t.Errorf("status after the stop: %+v", s)
				}
			}
			if p.metric("standpipe_delivery_sealed_total", "reason=shutdown") == 0 {
				t.Error("no flush was cut by the shutdown")
			}
		}
		r.verify()
		r.idle()
	})
}

func TestADrainThatTakesTooLongNamesWhatWasLeftAndLosesNothing(t *testing.T) {
	for _, down := range [][]string{sinkCalls, {"publish"}, {"prepare", "get"}, {"commit", "get"}, {"release", "get"}} {
		t.Run(strings.Join(down, " "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2, func(r *rig) { r.settings.Limits.Age = 20 * time.Second })
				p := r.start()
				r.events(0, 50)
				r.until("everything is read", func() bool { return p.metric("standpipe_read_records_total", "") == 50 })
				p.gate.refuse(unavailable("peer"), down...)
				begun := time.Now()
				err := p.end()
				if took := time.Since(begun); took > time.Minute+10*time.Second {
					t.Errorf("the stop took %v, the drain timeout is a minute", took)
				}
				if !errors.Is(err, errDrainTimeout) || !strings.Contains(err.Error(), string(shardID(0))) || !strings.Contains(err.Error(), string(shardID(1))) {
					t.Errorf("the stop gave %v", err)
				}
				if n := r.budget.Used(); n != 0 {
					t.Errorf("%d bytes never given back", n)
				}
				p = r.start()
				r.delivered()
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
			})
		})
	}
}

func TestAStopDuringAnOutageEndsWithinTheDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, func(r *rig) { r.settings.Limits.Age = 5 * time.Second })
		p := r.start()
		// Not refused but swallowed: each call hangs until its caller gives up.
		p.gate.set(func(ctx context.Context, op string, do func() error) error {
			if slices.Contains(sinkCalls, op) && op != "probe" {
				<-ctx.Done()
				return ctx.Err()
			}
			return do()
		})
		r.events(0, 60)
		time.Sleep(10 * time.Minute)
		begun := time.Now()
		if err := p.end(); !errors.Is(err, errDrainTimeout) {
			t.Errorf("the stop gave %v", err)
		}
		if took := time.Since(begun); took > time.Minute+10*time.Second {
			t.Errorf("the stop took %v, the drain timeout is a minute", took)
		}
		p = r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}
