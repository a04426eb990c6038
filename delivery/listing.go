package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
)

// syncEvery is how often, on average, a worker looks for shards that have no
// lease. Growth is noticed at once, at the parent's end; this finds what was
// missed. A fleet of n workers asks n times: each time one DescribeStreamSummary
// (20 per second and account) and one ListShards per 1,000 shards (1,000 per
// second and stream).
const syncEvery = time.Minute

// watch looks at the stream now and then until ctx ends, and tells whoever
// waits for changed that there may be new leases. Workers that were started
// together do not ask together.
func (w *Worker) watch(ctx context.Context, changed chan<- struct{}) {
	r := w.random()
	for {
		wait(ctx, time.Now().Add(jitter(r, syncEvery)))
		if ctx.Err() != nil {
			return
		}
		err := w.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		w.looked(err)
		signal(changed)
	}
}

// looked takes note of what a look at the stream came to. Where nothing but a
// person helps, as with a stream that was made anew, no shard need be left to say so.
func (w *Worker) looked(err error) {
	fatal := standpipe.ClassOf(err) == standpipe.Fatal
	w.mu.Lock()
	w.unfit = nil
	if fatal {
		w.unfit = err
	}
	w.mu.Unlock()
	switch {
	case fatal:
		w.log.Error("the stream cannot be delivered", zap.Error(err))
	case err != nil:
		w.log.Warn("the stream could not be looked at", zap.Error(err))
	}
}

// jitter is d, give or take a fifth.
func jitter(r interface{ Int64N(int64) int64 }, d time.Duration) time.Duration {
	return d - d/5 + time.Duration(r.Int64N(int64(2*d/5)))
}

// signal leaves word without waiting for anybody to read it.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (w *Worker) describe(ctx context.Context) error {
	stream, err := w.parts.Stream.Describe(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.stream = stream
	w.mu.Unlock()
	return nil
}

// refresh looks at the stream again: its retention may have changed, it may
// have been made anew, it may have shards that were missed.
func (w *Worker) refresh(ctx context.Context) error {
	if err := w.describe(ctx); err != nil {
		return err
	}
	return w.sync(ctx)
}

// sync makes a lease for every listed shard that has none, and removes those
// that nobody will ask for again.
func (w *Worker) sync(ctx context.Context) error {
	listed, err := w.parts.Stream.Shards(ctx)
	if err != nil {
		return fmt.Errorf("list shards: %w", err)
	}
	roster, err := w.parts.Store.Roster(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	leases := roster.Leases
	if err := w.sameStream(leases); err != nil {
		return err
	}
	start, grown := w.starts(leases)
	for _, batch := range generations(missing(listed, leases)) {
		if err := w.createAll(ctx, batch, start, grown); err != nil {
			return err
		}
	}
	w.clean(ctx, listed, leases)
	return nil
}

// starts says where a shard begins that is the first of its line, and where one
// that grew out of others of which nothing is known any more.
func (w *Worker) starts(leases []checkpoint.Lease) (start, grown consumer.Start) {
	start = w.settings.Start
	for _, l := range leases { // a start that was fixed once stays
		if l.Checkpoint.Sequence == standpipe.AtTimestamp && !l.StartTime.IsZero() {
			start.Time = l.StartTime
		}
	}
	grown = start
	if start.Position.Sequence == standpipe.Latest {
		// LATEST is made a time at once: a restart before the first commit
		// must not skip what arrived meanwhile.
		start.Position.Sequence = standpipe.AtTimestamp
		if start.Time.IsZero() {
			start.Time = time.Now().UTC()
		}
		grown = start
		if at := began(leases); !at.IsZero() && at.Before(grown.Time) {
			grown.Time = at
		}
	}
	start.Seen, grown.Seen = asked(start, w.Stream(), time.Now()), asked(grown, w.Stream(), time.Now())
	return start, grown
}

// createAll makes the leases of shards none of which is another's parent, a
// bounded number at a time; see starts.
func (w *Worker) createAll(ctx context.Context, news []newcomer, start, grown consumer.Start) error {
	tokens := make(chan struct{}, opensAtOnce)
	errs := make([]error, len(news))
	var group sync.WaitGroup
	for n, s := range news {
		from := start
		switch {
		case s.descends:
			from = consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}}
		case len(s.Parents) > 0:
			from = grown
		}
		tokens <- struct{}{}
		group.Go(func() {
			defer func() { <-tokens }()
			errs[n] = w.create(ctx, s.Shard, from)
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// sameStream refuses positions of another stream of the same name.
func (w *Worker) sameStream(leases []checkpoint.Lease) error {
	stream := w.Stream()
	for _, l := range leases {
		if d := l.StreamCreated.Sub(stream.Created).Abs(); !l.StreamCreated.IsZero() && d > time.Second {
			return &standpipe.Error{
				Class: standpipe.Fatal, Op: "continue stream " + stream.Name,
				Err: fmt.Errorf("its checkpoints belong to a stream created at %s, this one was created at %s",
					l.StreamCreated.UTC().Format(time.RFC3339), stream.Created.UTC().Format(time.RFC3339)),
				Hint: "the stream was deleted and created again: keep the old checkpoints for the record and set Standpipe.Checkpoint.Path to a new folder",
			}
		}
	}
	return nil
}

// create makes the lease of a shard, free and at its start. What continues
// others has no from.Seen: it is whole from its birth, see born.
func (w *Worker) create(ctx context.Context, s standpipe.Shard, from consumer.Start) error {
	var inc [8]byte
	if _, err := io.ReadFull(w.parts.Random, inc[:]); err != nil {
		return fmt.Errorf("name an incarnation: %w", err)
	}
	err := w.parts.Store.Create(ctx, checkpoint.Lease{
		Shard: s.ID, Checkpoint: from.Position, StartTime: from.Time, Seen: from.Seen,
		Parents: s.Parents, HashStart: s.HashStart, HashEnd: s.HashEnd,
		Incarnation: fmt.Sprintf("%x", inc), StreamCreated: w.Stream().Created.UTC(),
	})
	if err != nil && !errors.Is(err, checkpoint.ErrExists) {
		return fmt.Errorf("create lease of %s: %w", s.ID, err)
	}
	return nil
}

// spawn makes the leases of a shard's children, at their beginnings, before
// the parent's end is committed. named is what the last page said; where the
// server says nothing, the listing does. hold is the parent's own, so that its
// status shows what it waits for.
func (w *Worker) spawn(ctx context.Context, hold *holder, parent standpipe.ShardID, named []standpipe.Shard) (ids []standpipe.ShardID, err error) {
	if len(named) == 0 {
		var listed []standpipe.Shard
		err := hold.do(ctx, "list the children of "+string(parent), callLimit, func(ctx context.Context) (err error) {
			listed, err = w.parts.Stream.Shards(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		named = consumer.Children(listed, parent)
	}
	if slices.ContainsFunc(named, func(c standpipe.Shard) bool { return len(c.Parents) > 1 }) {
		// The other parent of a merge may be so young that nobody has listed
		// it. Without a lease it would be taken for one that left retention,
		// and the merged shard would not wait for it.
		err := hold.do(ctx, "list the parents of the children of "+string(parent), callLimit, w.sync)
		if err != nil {
			return nil, err
		}
	}
	for _, c := range named {
		from := consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}}
		err := hold.do(ctx, "create lease of "+string(c.ID), callLimit, func(ctx context.Context) error { return w.create(ctx, c, from) })
		if err != nil {
			return nil, err
		}
		ids = append(ids, c.ID)
	}
	return ids, nil
}
