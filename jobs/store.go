package jobs

import (
	"context"
	"errors"
)

var (
	// ErrExists: Create found a job of that id.
	ErrExists = errors.New("job exists")
	// ErrNotFound: there is no such job or slice.
	ErrNotFound = errors.New("no such job")
	// ErrChanged: what was to be replaced is not at the revision that was read.
	ErrChanged = errors.New("changed by somebody else")
)

// A Store is the record of what has to be done and what is. Every method is
// safe for concurrent use and durable when it returns nil. Put replaces only
// what is at the revision it was read at (compare and set), which makes a lost
// race harmless. Any error other than those named leaves the outcome unknown;
// reading again tells, because the token of a claim is random.
//
// Spec, Progress and Result may have 16 MiB each. Every write carries them, so
// small ones are better: what is large belongs into an object.
type Store interface {
	// Create stores a job with its slices; both begin at revision 1, the slices
	// waiting. A job becomes visible only after all of its slices are.
	// ErrExists when there is a job of that id: it is not touched.
	Create(ctx context.Context, j Job, slices []Slice) error
	// Jobs reads all jobs, oldest first.
	Jobs(ctx context.Context) ([]Job, error)
	// Job reads one job, consistently. ErrNotFound.
	Job(ctx context.Context, id string) (Job, error)
	// PutJob replaces a job read at j.Revision. ErrChanged, ErrNotFound.
	PutJob(ctx context.Context, j Job) (Job, error)
	// Slices reads the slices of a job, by number. None when there is no such job.
	Slices(ctx context.Context, job string) ([]Slice, error)
	// States is Slices for who needs only states and revisions: Spec, Progress and
	// Result may be missing. What it returns is never Put.
	States(ctx context.Context, job string) ([]Slice, error)
	// Slice reads one slice, consistently. ErrNotFound.
	Slice(ctx context.Context, job string, number int) (Slice, error)
	// Put replaces a slice read at s.Revision and returns it at the next
	// revision. ErrChanged, ErrNotFound.
	Put(ctx context.Context, s Slice) (Slice, error)
	// Delete forgets a job and its slices. Nil when there is none.
	Delete(ctx context.Context, job string) error
	// Close gives the store's resources back.
	Close() error
}
