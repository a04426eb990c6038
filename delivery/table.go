package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/internal/backoff"
)

// restarts is how long a shard that failed rests before it is begun again.
var restarts = backoff.Policy{Min: time.Second, Max: time.Minute}

// running is the worker's view of one shard, whoever delivers it.
type running struct {
	shard    *shard // while its goroutine lives here
	stop     context.CancelCauseFunc
	abandon  context.CancelCauseFunc
	to       string             // whom it is being handed to
	handing  bool               // it is being handed over, to whomever
	givenUp  bool               // it was stalled, and its goroutine has not ended yet
	taken    bool               // another worker has its lease, and its goroutine is ending
	lost     bool               // the same, in a store that cannot be shared: never again
	from     standpipe.Position // the checkpoint it was begun at
	failures int                // in a row, without a commit in between
	resume   time.Time          // not before, after it ended untimely
	last     ShardStatus        // what is shown while it does not run here
}

// errNotTaken: another worker was faster, or it is not the shard's turn.
var errNotTaken = errors.New("another worker took the lease first, or a parent has not ended")

// errStalled: the shard made no progress.
var errStalled = fmt.Errorf("no progress for %s", stallAfter)

// launched makes the shard of a lease and puts it into the table.
func (w *Worker) launched(l checkpoint.Lease, stop, abandon context.CancelCauseFunc) *shard {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.row(l.Shard)
	r.shard = newShard(w, l, standpipe.Shard{ID: l.Shard, Parents: l.Parents, HashStart: l.HashStart, HashEnd: l.HashEnd})
	if r.last.State == StateFailed { // what it failed to read is unread since then
		r.shard.state.Begun, r.shard.state.ReadAt, r.shard.state.Behind = r.last.Begun, r.last.ReadAt, r.last.Behind
		r.shard.publishStatus()
	}
	r.stop, r.abandon, r.from, r.to, r.handing = stop, abandon, l.Checkpoint, "", false
	return r.shard
}

func (w *Worker) row(id standpipe.ShardID) *running {
	r := w.shards[id]
	if r == nil {
		r = &running{last: ShardStatus{Shard: id}}
		w.shards[id] = r
	}
	return r
}

// deliver takes the lease and runs the shard. A panic in one shard is that
// shard's failure: it is reported with its stack and the shard begun again.
func (l *loop) deliver(reading, working context.Context, s *shard) (f finish) {
	f.shard = s.origin.Shard
	defer func() {
		if p := recover(); p != nil {
			f.reason, f.err = standpipe.StopFailed, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := l.open(reading, s); err != nil {
		f.reason, f.err = standpipe.StopFailed, err
		if reading.Err() != nil && working.Err() == nil {
			f.reason, f.err = standpipe.StopShutdown, nil // stopped before it was taken
			s.enter(StateReleased)
		}
		return f
	}
	f.reason, f.err = s.run(reading, working)
	if f.reason == standpipe.StopShutdown {
		if f.to = successorOf(reading); f.to != "" {
			l.pulse.nudge(working, f.to)
		}
	}
	return f
}

// open takes the lease, when it is this shard's turn.
func (l *loop) open(reading context.Context, s *shard) error {
	select {
	case l.opening <- struct{}{}:
	case <-reading.Done():
		return context.Cause(reading)
	}
	defer func() { <-l.opening }()
	if reading.Err() != nil {
		return context.Cause(reading)
	}
	if err := s.protocol.orphan(reading, s.unseen); err != nil {
		return err
	}
	err := s.protocol.take(reading, l.settings.Worker)
	if errors.Is(err, errLeaseLost) {
		return errNotTaken
	}
	if err == nil {
		s.epoch.Store(s.lease().Epoch)
	}
	return err
}

// landed takes note of how a shard's goroutine ended.
func (w *Worker) landed(f finish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.shards[f.shard]
	r.last = *r.shard.status.Load()
	r.last.Buffered = 0   // given back, however it ended
	released := r.givenUp // by us, whatever its goroutine makes of it
	r.shard, r.givenUp, r.taken, r.handing, r.to = nil, false, false, false, ""
	w.metrics.forget(f.shard)
	log := w.log.With(zap.String("shard", string(f.shard)), zap.String("reason", string(f.reason)))
	switch {
	case errors.Is(f.err, errNotTaken):
		// The next look shows whose it is. A moment's rest keeps a store that
		// shows old rows from being asked in a tight loop.
		r.resume = time.Now().Add(restarts.Min)
		r.last.State = StateUnowned
		log.Debug("not taken", zap.Error(f.err))
	case f.reason == standpipe.StopShardEnd:
	case f.reason == standpipe.StopLeaseLost:
		r.lost = w.settings.Lease.Duration == 0 && !released
		log.Warn("lease lost")
	case f.reason == standpipe.StopFailed:
		if r.last.Checkpoint != r.from {
			r.failures = 0
		}
		r.failures++
		wait := restarts.Delay(r.failures, w.random())
		r.resume = time.Now().Add(wait)
		r.last.State, r.last.Error = StateFailed, f.err.Error()
		w.metrics.failures.Inc()
		log.Error("delivery failed, beginning again", zap.Error(f.err), zap.Duration("after", wait))
	case f.to != "":
		w.metrics.handedOver.Inc()
		log.Info("handed over", zap.String("successor", f.to))
	default:
		log.Info("released")
	}
}

// me is what the plan has to know of this worker.
func (w *Worker) me() checkpoint.Me {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	me := checkpoint.Me{
		ID: w.settings.Worker, Capacity: w.settings.Lease.Capacity,
		Held: map[standpipe.ShardID]string{}, Fixed: map[standpipe.ShardID]bool{}, Refused: map[standpipe.ShardID]bool{},
	}
	for id, r := range w.shards {
		switch {
		case r.givenUp || r.taken || r.lost:
			me.Refused[id] = true
		case r.shard != nil:
			me.Held[id] = r.to
			me.Fixed[id] = r.handing
		case now.Before(r.resume) && r.last.State == StateFailed && r.last.Owner == w.settings.Worker:
			me.Held[id], me.Fixed[id] = "", true
		case now.Before(r.resume):
			me.Refused[id] = true
		}
	}
	return me
}

// note compares the table with the leases. A shard whose lease another worker
// took ends; what does not run here is shown as the leases say.
func (w *Worker) note(roster checkpoint.Roster, v checkpoint.View) {
	holders := make(map[standpipe.ShardID]string, len(v.Seats))
	for _, s := range v.Seats {
		holders[s.Shard] = s.Holder
	}
	leased := make(map[standpipe.ShardID]bool, len(roster.Leases))
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, l := range roster.Leases {
		leased[l.Shard] = true
		r := w.row(l.Shard)
		if r.shard != nil {
			if w.another(r.shard, l) {
				r.taken = true
				r.abandon(errLeaseLost)
			}
			continue
		}
		if r.last.State == StateFailed && (now.Before(r.resume) || l.Owner == w.settings.Worker) {
			r.last.Owner = l.Owner
			continue
		}
		r.last.show(l, v.Waiting[l.Shard], holders[l.Shard])
	}
	for id, r := range w.shards {
		if !leased[id] && r.shard == nil {
			delete(w.shards, id) // finished long ago, and removed
		}
	}
}

// another says that l is not the lease that s took any more: taken by another
// worker, made anew after somebody deleted it, or taken by a program that raises
// no epoch. An idle shard writes nothing that would be refused. Where nobody
// shares the store, its writes tell.
func (w *Worker) another(s *shard, l checkpoint.Lease) bool {
	epoch := s.epoch.Load()
	switch {
	case epoch == 0: // not taken yet
		return false
	case l.Epoch > epoch:
		return true
	case w.settings.Lease.Duration == 0:
		return false
	case l.Incarnation != s.origin.Incarnation:
		w.log.Error("the lease of a shard was deleted and made anew, beginning at the configured start", zap.String("shard", string(l.Shard)))
		return true
	}
	return l.Epoch == epoch && l.Owner != "" && l.Owner != w.settings.Worker
}

// rested is how long it is until the first shard may begin again, if any rests.
func (w *Worker) rested(now time.Time) (first time.Duration, any bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.shards {
		if r.shard == nil && !r.resume.IsZero() && r.resume.After(now) {
			if d := r.resume.Sub(now); !any || d < first {
				first, any = d, true
			}
		}
	}
	return first, any
}

// handing counts the shards that are being handed over.
func (w *Worker) handing() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.shards {
		if r.shard != nil && r.handing {
			n++
		}
	}
	return n
}

// give ends a shard's intake; when it is drained its lease goes to the successor.
func (w *Worker) give(m checkpoint.Move) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.shards[m.Shard]; r != nil && r.shard != nil && !r.handing {
		r.handing, r.to = true, m.To
		r.stop(handOver{m.To})
	}
}

// stopAll ends the intake of every shard that is not being handed over.
func (w *Worker) stopAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.shards {
		if r.shard != nil && !r.handing {
			r.handing = true
			r.stop(handOver{})
		}
	}
}

// stalled gives a shard up if it runs here under this lease and makes no
// progress. It reports whether the lease is to be released: of a shard that was
// given up before, when that was not done.
func (w *Worker) stalled(l checkpoint.Lease) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.shards[l.Shard]
	if r == nil || r.shard == nil || l.Owner != w.settings.Worker || l.Epoch != r.shard.epoch.Load() {
		return false
	}
	if r.givenUp || !r.shard.progress.overdue(time.Now()) {
		return r.givenUp
	}
	r.givenUp = true
	r.abandon(errStalled)
	w.metrics.givenUp.Inc()
	w.log.Error("a shard makes no progress, giving it up", zap.String("shard", string(l.Shard)), zap.Duration("after", stallAfter))
	return true
}
