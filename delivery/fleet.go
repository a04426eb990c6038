package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// looksPerLease is how often a worker looks at the leases without being nudged.
const looksPerLease = 2

// opensAtOnce bounds how many leases are being taken at one time: hundreds of
// shards are open within seconds, and the store is not flooded.
const opensAtOnce = 32

// handOversAtOnce bounds the shards that a balancing worker drains at one
// time. A worker that leaves drains all of its own.
const handOversAtOnce = 16

// abandonGrace is how long the goroutines of shards get to end after their
// work was cancelled. One that does not is stuck in code that asks no context.
const abandonGrace = 10 * time.Second

// A loop turns what is seen of the fleet into goroutines: one per shard that
// is delivered here. It is a thin shell: who lives is judged by
// checkpoint.Observer, who takes what by its Plan. Owned by Run's goroutine.
type loop struct {
	*Worker
	working  context.Context
	observer *checkpoint.Observer
	jitter   func(time.Duration) time.Duration
	due      *time.Timer // of the next look
	finished chan finish
	over     chan struct{} // closed when nobody reads finished any more
	opening  chan struct{} // a token per lease that is being taken
	group    sync.WaitGroup
	alive    int
	failed   int             // listings of the leases in a row
	view     checkpoint.View // as of the last look
}

// A finish is what a shard's goroutine reports when it ends.
type finish struct {
	shard  standpipe.ShardID
	reason standpipe.StopReason
	err    error
	// to is the worker that it was handed to, or "".
	to string
}

func newLoop(w *Worker, working context.Context) *loop {
	r := w.random()
	return &loop{
		Worker: w, working: working, observer: checkpoint.NewObserver(w.settings.Worker, w.settings.Lease.Duration),
		jitter: func(d time.Duration) time.Duration { return jitter(r, d) }, due: time.NewTimer(syncEvery),
		finished: make(chan finish), over: make(chan struct{}), opening: make(chan struct{}, opensAtOnce),
	}
}

// close waits for the shards' goroutines, but for those that no context ends.
func (l *loop) close() {
	l.due.Stop()
	close(l.over)
	if l.alive == 0 {
		l.group.Wait()
	}
}

// look reads who there is and what there is to deliver, and does this worker's
// part of the plan. What it cannot do now it finds again at the next look.
func (l *loop) look(ctx context.Context) {
	defer l.schedule()
	if l.pulse.unheard() {
		return // nobody could see that the owner lives
	}
	roster, err := l.ask(ctx)
	if ctx.Err() == nil {
		l.listed(err)
	}
	if err != nil {
		return
	}
	l.note(roster, l.view)
	l.pulse.looked()
	plan := l.observer.Plan(l.view, l.me())
	l.show(plan)
	born, unseen := births(roster.Leases), unlisted(roster.Leases)
	for _, lease := range plan.Take {
		l.take(lease, born(lease), unseen(lease))
	}
	for _, move := range plan.Give[:min(len(plan.Give), max(0, handOversAtOnce-l.handing()))] {
		l.log.Info("handing over", zap.String("shard", string(move.Shard)), zap.String("successor", move.To))
		l.give(move)
	}
	l.hurry(ctx, plan.Due)
	l.giveUpStalled(ctx, roster)
	l.tidy(ctx)
}

// ask reads the leases and the workers, and judges who lives.
func (l *loop) ask(ctx context.Context) (roster checkpoint.Roster, err error) {
	asked := time.Now()
	err = attempt(ctx, callLimit, func(ctx context.Context) (err error) {
		roster, err = l.parts.Store.Roster(ctx)
		return err
	})
	if err == nil {
		l.view = l.observer.Look(roster, asked, time.Now())
	}
	return roster, err
}

// listed takes note of how listing the leases went. A worker that may not list
// them takes nothing over from anybody, though its heart beats.
func (l *loop) listed(err error) {
	var lasting error
	switch standpipe.ClassOf(err) {
	case standpipe.Denied, standpipe.NotFound, standpipe.Fatal:
		lasting = fmt.Errorf("the leases cannot be listed: %w", err)
	}
	l.mu.Lock()
	l.listing = lasting
	l.mu.Unlock()
	if err == nil {
		l.failed = 0
		return
	}
	if l.failed++; l.failed&(l.failed-1) == 0 { // as in holder.failed
		l.log.Warn("leases could not be listed", zap.Int("failures", l.failed), zap.Error(err))
	}
}

// schedule sets the time of the next look: twice per lease, and when a shard
// has rested.
func (l *loop) schedule() {
	next := syncEvery
	if d := l.settings.Lease.Duration; d > 0 {
		next = l.jitter(d / looksPerLease)
	}
	if rest, ok := l.rested(time.Now()); ok {
		next = min(next, rest)
	}
	l.due.Reset(next)
}

// take begins a shard; born and unseen are what births and unlisted say of it.
func (l *loop) take(lease checkpoint.Lease, born time.Time, unseen []standpipe.ShardID) {
	working, abandon := context.WithCancelCause(l.working)
	reading, stop := context.WithCancelCause(working)
	s := l.launched(lease, stop, abandon)
	s.born, s.unseen = born, unseen
	l.alive++
	l.group.Go(func() {
		f := l.deliver(reading, working, s)
		stop(nil)
		abandon(nil)
		select {
		case l.finished <- f:
		case <-l.over:
		}
	})
}

// ended takes note of how a shard's goroutine ended.
func (l *loop) ended(f finish) {
	l.alive--
	l.landed(f)
}

// leave hands every shard over, all at once: the plan of the last look says to
// whom, so that not even an outage of the store can delay the drains. It
// returns when every shard has ended.
func (l *loop) leave() error {
	me := l.me()
	me.Leaving = true
	plan := l.observer.Plan(l.view, me)
	l.log.Info("stopping", zap.Int("shards", l.alive), zap.Int("others", len(l.view.Workers)-1))
	for _, move := range plan.Give {
		l.give(move)
	}
	l.stopAll()
	var left []error
	abandoned, grace := l.working.Done(), (<-chan time.Time)(nil)
	for l.alive > 0 {
		select {
		case f := <-l.finished:
			l.ended(f)
			if f.reason == standpipe.StopFailed || f.reason == standpipe.StopShutdown && f.err != nil {
				left = append(left, fmt.Errorf("%s: %w", f.shard, f.err))
			}
		case <-abandoned:
			abandoned, grace = nil, time.After(abandonGrace)
		case <-grace:
			return errors.Join(append(left, fmt.Errorf("%d shards did not end when they were told to", l.alive))...)
		}
	}
	return errors.Join(left...)
}

// aside bounds what a look does besides: the loop must not stand still for it,
// and the next look does what is left.
const aside = 5 * time.Second

// farewell looks once more, for what was left to workers that stop as well: it was
// they who were told of it, and nobody else would look for seconds.
func (l *loop) farewell(ctx context.Context) {
	if l.settings.Lease.Duration == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, aside)
	defer cancel()
	if _, err := l.ask(ctx); err != nil {
		return // the others find it at their next look
	}
	me := l.me()
	me.Leaving = true
	l.hurry(ctx, l.observer.Plan(l.view, me).Due)
}

// giveUpStalled lets go of shards that make no progress and are not held up by
// an outage: the lease is released for others, and the goroutine cancelled. If
// it does not even end then, this worker does not take the shard again.
func (l *loop) giveUpStalled(ctx context.Context, roster checkpoint.Roster) {
	ctx, cancel := context.WithTimeout(ctx, aside)
	defer cancel()
	for _, lease := range roster.Leases {
		if !l.stalled(lease) {
			continue
		}
		if _, err := l.parts.Store.Update(ctx, checkpoint.Release(lease, "")); err != nil {
			l.log.Warn("the lease of a shard given up was not released", zap.String("shard", string(lease.Shard)), zap.Error(err))
		}
	}
}

// hurry asks workers to look for whom there is a lease that nobody has. What was
// left to a worker that stopped at the same time has no other to tell of it.
func (l *loop) hurry(ctx context.Context, due []string) {
	ctx, cancel := context.WithTimeout(ctx, aside)
	defer cancel()
	for _, id := range due[:min(len(due), handOversAtOnce)] {
		l.pulse.nudge(ctx, id)
	}
}

// tidy removes the rows of workers that are gone.
func (l *loop) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, aside)
	defer cancel()
	for _, id := range l.view.Gone {
		if l.parts.Store.Forget(ctx, id) != nil {
			return
		}
		l.log.Info("removed the row of a worker that is gone", zap.String("gone", id))
	}
}
