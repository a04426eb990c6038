package delivery

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// beatsPerLease is how many heartbeats fit into a lease: four in a row may get
// lost before anybody takes this worker for dead. beatAtLeast bounds the time
// between two from above, for they bring the nudges: it is how long a shard that
// is handed over waits for its successor to hear of it.
const (
	beatsPerLease = 5
	beatAtLeast   = 2 * time.Second
)

// A pulse is the worker's heartbeat: one write for all its shards, off their
// data path, so that no back-pressure can hold it up. It also brings nudges.
// With leases of duration 0 there is nobody to show it to, and it does nothing.
type pulse struct {
	store    checkpoint.Store
	row      checkpoint.Worker
	duration time.Duration
	log      *zap.Logger
	failed   func(standpipe.Class)
	live     func() error // why the heartbeat must stop

	leaving atomic.Bool
	left    chan struct{} // closed by leave
	// doubtful says that heartbeats failed for so long that every lease may be
	// another's by now. A look at the leases ends it.
	doubtful atomic.Bool

	mu    sync.Mutex // covers what follows
	last  time.Time  // when the last heartbeat that was stored was sent
	heard time.Time  // when the leases were read last, at first that of the first heartbeat
}

func newPulse(w *Worker) *pulse {
	s := w.settings.Lease
	return &pulse{
		store: w.parts.Store, duration: s.Duration, log: w.log, live: w.turning, left: make(chan struct{}),
		failed: func(c standpipe.Class) { w.metrics.heartbeatErrors.WithLabelValues(string(c)).Inc() },
		row: checkpoint.Worker{
			ID: w.settings.Worker, Capacity: s.Capacity, Version: s.Version, Address: s.Address, Started: time.Now().UTC(),
		},
	}
}

// run beats until ctx ends. It leaves word in nudged after the first heartbeat,
// after each nudge, and when heartbeats are stored again after they were not.
func (p *pulse) run(ctx context.Context, nudged chan<- struct{}) {
	if p.duration == 0 {
		return
	}
	every := min(p.duration/beatsPerLease, beatAtLeast)
	nudges, left := int64(-1), p.left
	for {
		sent := time.Now()
		stored, err := p.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.failed(standpipe.ClassOf(err))
			p.log.Warn("the heartbeat was not stored", zap.Error(err), zap.Duration("since", p.silence()))
		default:
			if p.beaten(sent) || stored.Nudges != nudges {
				signal(nudged)
			}
			nudges = stored.Nudges
		}
		select {
		case <-time.After(every - min(time.Since(sent), every)):
		case <-left:
			left = nil // at once, and once
		case <-ctx.Done():
			return
		}
	}
}

// once sends one heartbeat. A loop that stands still is a dead worker, whatever
// its heartbeat says, so then none is sent.
func (p *pulse) once(ctx context.Context) (stored checkpoint.Worker, err error) {
	if err := p.live(); err != nil {
		return stored, &standpipe.Error{Class: standpipe.Fatal, Op: "send a heartbeat", Err: err}
	}
	row := p.row
	row.Leaving = p.leaving.Load() || p.deaf()
	err = attempt(ctx, p.duration/2, func(ctx context.Context) (err error) {
		stored, err = p.store.Beat(ctx, row)
		return err
	})
	return stored, err
}

// beaten notes a stored heartbeat and reports whether the leases have to be
// looked at now: it is the first, or ended a silence in which they may have
// gone to others.
func (p *pulse) beaten(sent time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.last.IsZero()
	if first {
		p.heard = time.Now()
	}
	back := !first && sent.Sub(p.last) >= p.duration
	if back {
		p.doubtful.Store(true)
	}
	p.last = sent
	return back || first
}

// silence is how long nobody has been shown that this worker lives.
func (p *pulse) silence() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.IsZero() {
		return 0
	}
	return time.Since(p.last)
}

// unheard says that no heartbeat has been stored yet, though others wait for it.
func (p *pulse) unheard() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.duration > 0 && p.last.IsZero()
}

// cutOff says that the leases may be others' by now, as far as this worker can
// know. Delivering on would be safe, for whatever it writes is fenced; but
// reading on would take the shards' read capacity from their new owners.
func (p *pulse) cutOff() bool {
	return p.duration > 0 && (p.silence() >= p.duration || p.doubtful.Load())
}

// looked says that the leases were read after the last heartbeat.
func (p *pulse) looked() {
	p.doubtful.Store(false)
	p.mu.Lock()
	p.heard = time.Now()
	p.mu.Unlock()
}

// deafAfter is for how many lease durations the leases may not have been read
// before others are told to give this worker none.
const deafAfter = 2

// deaf says that the worker would not hear of a lease that others give it or
// leave to it, though its heart beats: to them it is as one that leaves. What it
// has it keeps.
func (p *pulse) deaf() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.last.IsZero() && time.Since(p.heard) >= deafAfter*p.duration
}

// leave announces that this worker takes nothing more.
func (p *pulse) leave() {
	p.leaving.Store(true)
	close(p.left)
}

// forgetLimit bounds the last write of a worker that stops.
const forgetLimit = 5 * time.Second

// forget removes the worker's row: what it still owns may be taken at once.
// Called when nothing of the worker writes any more.
func (p *pulse) forget() {
	if p.duration == 0 {
		return
	}
	err := attempt(context.Background(), forgetLimit, func(ctx context.Context) error { return p.store.Forget(ctx, p.row.ID) })
	if err != nil {
		p.log.Warn("the worker's row stays until others remove it", zap.Error(err))
	}
}

// nudge asks another worker to look at the leases now. A nudge that fails costs
// a few seconds: everybody looks now and then.
func (p *pulse) nudge(ctx context.Context, id string) {
	err := attempt(ctx, forgetLimit, func(ctx context.Context) error { return p.store.Nudge(ctx, id) })
	if err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
		p.log.Warn("the successor could not be nudged", zap.String("successor", id), zap.Error(err))
	}
}
