package replay

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/vmihailenco/taskq/v3"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shard = standpipe.ShardID("shardId-000000000000")

// inSlice runs f as the handler of a job's only slice.
func inSlice(t *testing.T, f func(ctx context.Context, store jobs.Store, task jobs.Task)) {
	t.Helper()
	store, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Create(t.Context(), jobs.Job{ID: "j", Kind: "k", Slices: 1}, []jobs.Slice{{Job: "j", State: jobs.Waiting}}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	handlers := map[string]jobs.Handler{"k": func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		defer close(ended)
		f(ctx, store, task)
		return nil, nil
	}}
	newQueue := func(o *taskq.QueueOptions) jobs.Queue { return store.NewQueue(o) }
	runner, err := jobs.NewRunner(store, newQueue, handlers, jobs.Options{Beat: time.Millisecond, ClaimTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	<-ended
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// begin makes the lease and takes it.
func begin(ctx context.Context, t *testing.T, s *state) checkpoint.Lease {
	t.Helper()
	if _, err := s.Get(ctx, shard); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("before there is a lease: %v", err)
	}
	first := checkpoint.Lease{Shard: shard, Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon}, Incarnation: "i"}
	if err := s.Create(ctx, first); err != nil {
		t.Error(err)
	}
	if err := s.Create(ctx, first); !errors.Is(err, checkpoint.ErrExists) {
		t.Errorf("a second lease: %v", err)
	}
	taken, err := s.Update(ctx, checkpoint.Take(first, "me"))
	if err != nil || taken.Owner != "me" || taken.Epoch != 1 {
		t.Errorf("%+v, %v", taken, err)
	}
	return taken
}

// The heartbeat writes every millisecond beside it.
func TestTheLeaseOfASliceIsItsProgress(t *testing.T) {
	inSlice(t, func(ctx context.Context, store jobs.Store, task jobs.Task) {
		s := &state{store: store, task: task}
		l := begin(ctx, t, s)
		for n := range int64(50) {
			p := checkpoint.Pending{Position: standpipe.Position{Sequence: "7", Sub: n}, State: []byte{1, 2}}
			for _, u := range []func(checkpoint.Lease) checkpoint.Update{
				func(l checkpoint.Lease) checkpoint.Update { return checkpoint.Prepare(l, p) },
				func(l checkpoint.Lease) checkpoint.Update { return checkpoint.Commit(l, time.Unix(n, 0), nil) },
			} {
				old := u(l)
				var err error
				if l, err = s.Update(ctx, old); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.Update(ctx, old); !fencedBy(err, "me") {
					t.Errorf("the same write once more: %v", err)
				}
				if got, err := s.Get(ctx, shard); err != nil || got.Counter != l.Counter || got.Checkpoint != l.Checkpoint || got.Flush != n+1 || !got.Seen.Equal(l.Seen) {
					t.Errorf("stored %+v, written %+v, %v", got, l, err)
				}
			}
		}
	})
}

func fencedBy(err error, owner string) bool {
	e, ok := errors.AsType[*checkpoint.FencedError](err)
	return ok && e.Current.Owner == owner
}

// Whoever has lost the claim sees what it would see after the other's Take,
// also before that one has taken.
func TestALostClaimIsALostLease(t *testing.T) {
	inSlice(t, func(ctx context.Context, store jobs.Store, task jobs.Task) {
		s := &state{store: store, task: task}
		l := begin(ctx, t, s)
		for { // between two heartbeats
			now, err := store.Slice(ctx, "j", 0)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err = store.Put(ctx, now.Claim("another", "its token")); err == nil {
				break
			}
			if !errors.Is(err, jobs.ErrChanged) {
				t.Error(err)
				return
			}
		}
		ctx = context.WithoutCancel(ctx) // a zombie does not hear of it
		if got, err := s.Get(ctx, shard); err != nil || got.Owner == "me" || got.Epoch != l.Epoch+1 {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := s.Update(ctx, checkpoint.Prepare(l, checkpoint.Pending{})); err == nil || fencedBy(err, "me") {
			t.Errorf("the zombie's write: %v", err)
		}
		other := task
		other.Slice.Token = "its token"
		if got, err := (&state{store: store, task: other}).Get(ctx, shard); err != nil || got.Owner != "me" || got.Pending != nil {
			t.Errorf("the new owner finds %+v, %v", got, err)
		}
	})
}

func TestAPositionOfAnotherVersionIsNotGuessed(t *testing.T) {
	_, err := leaseOf(jobs.Slice{Progress: json.RawMessage(`{"v":2,"lease":{}}`)})
	if standpipe.ClassOf(err) != standpipe.Fatal {
		t.Error(err)
	}
}
