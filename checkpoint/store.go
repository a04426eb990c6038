package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/standpipe/standpipe"
)

// ErrExists: Create found a lease of that shard.
var ErrExists = errors.New("lease exists")

// ErrNotFound: there is no lease of that shard.
var ErrNotFound = errors.New("no such lease")

// A FencedError says that an Update's condition did not hold. Current is the
// lease as the store saw it at that moment: as good as a consistent read.
type FencedError struct {
	Current Lease
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("lease of %s is with owner %q at epoch %d, flush %d, checkpoint %s",
		e.Current.Shard, e.Current.Owner, e.Current.Epoch, e.Current.Flush, e.Current.Checkpoint)
}

// A Store keeps leases. Every method is safe for concurrent use, durable when
// it returns nil, and linearizable: a Get sees every write that returned
// before it began. Any other error than those named leaves the outcome
// unknown: the write may have been applied, or may still be applied later.
type Store interface {
	// Create stores a new lease. ErrExists when the shard has one.
	Create(ctx context.Context, l Lease) error
	// Get reads one lease, consistently. ErrNotFound when there is none.
	Get(ctx context.Context, shard standpipe.ShardID) (Lease, error)
	// List reads all leases, ordered by shard id. Leases written meanwhile may
	// or may not be seen.
	List(ctx context.Context) ([]Lease, error)
	// Update applies u.Set if u.If holds and returns the lease as it is then.
	// *FencedError when it does not hold, ErrNotFound when there is no lease.
	Update(ctx context.Context, u Update) (Lease, error)
	// Close gives the store's resources back.
	Close() error
}
