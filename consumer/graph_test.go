package consumer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
)

func node(id string, parents ...standpipe.ShardID) standpipe.Shard {
	return standpipe.Shard{ID: standpipe.ShardID(id), Parents: parents}
}

func ids(shards []standpipe.Shard) (out []string) {
	for _, s := range shards {
		out = append(out, string(s.ID))
	}
	return out
}

func endedSet(names ...standpipe.ShardID) func(standpipe.ShardID) bool {
	return func(id standpipe.ShardID) bool { return slices.Contains(names, id) }
}

func TestAMergeChildWaitsForBothParents(t *testing.T) {
	shards := []standpipe.Shard{node("m", "a", "b"), node("a"), node("b")}
	same(t, "at first", ids(Startable(shards, endedSet())), []string{"a", "b"})
	same(t, "one parent done", ids(Startable(shards, endedSet("a"))), []string{"b"})
	same(t, "it waits for", WaitsFor(shards[0], shards, endedSet("a")), []standpipe.ShardID{"b"})
	same(t, "both done", ids(Startable(shards, endedSet("a", "b"))), []string{"m"})
}

func TestAParentThatIsNoLongerListedHoldsNobodyBack(t *testing.T) {
	shards := []standpipe.Shard{node("c", "gone"), node("d", "c"), node("m", "gone", "c")}
	same(t, "startable", ids(Startable(shards, endedSet())), []string{"c"})
	same(t, "after it", ids(Startable(shards, endedSet("c"))), []string{"d", "m"})
	same(t, "children", ids(Children(shards, "c")), []string{"d", "m"})
}

func TestAClosedParentIsReadBeforeItsOpenChildren(t *testing.T) {
	parent := node("a")
	parent.Closed = true
	shards := []standpipe.Shard{node("b", "a"), node("c", "a"), parent}
	same(t, "startable", ids(Startable(shards, endedSet())), []string{"a"})
}

func TestACycleDoesNotHang(t *testing.T) {
	shards := []standpipe.Shard{node("a", "b"), node("b", "a"), node("c", "c")}
	if got := Order(shards); len(got) != 3 {
		t.Errorf("%v", ids(got))
	}
	if got := Startable(shards, endedSet()); len(got) != 0 {
		t.Errorf("%v", ids(got))
	}
}

// TestEveryShardIsReadOnceAfterItsParents reads random graphs to their end.
func TestEveryShardIsReadOnceAfterItsParents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "shards")
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var shards []standpipe.Shard
		for i := range n {
			s := node(fmt.Sprintf("s%d", rnd.IntN(1000)*100+i)) // ids that do not grow
			for range rnd.IntN(3) {
				if i > 0 {
					s.Parents = append(s.Parents, shards[rnd.IntN(i)].ID)
				}
			}
			shards = append(shards, s)
		}
		rnd.Shuffle(n, func(i, j int) { shards[i], shards[j] = shards[j], shards[i] })
		place := map[standpipe.ShardID]int{}
		for i, s := range Order(shards) {
			place[s.ID] = i
		}
		for _, s := range shards {
			for _, p := range s.Parents {
				if place[p] >= place[s.ID] {
					t.Fatalf("%s before its parent %s", s.ID, p)
				}
			}
		}
		ended := map[standpipe.ShardID]bool{}
		done := func(id standpipe.ShardID) bool { return ended[id] }
		for len(ended) < n {
			ready := Startable(shards, done)
			if len(ready) == 0 {
				t.Fatalf("stuck with %d of %d", len(ended), n)
			}
			s := ready[rnd.IntN(len(ready))]
			for _, p := range s.Parents {
				if !ended[p] {
					t.Fatalf("%s started before its parent %s ended", s.ID, p)
				}
			}
			ended[s.ID] = true
		}
	})
}
