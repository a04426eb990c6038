package replay

import (
	"fmt"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
)

// A ShardRange is a slice of a delivery into another prefix: what of one shard
// is in the range. delivery.Replay's Deliver runs it.
type ShardRange struct {
	Shard standpipe.Shard
	From  consumer.Start
	End   delivery.End
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
