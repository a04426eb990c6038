package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	storemem "github.com/standpipe/standpipe/checkpoint/memory"
)

// Slices of one shard that are worked on at once share its turns, and pages
// that are large their bandwidth.
func TestReplaysOfOneShardAtOnceShareItsTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		p := r.boot()
		var reads []time.Time
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "GetRecords" {
				reads = append(reads, time.Now())
			}
			return do()
		})
		const share = 20 * time.Second // slower than the reader by itself
		replay := p.again(share)
		const readers = 5
		done := make(chan error, readers)
		for range readers {
			go func() {
				_, _, err := replay.Digest(t.Context(), m, standpipe.Shard{ID: shardID(0)})
				done <- err
			}()
		}
		for range readers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if len(reads) < readers {
			t.Fatalf("%d reads: this is no scene", len(reads))
		}
		for k := range reads[1:] {
			if d := reads[k+1].Sub(reads[k]); d < share {
				t.Errorf("read %d came %v after the one before", k+1, d)
			}
		}
	})
}

// A reader that ends between a page and the next must not take the turn along.
func TestAReplayThatIsStoppedHandsItsTurnOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		p := r.boot()
		replay := p.again(time.Second)
		ctx, stop := context.WithCancel(t.Context())
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			err := do()
			if op == "GetRecords" {
				stop() // the page is there, and is never decoded
			}
			return err
		})
		if _, _, err := replay.Digest(ctx, m, standpipe.Shard{ID: shardID(0)}); err == nil {
			t.Error("a stopped reading is done")
		}
		p.gate.set(nil)
		if _, _, err := replay.Digest(t.Context(), m, standpipe.Shard{ID: shardID(0)}); err != nil {
			t.Error(err)
		}
	})
}

// The first flush after a take-over begins inside an aggregate, and so does
// its object when it is made again.
func TestTheFirstObjectAfterATakeOverIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.adopt()
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		m := r.manifests(r.lease(shardID(0)))[0]
		if m.First != m.Previous.Sequence {
			t.Fatalf("the range begins with %s after %s: this is no scene", m.First, m.Previous)
		}
		replay, info := r.again()
		if d, _, err := replay.Digest(t.Context(), m, info); err != nil || d.Sum() != m.Hash {
			t.Errorf("read again: %d lines of %d, %v", d.Lines, m.Counts.Lines, err)
		}
		for n := range m.Objects {
			r.bucket.Remove(m.Objects[n].Key)
			if err := replay.Restore(t.Context(), m, info, []int{n}, false); err != nil {
				t.Fatal(err)
			}
		}
		r.lines()
	})
}

// A replay that stood still while another took its range over finds itself
// fenced: what both had begun is there once.
func TestTwoReplaysOfOneRangeDeliverItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, stuckAt := range []string{"append", "publish", "write"} {
			r := newRig(t, 1)
			r.settings.Limits.Records = 40
			for n := range 200 {
				r.event(n)
			}
			end := End{Time: time.Now().Add(time.Second)}
			store := new(storemem.Store)
			zombie := r.boot()
			stuck, wake := make(chan struct{}), make(chan struct{})
			zombie.gate.set(func(_ context.Context, op string, do func() error) error {
				if op == stuckAt && zombie.gate.count(op) == 3 {
					close(stuck)
					<-wake
				}
				return do()
			})
			failed := make(chan error, 1)
			go func() {
				_, err := zombie.again(time.Second).Deliver(t.Context(), store, standpipe.Shard{ID: shardID(0)}, atHorizon(), end)
				failed <- err
			}()
			<-stuck
			if done, err := r.boot().again(time.Second).Deliver(t.Context(), store, standpipe.Shard{ID: shardID(0)}, atHorizon(), end); err != nil || !done {
				t.Fatalf("stuck at %s: done %v, %v", stuckAt, done, err)
			}
			close(wake)
			if err := <-failed; !errors.Is(err, errLeaseLost) {
				t.Errorf("stuck at %s: the zombie ended with %v", stuckAt, err)
			}
			r.lines()
		}
	})
}
