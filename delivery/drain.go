package delivery

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
)

// A handOver is why intake ends: the lease is to be given up, to a successor
// if one is named.
type handOver struct{ to string }

func (h handOver) Error() string {
	if h.to == "" {
		return "the worker stops"
	}
	return "handed over to " + h.to
}

// successorOf names whom a shard is handed to whose intake was ended.
func successorOf(reading context.Context) string {
	if h, ok := errors.AsType[handOver](context.Cause(reading)); ok {
		return h.to
	}
	return ""
}

// errDrained: intake was stopped, everything taken is committed or in a
// prepared flush, the lease is free.
var errDrained = errors.New("drained")

// errIntentLeft: a drain stops at a prepared flush that takes long to finish.
// The successor can finish it as well, and goes on sooner.
var errIntentLeft = errors.New("the prepared flush is left to the successor")

// settleLimit is how long a hand-over waits for a prepared flush to become visible.
const settleLimit = 2 * time.Second

// drain delivers what is buffered and gives the lease up, to successor if that
// names a worker.
func (s *shard) drain(working context.Context, successor string) error {
	s.enter(StateDraining)
	reason := standpipe.SealShutdown
	if successor != "" {
		reason = standpipe.SealHandoff
		s.handing = true
	}
	if err := s.seal(working, reason); err != nil {
		return err
	}
	switch err := s.deliverSealed(working); {
	case errors.Is(err, errIntentLeft):
		s.log.Info("leaving a prepared flush to the successor", zap.String("successor", successor))
	case err != nil:
		return err
	}
	seen := s.idleSince()
	if !seen.After(s.lease().Seen) {
		seen = time.Time{}
	}
	if err := s.protocol.release(working, successor, seen); err != nil {
		return err
	}
	return errDrained
}

// settle finishes the flush that was just prepared, or, when the shard is
// being handed over and that takes long, leaves it to the successor. What is
// under way then is what a crash would leave: the successor's settle is made for it.
func (s *shard) settle(ctx context.Context) error {
	if s.handing {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, settleLimit, errIntentLeft)
		defer cancel()
	}
	return s.protocol.settle(ctx)
}

// discard forgets everything not committed: the range is read again.
func (s *shard) discard(ctx context.Context) {
	for _, f := range append(s.sealed, s.current) {
		if f != nil {
			s.abandon(ctx, f)
		}
	}
	for _, w := range s.rebuilt {
		s.abandonObject(ctx, w)
	}
	s.sealed, s.current, s.rebuilt = nil, nil, nil
	s.account()
}

// drop is discard for a shard that stops. It gets a moment of its own: the
// context that stopped the shard may be gone.
func (s *shard) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.discard(ctx)
}
