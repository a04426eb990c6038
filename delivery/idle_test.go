package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
)

// A shard that is silent for longer than its retention has lost nothing, and
// its next owner has to know, however the last one ended. It costs a write
// every quarter of the retention and no more.
func TestAnIdleShardIsNoGap(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *node){
		"after a stop": func(t *testing.T, p *node) {
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
		},
		"after a crash": func(_ *testing.T, p *node) {
			p.gate.kill()
			p.stop()
			<-p.done
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.put("a", []byte("first"), "first")
				p := r.start()
				r.delivered()
				before := r.lease(shardID(0)).Counter
				time.Sleep(24*time.Hour + time.Minute)
				if n := r.lease(shardID(0)).Counter - before; n != notesPerRetention {
					t.Errorf("%d writes in a day of silence, want %d", n, notesPerRetention)
				}
				time.Sleep(time.Hour)
				end(t, p)
				r.put("b", []byte("second"), "second")
				next := r.start()
				r.delivered()
				if s := next.status(shardID(0)); len(s.Gaps) != 0 {
					t.Errorf("an idle shard has gaps: %+v", s.Gaps)
				}
				if err := next.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
			})
		})
	}
}

// What is missing stays known in the lease, for whoever asks the store.
func TestAGapIsNotedInTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		_, first := r.put("a", []byte("first"), "first")
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.put("b", []byte("trimmed unread"))
		r.records--
		time.Sleep(25 * time.Hour)
		_, third := r.put("c", []byte("third"), "third")
		next := r.start()
		r.delivered()
		l := r.lease(shardID(0))
		if g := l.LastGap; l.Gaps != 1 || g == nil || g.After.Sequence != first || g.Before != third || g.Cause == "" || g.Found.IsZero() {
			t.Errorf("the lease says %d gaps, the last is %+v", l.Gaps, l.LastGap)
		}
		// A restart does not forget it.
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		again := r.start()
		r.until("the shard is delivered again", func() bool { return again.status(shardID(0)).State == StateDelivering })
		if s := again.status(shardID(0)); len(s.Gaps) != 1 || s.Gaps[0].After != (standpipe.Position{Sequence: first}) {
			t.Errorf("after a restart the status has gaps %+v", s.Gaps)
		}
		if err := again.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}
