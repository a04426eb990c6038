package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/jobs"
)

// A state is the checkpoint.Store of one slice: its one lease is the slice's
// progress in the job store, so that whoever claims the slice next goes on where
// it was. Safe for concurrent use.
//
// The job store's compare-and-set is what makes it one: a write is stored only
// while the claim holds. To whoever has lost the claim the lease shows another
// owner and the next epoch, as after that one's Take, whether it has taken yet
// or not; so delivery sees what it sees on the live path, and is fenced.
//
// A write without an answer may still be applied, by the claim's heartbeat too.
// Between it and the next one nothing else is written, so it is applied as it
// was or not at all.
type state struct {
	store jobs.Store
	task  jobs.Task

	writing sync.Mutex // what a write is based on stays true until it is stored
}

// progress is what a slice keeps.
type progress struct {
	Version int              `json:"v"`
	Lease   checkpoint.Lease `json:"lease"`
}

const progressVersion = 1

// errNoFleet: a slice has one worker, whom its claim shows to be alive.
var errNoFleet = fmt.Errorf("the lease of a slice has no fleet: %w", errors.ErrUnsupported)

// row is the lease as this claim has to see it.
func (s *state) row(ctx context.Context) (l checkpoint.Lease, held bool, err error) {
	now, err := s.store.Slice(ctx, s.task.Job.ID, s.task.Slice.Number)
	if errors.Is(err, jobs.ErrNotFound) {
		return l, false, fmt.Errorf("%w: the job was deleted", checkpoint.ErrNotFound)
	}
	if err != nil {
		return l, false, err
	}
	held = now.Token == s.task.Slice.Token
	if l, err = leaseOf(now); err != nil {
		return l, held, err
	}
	if !held {
		l.Owner, l.Epoch, l.Counter = "another claim of the slice", l.Epoch+1, l.Counter+1
	}
	return l, held, nil
}

// leaseOf reads the lease out of a slice. checkpoint.ErrNotFound before there is one.
func leaseOf(s jobs.Slice) (checkpoint.Lease, error) {
	if s.Progress == nil {
		return checkpoint.Lease{}, checkpoint.ErrNotFound
	}
	var p progress
	err := json.Unmarshal(s.Progress, &p)
	if err == nil && p.Version != progressVersion {
		err = fmt.Errorf("it is of version %d, this program knows %d", p.Version, progressVersion)
	}
	if err != nil {
		return p.Lease, &standpipe.Error{
			Class: standpipe.Fatal, Op: fmt.Sprintf("read the position of slice %d of job %s", s.Number, s.Job), Err: err,
			Hint: "run the version of standpipe that began it, or a newer one",
		}
	}
	return p.Lease, nil
}

func (s *state) save(ctx context.Context, l checkpoint.Lease) error {
	b, err := json.Marshal(progress{progressVersion, l})
	if err != nil {
		return fmt.Errorf("encode the lease of %s: %w", l.Shard, err)
	}
	return s.task.Save(ctx, b)
}

// Create implements checkpoint.Store.
func (s *state) Create(ctx context.Context, l checkpoint.Lease) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, _, err := s.row(ctx)
	switch {
	case err == nil:
		return checkpoint.ErrExists
	case !errors.Is(err, checkpoint.ErrNotFound):
		return err
	}
	return s.save(ctx, l)
}

// Get implements checkpoint.Store.
func (s *state) Get(ctx context.Context, shard standpipe.ShardID) (checkpoint.Lease, error) {
	l, _, err := s.row(ctx)
	if err == nil && l.Shard != shard {
		return checkpoint.Lease{}, checkpoint.ErrNotFound
	}
	return l, err
}

// Update implements checkpoint.Store.
func (s *state) Update(ctx context.Context, u checkpoint.Update) (checkpoint.Lease, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	l, held, err := s.row(ctx)
	switch {
	case err != nil:
		return l, err
	case l.Shard != u.Shard:
		return l, checkpoint.ErrNotFound
	case !held || !u.If.Holds(l):
		return checkpoint.Lease{}, &checkpoint.FencedError{Current: l}
	}
	next := u.Set.Apply(l)
	return next, s.save(ctx, next)
}

// Delete implements checkpoint.Store. A slice's lease goes with its job.
func (s *state) Delete(context.Context, checkpoint.Lease) error { return errNoFleet }

// Roster implements checkpoint.Store.
func (s *state) Roster(context.Context) (checkpoint.Roster, error) {
	return checkpoint.Roster{}, errNoFleet
}

// Beat implements checkpoint.Store.
func (s *state) Beat(context.Context, checkpoint.Worker) (checkpoint.Worker, error) {
	return checkpoint.Worker{}, errNoFleet
}

// Nudge implements checkpoint.Store.
func (s *state) Nudge(context.Context, string) error { return errNoFleet }

// Forget implements checkpoint.Store.
func (s *state) Forget(context.Context, string) error { return errNoFleet }

// Close implements checkpoint.Store. The job store is its owner's to close.
func (s *state) Close() error { return nil }
