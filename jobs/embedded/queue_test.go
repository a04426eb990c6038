package embedded

import (
	"context"
	"testing"
	"time"

	"github.com/vmihailenco/taskq/v3"
	bolt "go.etcd.io/bbolt"
)

// rig is a queue whose clock stands still until it is set.
type rig struct {
	*Queue
	clock time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{Queue: s.NewQueue(&taskq.QueueOptions{Name: "q", ReservationTimeout: time.Minute}), clock: time.Unix(1e9, 0)}
	r.now = func() time.Time { return r.clock }
	return r
}

func (r *rig) add(t *testing.T, args string, delay time.Duration) {
	t.Helper()
	err := r.Add(&taskq.Message{Ctx: context.Background(), TaskName: "t", ArgsBin: []byte(args), Delay: delay})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) take(t *testing.T) (*taskq.Message, bool) {
	t.Helper()
	msgs, _, err := r.reserve(1)
	if err != nil {
		t.Fatal(err)
	}
	if len(msgs) == 0 {
		return nil, false
	}
	return &msgs[0], true
}

func (r *rig) want(t *testing.T, args string) *taskq.Message {
	t.Helper()
	m, ok := r.take(t)
	if !ok {
		t.Fatalf("nothing is due, want %q", args)
	}
	if m.Err != nil || string(m.ArgsBin) != args {
		t.Fatalf("got %q (%v), want %q", m.ArgsBin, m.Err, args)
	}
	return m
}

func (r *rig) wantNone(t *testing.T) {
	t.Helper()
	if m, ok := r.take(t); ok {
		t.Fatalf("%q is due", m.ArgsBin)
	}
}

func TestMessagesComeInOrderOfTheirTime(t *testing.T) {
	r := newRig(t)
	r.add(t, "late", time.Hour)
	r.add(t, "soon", time.Second)
	r.add(t, "now", 0)
	r.want(t, "now")
	r.wantNone(t)
	r.clock = r.clock.Add(time.Second)
	r.want(t, "soon")
	r.clock = r.clock.Add(time.Minute - time.Second) // the reservation of "now" ends
	r.want(t, "now")
	if n, err := r.Len(); err != nil || n != 3 {
		t.Fatalf("%d messages, %v", n, err)
	}
}

func TestAReservationEndsAndItsLateAnswersCountForNothing(t *testing.T) {
	r := newRig(t)
	r.add(t, "m", 0)
	first := r.want(t, "m")
	r.wantNone(t)
	r.clock = r.clock.Add(time.Minute)
	second := r.want(t, "m")
	if second.ReservedCount != 2 {
		t.Errorf("reserved %d times", second.ReservedCount)
	}
	for name, late := range map[string]func() error{
		"delete":  func() error { return r.Delete(first) },
		"release": func() error { return r.Release(first) },
		"keep":    func() error { return r.Keep(context.Background(), first) },
	} {
		if err := late(); err != nil {
			t.Errorf("late %s: %v", name, err)
		}
	}
	r.wantNone(t)
	if err := r.Delete(second); err != nil {
		t.Fatal(err)
	}
	r.clock = r.clock.Add(time.Hour)
	r.wantNone(t)
}

func TestAKeptMessageIsNotGivenOut(t *testing.T) {
	r := newRig(t)
	r.add(t, "m", 0)
	m := r.want(t, "m")
	for range 5 {
		r.clock = r.clock.Add(40 * time.Second)
		if err := r.Keep(context.Background(), m); err != nil {
			t.Fatal(err)
		}
		r.wantNone(t)
	}
	r.clock = r.clock.Add(time.Minute)
	r.want(t, "m")
}

func TestAReleasedMessageComesAfterItsDelay(t *testing.T) {
	r := newRig(t)
	r.add(t, "m", 0)
	m := r.want(t, "m")
	m.Delay = 10 * time.Second
	if err := r.Release(m); err != nil {
		t.Fatal(err)
	}
	r.clock = r.clock.Add(9 * time.Second)
	r.wantNone(t)
	r.clock = r.clock.Add(time.Second)
	r.want(t, "m")
}

func TestAWaitingReserveIsWokenByAnAdd(t *testing.T) {
	r := newRig(t)
	r.now = time.Now
	got := make(chan int, 1)
	go func() {
		msgs, err := r.ReserveN(context.Background(), 1, time.Minute)
		if err != nil {
			t.Error(err)
		}
		got <- len(msgs)
	}()
	r.add(t, "m", 0)
	if n := <-got; n != 1 {
		t.Fatalf("%d messages", n)
	}
}

func TestAReserveEndsWithItsContext(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.ReserveN(ctx, 1, time.Minute); err == nil {
		t.Fatal("no error")
	}
}

func TestABodyThatCannotBeReadIsHandedOutWithItsError(t *testing.T) {
	r := newRig(t)
	r.add(t, "m", 0)
	err := r.store.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketMessages)
		k, _ := b.Cursor().First()
		return put(b, k, stored{Due: r.clock.UnixNano(), Body: []byte("no message")})
	})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := r.take(t)
	if !ok || m.Err == nil {
		t.Fatalf("got %+v", m)
	}
	if err := r.Delete(m); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Len(); err != nil || n != 0 {
		t.Fatalf("%d messages left, %v", n, err)
	}
}

func TestAPurgedQueueIsEmptyAndGoesOn(t *testing.T) {
	r := newRig(t)
	r.add(t, "old", 0)
	old := r.want(t, "old")
	if err := r.Purge(); err != nil {
		t.Fatal(err)
	}
	r.add(t, "new", 0)
	r.want(t, "new")
	if err := r.Delete(old); err != nil { // of the same try, but not of the same message
		t.Fatal(err)
	}
	if n, err := r.Len(); err != nil || n != 1 {
		t.Fatalf("%d messages, %v", n, err)
	}
}

// A command that has nothing left to do should not look for more first.
func TestClosingEndsAWaitForMessages(t *testing.T) {
	r := newRig(t)
	done := make(chan error)
	go func() {
		_, err := r.ReserveN(context.Background(), 1, time.Hour)
		done <- err
	}()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
