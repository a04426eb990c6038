package delivery

import (
	"cmp"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
)

// A newcomer is a listed shard without a lease.
type newcomer struct {
	standpipe.Shard
	// descends says that an ancestor was leased before: the shard is the
	// continuation of something already delivered and starts at its beginning,
	// whatever start is configured.
	descends bool
}

// missing returns the listed shards that have no lease, in the order in which
// leases are to be made. First those of a first start, children before their
// parents: a crash in the middle then leaves children leased at the configured
// start, and never a parent whose children look like growth. Then what descends,
// parents before their children: a child whose parent has no lease waits for
// nobody, and others are looking.
func missing(listed []standpipe.Shard, leases []checkpoint.Lease) []newcomer {
	leased := map[standpipe.ShardID]bool{}
	for _, l := range leases {
		leased[l.Shard] = true
	}
	byID := map[standpipe.ShardID]standpipe.Shard{}
	for _, s := range listed {
		byID[s.ID] = s
	}
	memo := map[standpipe.ShardID]bool{}
	var descends func(s standpipe.Shard) bool
	descends = func(s standpipe.Shard) bool {
		if d, ok := memo[s.ID]; ok {
			return d
		}
		memo[s.ID] = false // a listing never has a cycle; a damaged one must not hang us
		for _, p := range s.Parents {
			if leased[p] || descends(byID[p]) {
				memo[s.ID] = true
				break
			}
		}
		return memo[s.ID]
	}
	var news []newcomer
	for _, s := range listed {
		if !leased[s.ID] {
			news = append(news, newcomer{s, descends(s)})
		}
	}
	// Shard ids of a stream grow with time: a child's is larger than its parents'.
	slices.SortFunc(news, func(a, b newcomer) int {
		switch {
		case a.descends && b.descends:
			return cmp.Compare(a.ID, b.ID)
		case a.descends:
			return 1
		case b.descends:
			return -1
		}
		return cmp.Compare(b.ID, a.ID)
	})
	return news
}

// generations cuts newcomers, in the order of missing, into runs in which
// no shard is a parent of another: what is in one run can be made in any order.
func generations(news []newcomer) (runs [][]newcomer) {
	inRun, parents := map[standpipe.ShardID]bool{}, map[standpipe.ShardID]bool{}
	begin := 0
	for n, s := range news {
		if parents[s.ID] || slices.ContainsFunc(s.Parents, func(p standpipe.ShardID) bool { return inRun[p] }) {
			runs = append(runs, news[begin:n])
			begin = n
			clear(inRun)
			clear(parents)
		}
		inRun[s.ID] = true
		for _, p := range s.Parents {
			parents[p] = true
		}
	}
	if begin < len(news) {
		runs = append(runs, news[begin:])
	}
	return runs
}

// asked is the time before which a start asks for nothing: its own, unless the
// stream is younger or its horizon has passed it. Stored as Lease.Seen when a
// lease is made, it tells whoever reads the shard at last, perhaps long after,
// whether retention was faster.
func asked(start consumer.Start, stream standpipe.Stream, now time.Time) time.Time {
	at := consumer.FromHorizon(now, stream.Retention)
	for _, later := range []time.Time{start.Time, stream.Created} {
		if later.After(at) {
			at = later
		}
	}
	return at.UTC()
}

// began is the moment LATEST stood for when the delivery began, as far as its
// leases tell, zero if they do not. A shard that grew out of others may have no
// ancestor with a lease: a stop can be longer than the life of the generation in
// between. LATEST of today would skip all that it holds. Where no row says when
// it began, what arrived after the oldest of their positions is wanted.
func began(leases []checkpoint.Lease) (at time.Time) {
	earliest := func(of func(checkpoint.Lease) time.Time) (at time.Time) {
		for _, l := range leases {
			if t := of(l); !t.IsZero() && (at.IsZero() || t.Before(at)) {
				at = t
			}
		}
		return at
	}
	if at = earliest(func(l checkpoint.Lease) time.Time { return l.StartTime }); at.IsZero() {
		at = earliest(func(l checkpoint.Lease) time.Time { return l.Seen })
	}
	return at
}

// births maps the children of ended shards to a time at which they were not
// there yet: the last record of each parent, or a later look that found the
// parent open and read. Before it nothing of a child can be missing.
func births(leases []checkpoint.Lease) func(checkpoint.Lease) time.Time {
	ends := map[standpipe.ShardID]time.Time{}
	for _, l := range leases {
		if l.Checkpoint.AtEnd() {
			ends[l.Shard] = l.Seen
		}
	}
	return func(l checkpoint.Lease) (born time.Time) {
		for _, p := range l.Parents {
			if end := ends[p]; end.After(born) {
				born = end
			}
		}
		return born
	}
}

// unlisted names the parents of a lease that have none, as the listing says. It
// may have been under way while they were made.
func unlisted(leases []checkpoint.Lease) func(checkpoint.Lease) []standpipe.ShardID {
	leased := map[standpipe.ShardID]bool{}
	for _, l := range leases {
		leased[l.Shard] = true
	}
	return func(l checkpoint.Lease) []standpipe.ShardID {
		return slices.DeleteFunc(slices.Clone(l.Parents), func(p standpipe.ShardID) bool { return leased[p] })
	}
}
