package checkpoint

import (
	"time"

	"github.com/standpipe/standpipe"
)

// A Worker is one process that delivers shards, as its row shows it. The row
// is the worker's own: others read it, and write only its Nudges.
type Worker struct {
	// ID is unique per process start; leases name their owner by it.
	ID string
	// Counter moves with every Beat. Others judge by it whether the worker
	// lives, each on its own monotonic clock.
	Counter int64
	// Nudges moves with every Nudge: "look at the leases now".
	Nudges int64
	// Leaving says that the worker takes nothing more and hands its leases over,
	// or cannot read the leases and so would hear of none that it is given.
	Leaving bool
	// Capacity is the most shards the worker delivers at once, 0 for no limit.
	Capacity int
	// Version is of the program and Address of its status page, for people.
	Version, Address string
	// Started is the worker's own wall clock, for people: nothing compares it.
	Started time.Time
}

// A Roster is who there is and what there is to deliver.
type Roster struct {
	Leases  []Lease  // ordered by shard id
	Workers []Worker // ordered by worker id
}

// Waiting names, for each lease that cannot be delivered yet, the parents that
// have to end before. A parent without a lease has left retention and cannot be
// waited for.
func (r Roster) Waiting() map[standpipe.ShardID][]standpipe.ShardID {
	ended := map[standpipe.ShardID]bool{}
	for _, l := range r.Leases {
		ended[l.Shard] = l.Checkpoint.AtEnd()
	}
	waiting := map[standpipe.ShardID][]standpipe.ShardID{}
	for _, l := range r.Leases {
		if parents := unfinished(l, ended); len(parents) > 0 {
			waiting[l.Shard] = parents
		}
	}
	return waiting
}
