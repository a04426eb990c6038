package consumer

import (
	"cmp"
	"slices"

	"github.com/standpipe/standpipe"
)

// Order sorts shards so that every shard comes after all its parents, older
// generations first and by id within one. A parent that is not among the
// shards has left retention and orders nothing. The argument is not changed.
//
// Generations are counted, not read off the ids: ids grow from parent to child
// at Kinesis, but no document promises it. A cycle, which Kinesis cannot
// produce, ends the count instead of looping.
func Order(shards []standpipe.Shard) []standpipe.Shard {
	byID := index(shards)
	depth := make(map[standpipe.ShardID]int, len(shards))
	var walk func(id standpipe.ShardID) int
	walk = func(id standpipe.ShardID) int {
		if d, ok := depth[id]; ok {
			return d
		}
		depth[id] = 0 // what a cycle finds
		d := 0
		for _, p := range byID[id].Parents {
			if _, listed := byID[p]; listed {
				d = max(d, walk(p)+1)
			}
		}
		depth[id] = d
		return d
	}
	for _, s := range shards {
		walk(s.ID)
	}
	out := slices.Clone(shards)
	slices.SortFunc(out, func(a, b standpipe.Shard) int {
		if c := cmp.Compare(depth[a.ID], depth[b.ID]); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return out
}

// Startable returns, in Order, the shards that may be read now: not ended
// themselves, and every parent (both parents of a merge) either ended or no
// longer listed. Reading a child earlier would deliver its records before the
// parent's.
func Startable(shards []standpipe.Shard, ended func(standpipe.ShardID) bool) []standpipe.Shard {
	byID := index(shards)
	var out []standpipe.Shard
	for _, s := range Order(shards) {
		if !ended(s.ID) && len(waits(s, byID, ended)) == 0 {
			out = append(out, s)
		}
	}
	return out
}

// WaitsFor returns the listed parents of a shard that have not ended: the
// answer to "why is this shard not read".
func WaitsFor(s standpipe.Shard, shards []standpipe.Shard, ended func(standpipe.ShardID) bool) []standpipe.ShardID {
	return waits(s, index(shards), ended)
}

func waits(s standpipe.Shard, byID map[standpipe.ShardID]standpipe.Shard, ended func(standpipe.ShardID) bool) []standpipe.ShardID {
	var open []standpipe.ShardID
	for _, p := range s.Parents {
		if _, listed := byID[p]; listed && !ended(p) {
			open = append(open, p)
		}
	}
	return open
}

// Children returns the listed shards that name id as a parent, in Order.
func Children(shards []standpipe.Shard, id standpipe.ShardID) []standpipe.Shard {
	var out []standpipe.Shard
	for _, s := range Order(shards) {
		if slices.Contains(s.Parents, id) {
			out = append(out, s)
		}
	}
	return out
}

func index(shards []standpipe.Shard) map[standpipe.ShardID]standpipe.Shard {
	m := make(map[standpipe.ShardID]standpipe.Shard, len(shards))
	for _, s := range shards {
		m[s.ID] = s
	}
	return m
}
