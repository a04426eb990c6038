package delivery

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/sink"
)

// adopt puts an aggregate of three of which a KCL application had done the
// first, and the lease that says so; some minutes of events follow.
func (r *rig) adopt() {
	r.t.Helper()
	r.prefix("data/!{timestamp:yyyy/MM/dd/HH/mm}/")
	shard, seq := r.put("k", aggregate("done", "second", "third"), "second", "third")
	created, err := time.Parse(time.RFC3339, "2000-01-01T00:00:00Z") // synctest's beginning
	if err != nil {
		r.t.Fatal(err)
	}
	err = r.store.Create(context.Background(), checkpoint.Lease{
		Shard: shard, Checkpoint: standpipe.Position{Sequence: seq, Sub: 0}, Incarnation: "adopted", StreamCreated: created,
		HashStart: "0", HashEnd: "340282366920938463463374607431768211455",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for n := range 10 {
		time.Sleep(20 * time.Second)
		r.event(n)
	}
}

// lines demands that exactly what was wanted is visible.
func (r *rig) lines() {
	r.t.Helper()
	got := map[string]int{}
	for _, body := range r.data() {
		for line := range strings.Lines(string(body)) {
			got[strings.TrimSuffix(line, "\n")]++
		}
	}
	if diff := cmp.Diff(r.want, got); diff != "" {
		r.t.Errorf("lines (-put +visible):\n%s", diff)
	}
}

// K4: the position of a KCL application may lie inside an aggregate.
func TestAnAdoptedPositionInsideAnAggregateIsContinuedAtTheNextUserRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.adopt()
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.lines()
		// The same position written by us covers the whole record.
		if l := r.lease(shardID(0)); l.Adopted() {
			t.Errorf("still adopted after a commit: %+v", l)
		}
	})
}

// The range of an adopted position is read twice when objects of its first
// flush are lost: both times the first user record stays away.
func TestARepairOfTheFirstFlushAfterATakeOverSkipsWhatWasDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Absence.Ambiguous = Republish })
		r.adopt()
		p := r.boot()
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "publish" {
				p.gate.kill()
				p.stop()
				return errDead
			}
			return do()
		})
		p.run()
		<-p.done
		i, err := decodeIntent(r.lease(shardID(0)).Pending.State)
		if err != nil {
			t.Fatal(err)
		}
		if i.Plan == nil || len(i.Plan.Objects) < 2 {
			t.Fatal("the scene needs a flush of several objects")
		}
		kept := i.Plan.Objects[len(i.Plan.Objects)-1].Upload
		if err := r.sink.Publish(context.Background(), kept); err != nil {
			t.Fatal(err)
		}
		r.bucket.Abort(func(sink.Upload) bool { return true })
		next := r.start()
		r.delivered()
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.lines()
		if m := r.manifests(r.lease(shardID(0)))[0]; m.Rev == 0 {
			t.Errorf("manifest %d shows no repair", m.Number)
		}
	})
}
