package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/backoff"
)

// Limits of one call. DynamoDB answers within tens of milliseconds; the SDK has
// no deadline of its own, so a silent connection would hold a lease for ever.
const (
	attemptTimeout = 3 * time.Second
	callTimeout    = 15 * time.Second
)

// repeats is how long to wait between attempts. Each call waits for itself:
// one token bucket for all shards would let a throttled one starve the rest.
var repeats = backoff.Policy{Min: 50 * time.Millisecond, Max: 2 * time.Second}

// A caller makes calls with deadlines and repeats what a repeat may heal.
type caller struct {
	table   string
	attempt time.Duration // limit of one attempt

	mu  sync.Mutex
	rnd *rand.Rand // guarded by mu: jitter
}

func newCaller(table string) *caller {
	return &caller{table: table, attempt: attemptTimeout, rnd: rand.New(rand.NewPCG(backoff.Seed(), 0))}
}

// do makes attempts until one has an answer, callTimeout passed or ctx ended. doubtful
// says that an attempt without an answer may have been applied, or may still be.
func (c *caller) do(ctx context.Context, op string, attempt func(context.Context) error) (doubtful bool, err error) {
	op = fmt.Sprintf("table %s: %s", c.table, op)
	if ctx.Err() != nil {
		return false, fmt.Errorf("%s: %w", op, context.Cause(ctx))
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for failures := 1; ; failures++ {
		err := c.once(bounded, attempt)
		if err == nil || isConditionFailed(err) {
			return doubtful, err
		}
		doubtful = doubtful || mayBeApplied(err)
		if ctx.Err() != nil {
			return doubtful, fmt.Errorf("%s: %w", op, context.Cause(ctx))
		}
		err = classify(op, c.table, err)
		if class := standpipe.ClassOf(err); class != standpipe.Retryable && class != standpipe.Throttled {
			return doubtful, err
		}
		c.mu.Lock()
		wait := repeats.Delay(failures, c.rnd)
		c.mu.Unlock()
		if backoff.Sleep(bounded, wait) != nil {
			if ctx.Err() != nil {
				return doubtful, fmt.Errorf("%s: %w", op, context.Cause(ctx))
			}
			return doubtful, err
		}
	}
}

func (c *caller) once(ctx context.Context, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.attempt)
	defer cancel()
	return attempt(ctx)
}

func isConditionFailed(err error) bool {
	_, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	return ok
}

// mayBeApplied says that an attempt that failed with err may have reached the
// table: it had no answer, or one that does not say, or a good one that broke
// off. A 4xx was refused before anything was written, and a connection that was
// never made carried nothing.
func mayBeApplied(err error) bool {
	if status := statusOf(err); status != 0 {
		return status < 400 || status >= 500
	}
	if n, ok := errors.AsType[*net.OpError](err); ok && n.Op == "dial" {
		return false
	}
	return !unsigned(err)
}
