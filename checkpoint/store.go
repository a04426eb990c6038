package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/standpipe/standpipe"
)

// ErrExists: Create found a lease of that shard.
var ErrExists = errors.New("lease exists")

// ErrNotFound: there is no lease of that shard, or no worker of that id.
var ErrNotFound = errors.New("no such lease or worker")

// A FencedError says that the condition of an Update or a Delete did not hold. Current is the
// lease as the store saw it at that moment: as good as a consistent read.
type FencedError struct {
	Current Lease
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("lease of %s is with owner %q at epoch %d, flush %d, checkpoint %s",
		e.Current.Shard, e.Current.Owner, e.Current.Epoch, e.Current.Flush, e.Current.Checkpoint)
}

// A Store keeps the leases of a stream and the workers that share them. Every
// method is safe for concurrent use, durable when it returns nil, and writes
// one row. Get and Update are linearizable: a Get sees every write that
// returned before it began. Any other error than those named leaves the
// outcome unknown: the write may have been applied, or may still be applied later.
type Store interface {
	// Create stores a new lease. ErrExists when the shard has one.
	Create(ctx context.Context, l Lease) error
	// Get reads one lease, consistently. ErrNotFound when there is none.
	Get(ctx context.Context, shard standpipe.ShardID) (Lease, error)
	// Update applies u.Set if u.If holds and returns the lease as it is then.
	// *FencedError when it does not hold, ErrNotFound when there is no lease.
	Update(ctx context.Context, u Update) (Lease, error)
	// Delete removes a lease if its Counter is still l.Counter: *FencedError
	// when it is not, ErrNotFound when there is no lease.
	Delete(ctx context.Context, l Lease) error
	// Roster reads all leases and all workers. A row that was written before
	// the call began is seen as it was then or later; rows written meanwhile
	// may or may not be seen, so two rows may be of different moments.
	Roster(ctx context.Context) (Roster, error)
	// Beat stores w's row, or makes it, and returns it as it is then: Counter
	// is the stored one plus 1, or 1 in a new row, and Nudges is the stored
	// one, whatever w says of them. So one heartbeat also brings the nudges.
	// Called by the worker itself, one call at a time.
	Beat(ctx context.Context, w Worker) (Worker, error)
	// Nudge asks a worker to look at the leases now: Nudges + 1. ErrNotFound
	// when there is no such worker; it never makes a row.
	Nudge(ctx context.Context, id string) error
	// Forget removes a worker's row; nil when there is none.
	Forget(ctx context.Context, id string) error
	// Close gives the store's resources back.
	Close() error
}
