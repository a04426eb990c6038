package delivery

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/sink"
)

// Waits between repeats of a call to the sink or the store. A refusal by
// policy needs a person, so it is repeated slowly; it is never given up.
var (
	ordinaryRepeats = backoff.Policy{Min: 100 * time.Millisecond, Max: 20 * time.Second}
	deniedRepeats   = backoff.Policy{Min: 5 * time.Second, Max: time.Minute}
)

// callLimit bounds one attempt of a small call, dataLimit one that carries a
// part of an object: 5 MiB in 2 minutes is 44 kB/s.
const (
	callLimit = 30 * time.Second
	dataLimit = 2 * time.Minute
)

// A holder repeats calls until they have an answer. It is the one retry policy
// for the sink and the store: an outage holds the shard, it never drops data.
type holder struct {
	rand    *rand.Rand
	log     *zap.Logger
	metrics *metrics
	// waiting is told what the shard is held by, and "" when it goes on.
	waiting func(why string)
	// expect is told how long the attempt that begins may take; nil tells nobody.
	expect func(time.Duration)
}

// do calls f until it returns nil, a final answer, or ctx ends. Each attempt
// gets at most limit.
func (h *holder) do(ctx context.Context, op string, limit time.Duration, f func(context.Context) error) error {
	for failures := 0; ; {
		err := h.attempt(ctx, limit, f)
		if err == nil || final(err) {
			h.recovered(op, failures)
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		failures++
		if err := backoff.Sleep(ctx, h.failed(op, failures, err)); err != nil {
			return err
		}
	}
}

// failed shows, counts and logs a failed attempt, and says how long to wait
// before the next one.
func (h *holder) failed(op string, failures int, err error) (wait time.Duration) {
	wait = repeats(err).Delay(failures, h.rand)
	h.waiting(op + ": " + err.Error())
	h.metrics.attemptsFailed.WithLabelValues(string(standpipe.ClassOf(err))).Inc()
	// Every attempt at first, then once per doubling: a long outage must not
	// drown the log.
	if failures&(failures-1) == 0 {
		h.log.Warn("holding", zap.String("op", op), zap.Int("failures", failures), zap.Duration("next", wait), zap.Error(err))
	}
	return wait
}

func (h *holder) recovered(op string, failures int) {
	if failures > 0 {
		h.waiting("")
		h.log.Info("recovered", zap.String("op", op), zap.Int("failures", failures))
	}
}

// attempt is one call. It and the wait after it may take their time without
// the shard counting as stalled.
func (h *holder) attempt(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	if h.expect != nil {
		h.expect(limit + deniedRepeats.Max)
	}
	return attempt(ctx, limit, f)
}

func attempt(ctx context.Context, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return f(ctx)
}

func repeats(err error) backoff.Policy {
	switch standpipe.ClassOf(err) {
	case standpipe.Denied, standpipe.NotFound:
		return deniedRepeats
	}
	return ordinaryRepeats
}

// final says that err is an answer, not an outage: repeating the same call
// cannot give another one.
func final(err error) bool {
	for _, answer := range []error{
		checkpoint.ErrExists, checkpoint.ErrNotFound,
		sink.ErrExists, sink.ErrNotFound, sink.ErrNoUpload,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	if _, ok := errors.AsType[*checkpoint.FencedError](err); ok {
		return true
	}
	return standpipe.ClassOf(err) == standpipe.Fatal
}
