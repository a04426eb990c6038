package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
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

func TestARepairUploadsAsItReadsAndCountsWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) {
			r.settings.Limits.Bytes, r.settings.Limits.Age = 1<<30, time.Hour
			r.settings.Absence.Ambiguous = Republish
		})
		r.prefix("data/!{timestamp:yyyy/MM/dd/HH}/")
		rnd := rand.New(rand.NewPCG(9, 9))
		time.Sleep(59 * time.Minute)
		for n := range 16 { // 16 MB in two hours
			line := fmt.Sprintf("%d %s", n, noise(rnd, 1<<20))
			r.put("k", []byte(line), line)
			if n == 3 {
				time.Sleep(10 * time.Minute)
			}
		}
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
