package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// abortAfter lets the process publish n objects, then has the bucket abort
// what is left.
func (p *node) abortAfter(n int) {
	published := 0
	p.gate.set(func(_ context.Context, op string, do func() error) error {
		if op == "publish" {
			if published++; published == n+1 {
				p.rig.bucket.Abort(func(sink.Upload) bool { return true })
			}
		}
		return do()
	})
}

func TestARepairInATinyBudgetDoesNotWaitForItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) {
			r.budget = NewBudget(2 << 20)
			r.settings.Limits.Age, r.settings.Absence.Ambiguous = 3*time.Minute, Republish
		})
		r.prefix("data/!{timestamp:yyyy/MM/dd/HH/mm}/")
		p := r.boot()
		p.abortAfter(1)
		p.run()
		for n := range 60 {
			r.event(n)
			time.Sleep(3 * time.Second)
		}
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
		if !slices.ContainsFunc(r.manifests(r.lease(shardID(0))), func(m manifest.Manifest) bool { return m.Rev > 0 }) {
			t.Error("the scene had no repair")
		}
	})
}

// twoHours is one flush of 16 MB in the folders of two hours, which takes two
// pages to read.
func twoHours(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, 1, func(r *rig) {
		r.settings.Limits.Bytes, r.settings.Limits.Age = 1<<30, time.Hour
		r.settings.Absence.Ambiguous = Republish
	})
	r.prefix("data/!{timestamp:yyyy/MM/dd/HH}/")
	rnd := rand.New(rand.NewPCG(9, 9))
	time.Sleep(59 * time.Minute)
	for n := range 16 {
		line := fmt.Sprintf("%d %s", n, noise(rnd, 1<<20))
		r.put("k", []byte(line), line)
		if n == 3 {
			time.Sleep(10 * time.Minute)
		}
	}
	return r
}

func TestARepairUploadsAsItReadsAndCountsWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := twoHours(t)
		p := r.boot()
		p.abortAfter(1)
		p.run()
		r.until("all is read", func() bool { return p.metric("standpipe_read_records_total", "") == 16 })
		p.stop() // seals; the repair is part of the drain
		<-p.done
		p = r.boot()
		var calls []string
		held := int64(0)
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			switch op {
			case "GetRecords", "append", "repair":
				calls = append(calls, op)
				held = max(held, r.budget.Used())
			}
			return do()
		})
		p.run()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
		calls = calls[:max(slices.Index(calls, "repair"), 0)]
		first, last := slices.Index(calls, "append"), len(calls)
		for last > 0 && calls[last-1] != "GetRecords" {
			last--
		}
		if first < 0 || first >= last {
			t.Errorf("calls up to the repair: %v: no part left for the bucket before the last page was read, so the objects were whole in memory", calls)
		}
		if held > 34<<20+16<<20 {
			t.Errorf("%d bytes held", held)
		}
	})
}

func TestARepairThatFailsLeavesNoUploadsAndNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Absence.Ambiguous = Republish })
		r.partly()
		r.bucket.Abort(func(sink.Upload) bool { return true })
		p := r.boot()
		p.gate.refuse(unavailable("repair"), "append")
		p.run()
		r.until("the repair stages", func() bool { return p.gate.count("append") > 3 })
		p.gate.refuse(unavailable("repair"), "append", "repair")
		p.stop()
		<-p.done
		r.idle()
		p = r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// Aim: a repair needs the stream, and whoever waits for it has to see what it
// waits for. Method: refuse its reads.
func TestReadsThatARepairIsRefusedShowInTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Absence.Ambiguous = Republish })
		r.partly()
		r.bucket.Abort(func(sink.Upload) bool { return true })
		p := r.boot()
		p.gate.refuse(denied("GetRecords"), "GetRecords")
		p.run()
		time.Sleep(10 * time.Minute)
		if s := p.status(shardID(0)); s.State != StateRecovering || !strings.Contains(s.Holding, "403 AccessDenied") {
			t.Errorf("after ten minutes of refusals the status is %+v", s)
		}
		if n := p.metric("standpipe_read_errors_total", ""); n < 4 {
			t.Errorf("%v failed reads were counted", n)
		}
		if n := p.metric("standpipe_leases_given_up_total", ""); n != 0 {
			t.Errorf("a shard that is held up was given up %v times", n)
		}
		p.gate.set(nil)
		r.delivered()
		if s := p.status(shardID(0)); s.Holding != "" {
			t.Errorf("granted, and still holding: %q", s.Holding)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
	})
}

// Aim: a repair takes the records of its range and no others, however long it
// takes to read them. Method: two pages, and between them an outage of the
// stream that is longer than its retention; what is there then came later.
func TestARepairThatRetentionOvertakesHalfWayTakesNoLaterRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := twoHours(t)
		r.halfway()
		r.bucket.Abort(func(sink.Upload) bool { return true })
		before := r.lease(shardID(0))

		p := r.boot()
		var pages atomic.Int64
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op != "GetRecords" || pages.Load() == 0 {
				err := do()
				if op == "GetRecords" && err == nil {
					pages.Add(1)
				}
				return err
			}
			return unavailable(op)
		})
		p.run()
		r.until("a page is read again", func() bool { return pages.Load() == 1 })
		time.Sleep(25 * time.Hour)
		r.events(100, 140)
		p.gate.set(nil)
		r.until("the shard fails", func() bool { return p.status(shardID(0)).Error != "" })
		if e := p.status(shardID(0)).Error; !strings.Contains(e, "data loss") {
			t.Errorf("error %q", e)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		if after := r.lease(shardID(0)); after.Checkpoint != before.Checkpoint || pendingOf(after) != pendingOf(before) {
			t.Errorf("the lease was changed from %+v to %+v", before, after)
		}
		if n := r.budget.Used(); n != 0 {
			t.Errorf("%d bytes never given back", n)
		}
	})
}
