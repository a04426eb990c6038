package dynamodb

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/checkpointtest"
	"github.com/standpipe/standpipe/checkpoint/kcl"
	"github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

// tables numbers tables, so that every test has its own.
var tables atomic.Int64

func openTable(t testing.TB, settings aws.Config) *Store {
	t.Helper()
	table := NewTable(settings, fmt.Sprintf("leases-%d", tables.Add(1)))
	if err := table.Create(t.Context()); err != nil {
		t.Fatalf("create the table: %v", err)
	}
	s, err := Open(t.Context(), table)
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestDynamoDBKeepsTheStoreContract(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store { return openTable(t, server.Settings()) })
}

// Whatever a row holds, whatever is asked of it and whatever is changed:
// DynamoDB decides and writes as Holds and Apply do.
func TestAnyConditionAndAnyChangeAreWhatTheyAreInMemory(t *testing.T) {
	s := openTable(t, harness.StartDynalite(t, 0).Settings())
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		l := leases.Draw(r, "lease")
		l.Shard = standpipe.ShardID(fmt.Sprintf("shardId-%012d", n))
		u := checkpoint.Update{Shard: l.Shard, If: conditions.Draw(r, "if"), Set: changes.Draw(r, "set")}
		if rapid.Bool().Draw(r, "aimed") {
			u.If = aim(r, u.If, l)
		}
		reference := new(memory.Store)
		for _, store := range []checkpoint.Store{reference, s} {
			if err := store.Create(t.Context(), l); err != nil {
				r.Fatalf("create: %v", err)
			}
		}
		want, wantErr := reference.Update(t.Context(), u)
		got, err := s.Update(t.Context(), u)
		f, refused := errors.AsType[*checkpoint.FencedError](err)
		if _, wanted := errors.AsType[*checkpoint.FencedError](wantErr); refused != wanted || !refused && err != nil {
			r.Fatalf("in memory %v, in DynamoDB %v", wantErr, err)
		}
		if refused {
			got, want = f.Current, l
		}
		if diff := cmp.Diff(want.Clone(), got.Clone(), cmp.Comparer(time.Time.Equal)); diff != "" {
			r.Fatalf("the rows differ (-memory +DynamoDB):\n%s", diff)
		}
	})
}

var (
	positions = rapid.Custom(func(t *rapid.T) standpipe.Position {
		if seq := rapid.SampledFrom([]string{"TRIM_HORIZON", "AT_TIMESTAMP", "SHARD_END", "5", "49645023785436700000000000000000000000000000000000001002"}).Draw(t, "sequence"); seq[0] < 'A' {
			return standpipe.Position{Sequence: seq, Sub: rapid.Int64Range(0, 2).Draw(t, "sub")}
		} else {
			return standpipe.Position{Sequence: seq}
		}
	})
	owners   = rapid.SampledFrom([]string{"", "a", "b"})
	small    = rapid.Int64Range(0, 2)
	states   = rapid.SampledFrom([][]byte{nil, []byte("x"), []byte("y"), {0, 0xff}})
	pendings = rapid.Custom(func(t *rapid.T) *checkpoint.Pending {
		if rapid.Bool().Draw(t, "none") {
			return nil
		}
		return &checkpoint.Pending{Position: positions.Draw(t, "pending"), State: states.Draw(t, "state")}
	})
	shards = rapid.SampledFrom([][]standpipe.ShardID{nil, {"shardId-1"}, {"shardId-1", "shardId-2"}})
	gaps   = [][]standpipe.Gap{nil, {{Before: "7"}}, {{Certain: true, Cause: "trimmed"}, {After: standpipe.Position{Sequence: "5", Sub: 1}, Found: time.Unix(3, 5).UTC()}}}
	times  = rapid.SampledFrom([]time.Time{{}, time.Unix(1, 0).UTC(), time.Unix(2, 123456789).UTC()})
	leases = rapid.Custom(func(t *rapid.T) checkpoint.Lease {
		return checkpoint.Lease{
			Owner: owners.Draw(t, "owner"), Successor: owners.Draw(t, "successor"), Counter: small.Draw(t, "counter"),
			OwnerSwitches: small.Draw(t, "switches"), Checkpoint: positions.Draw(t, "checkpoint"), Pending: pendings.Draw(t, "pending"),
			Parents: shards.Draw(t, "parents"), Children: shards.Draw(t, "children"), HashStart: owners.Draw(t, "hash"),
			Epoch: small.Draw(t, "epoch"), Flush: small.Draw(t, "flush"), Commits: small.Draw(t, "commits"), Incarnation: owners.Draw(t, "incarnation"),
			StreamCreated: times.Draw(t, "created"), StartTime: times.Draw(t, "start"), Seen: times.Draw(t, "seen"),
			Gaps: small.Draw(t, "gaps"),
		}
	})
	conditions = rapid.Custom(func(t *rapid.T) checkpoint.Condition {
		return checkpoint.Condition{
			Owner: maybe(t, owners, "owner"), Epoch: maybe(t, small, "epoch"), Flush: maybe(t, small, "flush"), Counter: maybe(t, small, "counter"),
			Checkpoint: maybe(t, positions, "checkpoint"), NoPending: rapid.IntRange(0, 3).Draw(t, "no pending") == 0,
			PendingState: rapid.SampledFrom([][]byte{nil, nil, nil, {}, []byte("x"), []byte("y"), {0, 0xff}}).Draw(t, "pending state"),
		}
	})
	changes = rapid.Custom(func(t *rapid.T) checkpoint.Change {
		return checkpoint.Change{
			Owner: maybe(t, owners, "new owner"), Successor: maybe(t, owners, "new successor"), NextEpoch: rapid.Bool().Draw(t, "next epoch"),
			OwnerSwitched: rapid.Bool().Draw(t, "switched"), Checkpoint: maybe(t, positions, "new checkpoint"), Pending: pendings.Draw(t, "new pending"),
			ClearPending: rapid.Bool().Draw(t, "clear"), Flush: maybe(t, small, "new flush"), Commits: maybe(t, small, "new commits"),
			Children: rapid.SampledFrom([][]standpipe.ShardID{nil, {}, {"shardId-3"}, {"shardId-3", "shardId-4"}}).Draw(t, "new children"), Seen: maybe(t, times, "new seen"), Gaps: rapid.SampledFrom(gaps).Draw(t, "new gaps"),
			Incarnation: maybe(t, owners, "new incarnation"), StartTime: maybe(t, times, "new start"),
		}
	})
)

func maybe[T any](t *rapid.T, g *rapid.Generator[T], label string) *T {
	if rapid.IntRange(0, 2).Draw(t, "no "+label) > 0 {
		return nil
	}
	v := g.Draw(t, label)
	return &v
}

// aim makes the terms of a condition true of l, all but at most one: random
// ones hold too seldom to say anything about the write.
func aim(t *rapid.T, c checkpoint.Condition, l checkpoint.Lease) checkpoint.Condition {
	miss := rapid.IntRange(0, 8).Draw(t, "missed")
	for i, hit := range []func(){
		func() { c.Owner = to(c.Owner, l.Owner) },
		func() { c.Epoch = to(c.Epoch, l.Epoch) },
		func() { c.Flush = to(c.Flush, l.Flush) },
		func() { c.Counter = to(c.Counter, l.Counter) },
		func() { c.Checkpoint = to(c.Checkpoint, l.Checkpoint) },
		func() { c.NoPending = c.NoPending && l.Pending == nil },
		func() {
			if l.Pending == nil {
				c.PendingState = nil
			} else if c.PendingState != nil {
				c.PendingState = append([]byte{}, l.Pending.State...)
			}
		},
	} {
		if i != miss {
			hit()
		}
	}
	return c
}

func to[T any](p *T, v T) *T {
	if p == nil {
		return nil
	}
	return &v
}

func TestATableIsWaitedForOnlyByWhoeverMakesIt(t *testing.T) {
	server := harness.StartDynalite(t, 2*time.Second)
	table := NewTable(server.Settings(), "slow")
	defer table.Close()
	err := table.Ready(t.Context())
	if standpipe.ClassOf(err) != standpipe.NotFound || !strings.Contains(err.Error(), "--create-table") || !strings.Contains(err.Error(), "Standpipe.Checkpoint.Table") {
		t.Errorf("missing: %v", err)
	}
	made := make(chan error, 2)
	for range 2 { // two workers of a fleet start at once
		go func() { made <- table.Create(t.Context()) }()
	}
	var during error
	err = harness.Poll(t.Context(), "the table to be there", func() error {
		if during = table.Ready(t.Context()); standpipe.ClassOf(during) == standpipe.NotFound {
			return during
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if during == nil || standpipe.ClassOf(during) != standpipe.Retryable || !strings.Contains(during.Error(), "being created") {
		t.Errorf("while it is made: %v", during)
	}
	for range 2 {
		if err := <-made; err != nil {
			t.Errorf("create: %v", err)
		}
	}
	if err := table.Ready(t.Context()); err != nil {
		t.Errorf("made: %v", err)
	}
	if err := table.Create(t.Context()); err != nil {
		t.Errorf("create again: %v", err)
	}
}

// A row that a KCL application wrote is not taken, it is refused with what to do.
func TestARowOfAnotherProgramIsRefusedAndNotTaken(t *testing.T) {
	s := openTable(t, harness.StartDynalite(t, 0).Settings())
	l := checkpointtest.Fresh("shardId-000000000000")
	e := newExpression()
	for name, v := range kcl.EncodeLease(l) {
		if name != kcl.Key && !strings.HasPrefix(name, "standpipe") {
			e.put(name, v)
		}
	}
	if _, _, err := s.update(t.Context(), "make a row", string(l.Shard), e); err != nil {
		t.Fatal(err)
	}
	_, rosterErr := s.Roster(t.Context())
	_, getErr := s.Get(t.Context(), l.Shard)
	for _, err := range []error{rosterErr, getErr} {
		if standpipe.ClassOf(err) != standpipe.Fatal || !strings.Contains(err.Error(), "import-kcl --table") {
			t.Errorf("got %v", err)
		}
	}
}
