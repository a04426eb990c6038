package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// A claim is a worker's view of the slice it works on. The heartbeat and the
// handler both write it; writing makes their writes come one after the other,
// or each would take the other's revision for a stranger's.
type claim struct {
	store Store
	token string
	job   string

	writing sync.Mutex
	slice   Slice // as last written; guarded by writing

	mu       sync.Mutex // covers progress
	progress json.RawMessage
}

func (c *claim) report(p json.RawMessage) {
	c.mu.Lock()
	c.progress = p
	c.mu.Unlock()
}

// current is the slice with the latest progress.
func (c *claim) current() Slice {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.latest()
}

// latest is current under the lock writing.
func (c *claim) latest() Slice {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.slice.Report(c.progress)
}

// renew writes the latest progress and reports whether the claim still holds.
func (c *claim) renew(ctx context.Context) (held bool, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.replace(ctx, c.latest())
}

// put replaces the slice by next and reports whether it was ours to replace.
func (c *claim) put(ctx context.Context, next Slice) (held bool, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.replace(ctx, next)
}

// replace is put under the lock writing.
// The answer to an earlier write may have been lost, and this one's too, so a
// revision that has moved is looked at: with our token in it the slice is ours
// and next is written on top; if it is what next would be, next was written.
func (c *claim) replace(ctx context.Context, next Slice) (held bool, err error) {
	for {
		written, err := c.store.Put(ctx, next)
		switch {
		case err == nil:
			c.slice = written
			return true, nil
		case errors.Is(err, ErrNotFound): // the job was deleted
			return false, nil
		case !errors.Is(err, ErrChanged):
			return false, fmt.Errorf("write slice %d of job %s: %w", next.Number, next.Job, err)
		}
		stored, err := c.store.Slice(ctx, next.Job, next.Number)
		switch {
		case errors.Is(err, ErrNotFound):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("read slice %d of job %s: %w", next.Number, next.Job, err)
		case stored.Token == c.token:
			next.Revision = stored.Revision
		default:
			// The end of a claim carries no token, but only the claim's owner
			// can have written that state at the very next revision.
			return stored.Token == "" && stored.State == next.State && stored.Revision == next.Revision+1, nil
		}
	}
}
