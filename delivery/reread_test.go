package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
)

// rereads wants n reports of a shard that was read again, each of which names
// the shard and the cause, and the same number in the metric.
func (p *node) rereads(n int, cause string) {
	p.rig.t.Helper()
	if got := p.metric("standpipe_rereads_total", ""); got != float64(n) {
		p.rig.t.Errorf("standpipe_rereads_total is %v, want %d", got, n)
	}
	reports := p.rig.logs.FilterMessage("reading again from the checkpoint").All()
	if len(reports) != n {
		p.rig.t.Errorf("%d reports of %d shards that were read again", len(reports), n)
	}
	for _, e := range reports {
		fields := e.ContextMap()
		if err := fmt.Sprint(fields["error"]); !strings.Contains(err, cause) || fields["shard"] != string(shardID(0)) || fields["checkpoint"] == nil || e.Level < zapcore.WarnLevel {
			p.rig.t.Errorf("%v %v: the report should warn, name the shard and its checkpoint, and say %q", e.Level, fields, cause)
		}
	}
}

// incompressible puts n records of a MiB, of which a part of an object fills in six.
func (r *rig) incompressible(n int) {
	r.t.Helper()
	rnd := rand.New(rand.NewPCG(7, uint64(r.records)))
	for range n {
		line := fmt.Sprintf("%d %s", r.records, noise(rnd, 1_000_000))
		r.put("k", []byte(line), line)
	}
}

// overTheHour puts a record into the folder of this hour and one into the next's.
func (r *rig) overTheHour() {
	r.t.Helper()
	time.Sleep(59 * time.Minute)
	r.incompressible(1)
	time.Sleep(2 * time.Minute)
	r.incompressible(1)
}

func TestAShardThatIsReadAgainSaysWhyOnce(t *testing.T) {
	for name, c := range map[string]struct {
		cause string
		scene func(p *node)
	}{
		"parts vanish before anything is prepared": {"append part 2", func(p *node) {
			appended := 0
			p.gate.set(func(_ context.Context, op string, do func() error) error {
				if op == "append" {
					if appended++; appended == 2 {
						p.rig.bucket.Abort(func(sink.Upload) bool { return true })
					}
				}
				return do()
			})
			p.rig.incompressible(9)
		}},
		"all objects vanish while they are prepared": {"data/", func(p *node) {
			p.abortAfter(0)
			p.rig.incompressible(1)
		}},
		"some vanish, and the shard holds records": {"data/", func(p *node) {
			p.abortAfter(1)
			p.rig.overTheHour()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, func(r *rig) {
					r.settings.Limits.Bytes, r.settings.Limits.Age = 8<<20, 5*time.Minute
					r.settings.Absence.Ambiguous = Republish
				})
				p := r.boot()
				c.scene(p)
				p.run()
				r.delivered()
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
				r.idle()
				p.rereads(1, c.cause)
			})
		})
	}
}

func TestAStoreThatForgetsEveryUploadIsNotAskedWithoutRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.incompressible(3) // more than an object: sealed as soon as it is read
		p := r.boot()
		appended := 0
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "append" {
				if appended++; appended < 500 { // no time passes while it is asked without rest
					return sink.Outcome("append", sink.ErrNoUpload, nil)
				}
			}
			return do()
		})
		p.run()
		time.Sleep(10 * time.Minute)
		if n := p.gate.count("GetRecords"); n < 10 || n > 100 {
			t.Errorf("in ten minutes the same records were read %d times", n)
		}
		if s := p.status(shardID(0)); s.State != StateFailed || !strings.Contains(s.Error, sink.ErrNoUpload.Error()) {
			t.Errorf("the status is %+v", s)
		}
		if n := r.logs.FilterLevelExact(zapcore.WarnLevel).Len() + r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n > 50 {
			t.Errorf("%d warnings and errors in ten minutes", n)
		}
		p.gate.set(nil)
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
	})
}

// A part that is durable already is lost when intake has ended: reading again
// is for the next owner, and nobody may take the drain for a whole one.
func TestWhatADrainCouldNotDeliverIsAnErrorAndTheNextOwnerDeliversIt(t *testing.T) {
	scene := func(t *testing.T) (r *rig, p *node) {
		r = newRig(t, 1, func(r *rig) { r.settings.Limits.Bytes, r.settings.Limits.Age = 64<<20, time.Hour })
		r.incompressible(9) // a part and a half
		return r, r.boot()
	}
	t.Run("a worker that stops", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, p := scene(t)
			p.run()
			r.until("all is read", func() bool { return p.metric("standpipe_read_records_total", "") == 9 })
			r.bucket.Abort(func(sink.Upload) bool { return true })
			if err := p.end(); err == nil || !strings.Contains(err.Error(), sink.ErrNoUpload.Error()) || !strings.Contains(err.Error(), string(shardID(0))) {
				t.Errorf("stopped with %v", err)
			}
			if l := r.lease(shardID(0)); l.Owner != "" {
				t.Errorf("the lease is still owned by %s", l.Owner)
			}
			p.rereads(1, "append part 2")
			p = r.start()
			r.until("all is read again", func() bool { return p.metric("standpipe_read_records_total", "") == 9 })
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			r.verify()
			r.idle()
		})
	})
	t.Run("a range that is delivered once more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, p := scene(t)
			appended := 0
			p.gate.set(func(_ context.Context, op string, do func() error) error {
				if op == "append" {
					if appended++; appended == 2 {
						r.bucket.Abort(func(sink.Upload) bool { return true })
					}
				}
				return do()
			})
			last := p.again(0)
			end := End{Time: time.Now().Add(time.Millisecond)}
			done, err := last.Deliver(t.Context(), r.store, standpipe.Shard{ID: shardID(0)}, atHorizon(), end)
			if done || !errors.Is(err, sink.ErrNoUpload) {
				t.Errorf("done %v, %v: records of the range were not delivered", done, err)
			}
			if done, err = last.Deliver(t.Context(), r.store, standpipe.Shard{ID: shardID(0)}, atHorizon(), end); !done || err != nil {
				t.Errorf("once more: done %v, %v", done, err)
			}
			r.verify()
			r.idle()
		})
	})
}
