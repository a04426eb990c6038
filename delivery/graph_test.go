package delivery

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// drawGraph grows a stream by splits and merges; ids grow with time.
func drawGraph(t *rapid.T) (all []standpipe.Shard) {
	var open []standpipe.ShardID
	born := func(parents ...standpipe.ShardID) {
		s := standpipe.Shard{ID: shardID(len(all)), Parents: parents}
		all, open = append(all, s), append(open, s.ID)
	}
	for range rapid.IntRange(1, 4).Draw(t, "roots") {
		born()
	}
	for range rapid.IntRange(0, 12).Draw(t, "reshards") {
		k := rapid.IntRange(0, len(open)-1).Draw(t, "which")
		p := open[k]
		open = slices.Delete(open, k, k+1)
		if len(open) > 0 && rapid.Bool().Draw(t, "merge") {
			q := open[0]
			open = open[1:]
			born(p, q)
			continue
		}
		born(p)
		born(p)
	}
	return all
}

func TestMissingShardsComeInAnOrderThatACrashCannotSpoilAndKnowWhetherTheyDescend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawGraph(t)
		var listed []standpipe.Shard
		leased := map[standpipe.ShardID]bool{}
		var leases []checkpoint.Lease
		for _, s := range all {
			if rapid.IntRange(0, 5).Draw(t, "listed") > 0 {
				listed = append(listed, s)
			}
			if rapid.Bool().Draw(t, "leased") {
				leased[s.ID] = true
				leases = append(leases, checkpoint.Lease{Shard: s.ID})
			}
		}
		listed = rapid.Permutation(listed).Draw(t, "order")
		byID := map[standpipe.ShardID]standpipe.Shard{}
		for _, s := range listed {
			byID[s.ID] = s
		}
		// An independent reading of the rule: walk up through what is listed.
		var descends func(s standpipe.Shard) bool
		descends = func(s standpipe.Shard) bool {
			return slices.ContainsFunc(s.Parents, func(p standpipe.ShardID) bool { return leased[p] || descends(byID[p]) })
		}
		got := missing(listed, leases)
		var ids []standpipe.ShardID
		for i, n := range got {
			if n.descends != descends(n.Shard) {
				t.Fatalf("%s descends: %v", n.ID, n.descends)
			}
			for _, p := range n.Parents {
				if !n.descends && slices.Contains(ids, p) {
					t.Fatalf("the parent %s comes before its child %s", p, n.ID)
				}
				if n.descends && slices.ContainsFunc(got[i:], func(m newcomer) bool { return m.ID == p }) {
					t.Fatalf("the parent %s comes after its child %s", p, n.ID)
				}
			}
			ids = append(ids, n.ID)
		}
		for _, s := range listed {
			if leased[s.ID] == slices.Contains(ids, s.ID) {
				t.Fatalf("%s is leased: %v, and missing: %v", s.ID, leased[s.ID], slices.Contains(ids, s.ID))
			}
		}
	})
}

func TestADamagedListingWithACycleEnds(t *testing.T) {
	a, b := standpipe.Shard{ID: "a", Parents: []standpipe.ShardID{"b"}}, standpipe.Shard{ID: "b", Parents: []standpipe.ShardID{"a"}}
	if got := missing([]standpipe.Shard{a, b}, nil); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// A stream that was resharded a thousand times keeps a deep chain in its
// listing; walking it per shard would be quadratic or worse.
func TestTenThousandShardsAreSortedOutInOnePass(t *testing.T) {
	var listed []standpipe.Shard
	var leases []checkpoint.Lease
	for n := range 10_000 {
		s := standpipe.Shard{ID: shardID(n)}
		if n >= 2 { // every generation is merged of the two before: 2^n paths
			s.Parents = []standpipe.ShardID{shardID(n - 1), shardID(n - 2)}
		}
		listed = append(listed, s)
	}
	leases = append(leases, checkpoint.Lease{Shard: shardID(0)})
	got := missing(listed, leases)
	if len(got) != 9999 || got[0].ID != shardID(1) || got[0].descends || !got[1].descends || got[9998].ID != shardID(9999) {
		t.Errorf("%d missing, first %+v, last %+v", len(got), got[0], got[9998])
	}
}

func TestAParentThatLeftTheTableIsNotWaitedFor(t *testing.T) {
	parents := []standpipe.ShardID{"a", "b"}
	ended, open := checkpoint.Lease{Shard: "a", Checkpoint: standpipe.Position{Sequence: standpipe.ShardEnd}}, checkpoint.Lease{Shard: "b", Seen: time.Now()}
	child := checkpoint.Lease{Shard: "c", Parents: parents}
	waiting := func(leases ...checkpoint.Lease) []standpipe.ShardID {
		return checkpoint.NewObserver("me", 0).Look(checkpoint.Roster{Leases: leases}, time.Now(), time.Now()).Waiting["c"]
	}
	if got := waiting(ended, child); len(got) != 0 {
		t.Errorf("waits for %v", got)
	}
	if got := waiting(ended, open, child); !slices.Equal(got, []standpipe.ShardID{"b"}) {
		t.Errorf("waits for %v, want b", got)
	}
}
