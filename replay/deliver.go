package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/jobs"
)

// A ShardRange is a slice of a delivery into another prefix: what of one shard
// is in the range.
type ShardRange struct {
	Shard standpipe.Shard `json:"shard"`
	From  consumer.Start  `json:"from"`
	End   delivery.End    `json:"end"`
}

// String names it for people.
func (r ShardRange) String() string { return string(r.Shard.ID) }

// Delivered is what became of slices. It adds up.
type Delivered struct {
	Shards int64 `json:"shards"`
	// Flushes is how many manifests there are.
	Flushes int64 `json:"flushes"`
	// Gaps counts stretches that retention had taken; the manifests name them.
	Gaps int64 `json:"gaps"`
}

// Add sums up.
func (sum *Delivered) Add(o Delivered) {
	sum.Shards += o.Shards
	sum.Flushes += o.Flushes
	sum.Gaps += o.Gaps
}

// A Deliverer delivers ranges into another prefix. Safe for concurrent use.
type Deliverer struct {
	// Store is the one that the tasks come from: it holds their leases.
	Store  jobs.Store
	Replay *delivery.Replay
}

// Do is the jobs.Handler of a slice. It may be done by several workers at once,
// who fence one another like owners of a lease.
func (d *Deliverer) Do(ctx context.Context, t jobs.Task) (json.RawMessage, error) {
	var r ShardRange
	if err := json.Unmarshal(t.Slice.Spec, &r); err != nil {
		return nil, unreadable(t, err)
	}
	leases := &state{store: d.Store, task: t}
	done, err := d.Replay.Deliver(ctx, leases, r.Shard, r.From, r.End)
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", r.Shard.ID, err)
	}
	if !done {
		return nil, context.Cause(ctx)
	}
	l, err := leases.Get(ctx, r.Shard.ID)
	if err != nil {
		return nil, fmt.Errorf("read the lease of %s: %w", r.Shard.ID, err)
	}
	return json.Marshal(Delivered{Shards: 1, Flushes: l.Commits, Gaps: l.Gaps})
}

// Ranges plans a delivery: one range for each listed shard that has a part of
// it. now is the end where none is given.
func Ranges(listed []standpipe.Shard, r Range, now time.Time) ([]ShardRange, error) {
	var all []ShardRange
	for _, s := range listed {
		if len(r.Shards) > 0 && !slices.Contains(r.Shards, s.ID) {
			continue
		}
		if at, ok := r.From.Shards[s.ID]; ok && at.AtEnd() {
			continue
		}
		end, ok := r.To.end(s.ID, now)
		if !ok {
			continue
		}
		all = append(all, ShardRange{Shard: s, From: r.From.start(s.ID), End: end})
	}
	for _, id := range r.Shards {
		if !slices.ContainsFunc(all, func(s ShardRange) bool { return s.Shard.ID == id }) {
			return nil, fmt.Errorf("the stream has no shard %s with a part of the range: it may have left retention", id)
		}
	}
	if (r.From.Sequence != "" || r.To.Sequence != "") && len(all) != 1 {
		return nil, fmt.Errorf("a sequence number means one shard: say which with --shard, there are %d", len(all))
	}
	return all, nil
}
