package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// Do makes attempts until one has an answer, 15 s passed or ctx ended. An attempt
// has 3 s. doubtful says that an attempt without an answer may have been applied,
// or may still be; the error is classified, but for a failed condition.
func (t *Table) Do(ctx context.Context, op string, attempt func(context.Context) error) (doubtful bool, err error) {
	op = fmt.Sprintf("table %s: %s", t.Name, op)
	if ctx.Err() != nil {
		return false, fmt.Errorf("%s: %w", op, context.Cause(ctx))
	}
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for failures := 1; ; failures++ {
		err := t.once(bounded, attempt)
		if err == nil || ConditionFailed(err) {
			return doubtful, err
		}
		doubtful = doubtful || mayBeApplied(err)
		if ctx.Err() != nil {
			return doubtful, fmt.Errorf("%s: %w", op, context.Cause(ctx))
		}
		err = t.classify(op, err)
		if class := standpipe.ClassOf(err); class != standpipe.Retryable && class != standpipe.Throttled {
			return doubtful, err
		}
		if backoff.Sleep(bounded, t.delay(failures)) != nil {
			if ctx.Err() != nil {
				return doubtful, fmt.Errorf("%s: %w", op, context.Cause(ctx))
			}
			return doubtful, err
		}
	}
}

func (t *Table) delay(failures int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return repeats.Delay(failures, t.rnd)
}

func (t *Table) once(ctx context.Context, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, t.Attempt)
	defer cancel()
	return attempt(ctx)
}

// ConditionFailed reports whether err is a condition that did not hold.
func ConditionFailed(err error) bool {
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
