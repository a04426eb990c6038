package delivery

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func cheap(r *rig) { r.settings.AtLeastOnce, r.settings.Limits.Age = true, 5*time.Second }

func (r *rig) counts() map[string]int {
	got := map[string]int{}
	for _, body := range r.data() {
		for _, line := range splitLines(body) {
			got[line]++
		}
	}
	return got
}

func splitLines(body []byte) (all []string) {
	start := 0
	for i, c := range body {
		if c == '\n' {
			all, start = append(all, string(body[start:i])), i+1
		}
	}
	return all
}

// The log says how long an object was under way, in either mode the same.
func TestTheLogSaysHowLongAnObjectWasUnderWay(t *testing.T) {
	for name, change := range map[string]func(*rig){"exactly once": func(r *rig) { r.settings.Limits.Age = 5 * time.Second }, "at least once": cheap} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, change)
				r.events(0, 3)
				p := r.start()
				r.until("the object is there", func() bool { return len(r.data()) == 1 })
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				lines := r.logs.FilterMessage("object delivered").All()
				if len(lines) != 1 {
					t.Fatalf("%d lines", len(lines))
				}
				// Opened by its first record, cut five seconds later.
				if took, _ := lines[0].ContextMap()["took"].(time.Duration); took < 5*time.Second || took > 10*time.Second {
					t.Errorf("the object took %v", took)
				}
			})
		})
	}
}

func TestTheCheapModePutsEachObjectOnceAndWritesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, cheap)
		r.events(0, 40)
		r.split(string(shardID(0)), "85070591730234615865843651857942052864")
		r.events(40, 80)
		p := r.start()
		r.until("the parent ended", func() bool {
			return len(r.leases()) == 4 && r.lease(shardID(0)).Checkpoint.AtEnd() && r.visible() == 80
		})
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		for line, n := range r.counts() {
			if n != r.want[line] {
				t.Errorf("%q %d times without any fault", line, n)
			}
		}
		if puts := p.gate.count("put"); puts != len(r.data()) || len(r.bucket.Objects()) != puts {
			t.Errorf("%d puts, %d data objects, %d objects in all", puts, len(r.data()), len(r.bucket.Objects()))
		}
		for _, op := range []string{"begin", "append", "publish", "write", "prepare", "commit"} {
			if n := p.gate.count(op); n != 0 {
				t.Errorf("%d calls of %s", n, op)
			}
		}
		if n := p.metric("standpipe_delivery_records_total", ""); n != 80 {
			t.Errorf("%v records counted", n)
		}
		r.idle()
	})
}

func TestTheCheapModeMayDoubleAtACrashAndNeverLoses(t *testing.T) {
	doubled := 0
	for k := 1; ; k++ {
		var reached atomic.Bool
		var n atomic.Int64
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1, cheap)
			r.reshardOverTheHour()
			p := r.boot()
			p.gate.set(func(_ context.Context, op string, do func() error) error {
				if !slices.Contains([]string{"put", "advance", "create"}, op) {
					return do()
				}
				if n.Add(1) != int64(k) {
					return do()
				}
				reached.Store(true)
				_ = do() // applied, and nobody knows
				p.gate.kill()
				p.stop()
				return errDead
			})
			p.run()
			r.until("a crash or the end", func() bool { return reached.Load() || r.visible() >= len(r.want) })
			p.stop()
			<-p.done
			p = r.start()
			r.until("the parent ended and every line is there", func() bool {
				return len(r.leases()) == 3 && r.lease(shardID(0)).Checkpoint.AtEnd() && len(r.counts()) == len(r.want)
			})
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			for line := range r.want {
				if r.counts()[line] == 0 {
					t.Errorf("%q is lost", line)
				}
			}
			if r.visible() > len(r.want) {
				doubled++
			}
			if r.budget.Used() != 0 {
				t.Errorf("%d bytes never given back", r.budget.Used())
			}
		})
		if !reached.Load() || t.Failed() {
			break
		}
	}
	if doubled == 0 {
		t.Error("no crash doubled anything: the scene does not show what the mode costs")
	}
}

func TestSwitchingToTheCheapModeFinishesWhatWasPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 20)
		p := r.boot()
		p.late("publish")
		p.run()
		<-p.done
		cheap(r)
		r.events(20, 40)
		p = r.start()
		r.until("every line is visible", func() bool { return r.visible() >= 40 })
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		for line, n := range r.counts() {
			if n != r.want[line] {
				t.Errorf("%q %d times", line, n)
			}
		}
		if l := r.lease(shardID(0)); l.Pending != nil || l.Commits != 1 {
			t.Errorf("lease %+v", l)
		}
	})
}

// A whole object goes in one request here, and a slow link takes its time: the
// limit grows with the size, or a large object would never get through.
func TestALargeObjectOnASlowLinkIsPutAtTheFirstTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, cheap, func(r *rig) { r.settings.Limits.Age = time.Minute; r.settings.Limits.Bytes = 64 << 20 })
		line := string(bytes.Repeat([]byte("x"), 1<<20))
		for n := range 30 {
			l := fmt.Sprint(n, line)
			r.put(fmt.Sprint(n), []byte(l), l)
		}
		p := r.boot()
		p.gate.set(func(ctx context.Context, op string, do func() error) error {
			if op != "put" {
				return do()
			}
			select { // 30 MiB at 50 KiB a second
			case <-time.After(10 * time.Minute):
				return do()
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		p.run()
		r.until("the object is there", func() bool { return r.visible() == 30 })
		if n := p.gate.count("put"); n != 1 {
			t.Errorf("%d puts", n)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}
