package delivery

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// outlived is how much longer than the stream's retention a finished lease is
// kept: more than any difference of clocks.
const outlived = 24 * time.Hour

// removesAtOnce bounds the leases that one pass removes.
const removesAtOnce = 100

// settled returns the leases that are of no use any more: delivered to the end,
// their shard no longer listed, their last record past the retention, and all
// their children begun. As long as a shard is listed its lease is what says
// that it is done, and as long as a child has not begun its parent's lease is
// what says that it starts at its beginning.
func settled(listed []standpipe.Shard, leases []checkpoint.Lease, retention time.Duration, now time.Time) (old []checkpoint.Lease) {
	if len(listed) == 0 {
		return nil // no stream is without a shard: this listing says nothing
	}
	there := map[standpipe.ShardID]bool{}
	children := map[standpipe.ShardID][]standpipe.ShardID{}
	for _, s := range listed {
		there[s.ID] = true
		for _, p := range s.Parents {
			children[p] = append(children[p], s.ID)
		}
	}
	byID := map[standpipe.ShardID]checkpoint.Lease{}
	for _, l := range leases {
		byID[l.Shard] = l
	}
	begun := func(ids []standpipe.ShardID) bool {
		for _, id := range ids {
			if l, leased := byID[id]; leased && l.Checkpoint.AtStart() || !leased && there[id] {
				return false
			}
		}
		return true
	}
	for _, l := range leases {
		if l.Checkpoint.AtEnd() && l.Pending == nil && !there[l.Shard] && now.Sub(l.Seen) > retention+outlived &&
			begun(l.Children) && begun(children[l.Shard]) {
			old = append(old, l)
		}
	}
	return old[:min(len(old), removesAtOnce)]
}

// clean removes leases that have served their purpose, so that a stream that
// reshards for years does not get slower. Another worker may be faster.
func (w *Worker) clean(ctx context.Context, listed []standpipe.Shard, leases []checkpoint.Lease) {
	for _, l := range settled(listed, leases, w.Stream().Retention, time.Now()) {
		err := attempt(ctx, callLimit, func(ctx context.Context) error { return w.parts.Store.Delete(ctx, l) })
		switch {
		case err == nil:
			w.log.Info("removed the lease of a shard that ended long ago", zap.String("shard", string(l.Shard)))
		case errors.Is(err, checkpoint.ErrNotFound):
		default:
			w.log.Warn("the lease of a shard that ended long ago was not removed", zap.String("shard", string(l.Shard)), zap.Error(err))
			return
		}
	}
}
