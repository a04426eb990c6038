// Package checkpointtest is the suite that makes something a checkpoint.Store.
// Every backend runs it; what it asks is what package delivery relies on.
package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// Run asks every promise of the Store contract of stores made by open.
func Run(t *testing.T, open func(t *testing.T) checkpoint.Store) {
	for name, promise := range map[string]func(*testing.T, checkpoint.Store){
		"create then get returns every column":              createThenGet,
		"create twice is refused and changes nothing":       createTwice,
		"a missing lease is not found":                      missing,
		"a roster is ordered and whole":                     roster,
		"a hand-over names who comes first":                 handOver,
		"a lease is deleted only as it was seen":            deleted,
		"a heartbeat counts and keeps the nudges":           beats,
		"a nudge never makes a worker":                      nudge,
		"a forgotten worker is gone":                        forget,
		"workers and leases of the same name are apart":     namesakes,
		"heartbeats and nudges at once are all counted":     beatsAndNudges,
		"each condition alone can refuse":                   conditions,
		"a refused update changes nothing and shows why":    refused,
		"the journey take prepare commit":                   journey,
		"rollback burns the flush number":                   rollback,
		"a stale owner can write nothing":                   stale,
		"a repeated prepare applies once":                   repeatedPrepare,
		"every write moves the counter":                     counter,
		"of many takers of one lease exactly one wins":      race,
		"the caller's slices are not the store's":           aliasing,
		"a cancelled context writes nothing":                cancelled,
		"release leaves the pending intent for a successor": release,
		"restart begins anew and fences the owner":          restart,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			promise(t, s)
		})
	}
}

// Fresh is a lease nobody owns, with every column that Create must keep.
func Fresh(shard standpipe.ShardID) checkpoint.Lease {
	return checkpoint.Lease{
		Shard:         shard,
		Checkpoint:    standpipe.Position{Sequence: standpipe.TrimHorizon},
		Parents:       []standpipe.ShardID{"shardId-000000000007", "shardId-000000000008"},
		HashStart:     "0",
		HashEnd:       "340282366920938463463374607431768211455",
		Incarnation:   "5f0c",
		StreamCreated: time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC),
		StartTime:     time.Date(2026, 11, 2, 10, 0, 0, 123e6, time.UTC),
	}
}

const shard standpipe.ShardID = "shardId-000000000001"

func create(t *testing.T, s checkpoint.Store) checkpoint.Lease {
	t.Helper()
	l := Fresh(shard)
	if err := s.Create(t.Context(), l); err != nil {
		t.Fatalf("create: %v", err)
	}
	return l
}

func update(t *testing.T, s checkpoint.Store, u checkpoint.Update) checkpoint.Lease {
	t.Helper()
	l, err := s.Update(t.Context(), u)
	if err != nil {
		t.Fatalf("update %+v: %v", u, err)
	}
	same(t, s, l)
	return l
}

// same demands that a read returns what a write claimed to have written.
func same(t *testing.T, s checkpoint.Store, want checkpoint.Lease) {
	t.Helper()
	got, err := s.Get(t.Context(), want.Shard)
	if err != nil {
		t.Fatalf("get %s: %v", want.Shard, err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Fatalf("stored lease differs (-want +got):\n%s", diff)
	}
}

func fenced(t *testing.T, s checkpoint.Store, u checkpoint.Update) checkpoint.Lease {
	t.Helper()
	_, err := s.Update(t.Context(), u)
	f, ok := errors.AsType[*checkpoint.FencedError](err)
	if !ok {
		t.Fatalf("update %+v: got %v, want it refused", u, err)
	}
	return f.Current
}

func intent(seq, state string) checkpoint.Pending {
	return checkpoint.Pending{Position: standpipe.Position{Sequence: seq, Sub: 2}, State: []byte(state)}
}

func createThenGet(t *testing.T, s checkpoint.Store) { same(t, s, create(t, s)) }

func createTwice(t *testing.T, s checkpoint.Store) {
	l := create(t, s)
	other := l
	other.Owner = "intruder"
	if err := s.Create(t.Context(), other); !errors.Is(err, checkpoint.ErrExists) {
		t.Fatalf("second create: got %v, want ErrExists", err)
	}
	same(t, s, l)
}

func missing(t *testing.T, s checkpoint.Store) {
	if _, err := s.Get(t.Context(), shard); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("get: got %v, want ErrNotFound", err)
	}
	if _, err := s.Update(t.Context(), checkpoint.Update{Shard: shard}); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("update without a condition: got %v, want ErrNotFound, not a new row", err)
	}
}

func roster(t *testing.T, s checkpoint.Store) {
	var want checkpoint.Roster
	for _, i := range []int{3, 1, 2, 11, 10} {
		if err := s.Create(t.Context(), Fresh(standpipe.ShardID(fmt.Sprintf("shardId-%012d", i)))); err != nil {
			t.Fatal(err)
		}
		beat(t, s, Worker(fmt.Sprintf("w%02d", i)))
	}
	for _, i := range []int{1, 2, 3, 10, 11} {
		want.Leases = append(want.Leases, Fresh(standpipe.ShardID(fmt.Sprintf("shardId-%012d", i))))
		w := Worker(fmt.Sprintf("w%02d", i))
		w.Counter = 1
		want.Workers = append(want.Workers, w)
	}
	if diff := cmp.Diff(want, read(t, s), cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Fatalf("roster differs (-want +got):\n%s", diff)
	}
}

func conditions(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	l = update(t, s, checkpoint.Prepare(l, intent("10", "intent a")))
	ptr := func(n int64) *int64 { return &n }
	you, elsewhere := "you", standpipe.Position{Sequence: standpipe.TrimHorizon, Sub: 1}
	for name, c := range map[string]checkpoint.Condition{
		"owner":         {Owner: &you},
		"epoch":         {Epoch: ptr(l.Epoch + 1)},
		"flush":         {Flush: ptr(l.Flush - 1)},
		"counter":       {Counter: ptr(l.Counter - 1)},
		"checkpoint":    {Checkpoint: &elsewhere},
		"no pending":    {NoPending: true},
		"pending state": {PendingState: []byte("intent b")},
	} {
		t.Run(name, func(t *testing.T) {
			fenced(t, s, checkpoint.Update{Shard: shard, If: c, Set: checkpoint.Change{NextEpoch: true}})
			same(t, s, l)
		})
	}
}

func refused(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	stale := l
	stale.Counter--
	if diff := cmp.Diff(l, fenced(t, s, checkpoint.Take(stale, "you")), cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Fatalf("the refusal shows another lease than the stored one:\n%s", diff)
	}
	same(t, s, l)
}

func journey(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	if l.Epoch != 1 || l.Owner != "me" || l.OwnerSwitches != 1 {
		t.Fatalf("taken: %+v", l)
	}
	l = update(t, s, checkpoint.Prepare(l, intent("10", "intent a")))
	if l.Flush != 1 || l.Pending == nil || string(l.Pending.State) != "intent a" {
		t.Fatalf("prepared: %+v", l)
	}
	seen := time.Date(2026, 11, 3, 0, 0, 0, 5e6, time.UTC)
	gaps := []standpipe.Gap{
		{After: standpipe.Position{Sequence: "3"}, Before: "5", Certain: true, Cause: "trimmed", Found: seen},
		{After: standpipe.Position{Sequence: "6", Sub: 1}, Found: seen.Add(time.Minute)},
	}
	l = update(t, s, checkpoint.Commit(l, seen, []standpipe.ShardID{"shardId-000000000009"}, gaps...))
	if l.Gaps != 2 || l.LastGap == nil || *l.LastGap != gaps[1] {
		t.Fatalf("gaps: %d, %+v", l.Gaps, l.LastGap)
	}
	if l.Checkpoint != (standpipe.Position{Sequence: "10", Sub: 2}) || l.Pending != nil || l.Commits != 1 ||
		l.OwnerSwitches != 0 || !l.Seen.Equal(seen) || len(l.Children) != 1 {
		t.Fatalf("committed: %+v", l)
	}
	noted := seen.Add(time.Hour)
	l = update(t, s, checkpoint.Note(l, noted))
	if l.Owner != "me" || !l.Seen.Equal(noted) || l.Commits != 1 {
		t.Fatalf("noted: %+v", l)
	}
	l = update(t, s, checkpoint.Advance(l, standpipe.Position{Sequence: standpipe.ShardEnd}, time.Time{}, nil))
	if !l.Checkpoint.AtEnd() || !l.Seen.Equal(noted) || l.Gaps != 2 {
		t.Fatalf("advanced: %+v", l)
	}
}

func rollback(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	l = update(t, s, checkpoint.Prepare(l, intent("10", "a")))
	replaced := update(t, s, checkpoint.Replace(l, intent("10", "a, repaired")))
	fenced(t, s, checkpoint.Rollback(l)) // knows only the intent before the repair
	l = update(t, s, checkpoint.Rollback(replaced))
	if l.Flush != 1 || l.Pending != nil || !l.Checkpoint.AtStart() {
		t.Fatalf("rolled back: %+v", l)
	}
	if l = update(t, s, checkpoint.Prepare(l, intent("10", "b"))); l.Flush != 2 {
		t.Fatalf("next flush has number %d, want 2", l.Flush)
	}
}

func stale(t *testing.T, s checkpoint.Store) {
	old := update(t, s, checkpoint.Take(create(t, s), "me"))
	l := update(t, s, checkpoint.Take(old, "you"))
	fenced(t, s, checkpoint.Prepare(old, intent("10", "a")))
	fenced(t, s, checkpoint.Advance(old, standpipe.Position{Sequence: "10"}, time.Time{}, nil))
	fenced(t, s, checkpoint.Release(old, ""))
	// The same owner again is still another epoch: what was sent before is fenced.
	again := update(t, s, checkpoint.Take(l, "me"))
	fenced(t, s, checkpoint.Prepare(old, intent("10", "a")))
	same(t, s, again)
}

func repeatedPrepare(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	p := checkpoint.Prepare(l, intent("10", "a"))
	l = update(t, s, p)
	fenced(t, s, p)
	l = update(t, s, checkpoint.Commit(l, time.Time{}, nil))
	fenced(t, s, p)
	same(t, s, l)
}

func counter(t *testing.T, s checkpoint.Store) {
	l := create(t, s)
	for i, u := range []func(checkpoint.Lease) checkpoint.Update{
		func(l checkpoint.Lease) checkpoint.Update { return checkpoint.Take(l, "me") },
		func(l checkpoint.Lease) checkpoint.Update { return checkpoint.Prepare(l, intent("10", "a")) },
		func(l checkpoint.Lease) checkpoint.Update { return checkpoint.Commit(l, time.Time{}, nil) },
		func(l checkpoint.Lease) checkpoint.Update { return checkpoint.Release(l, "you") },
	} {
		before := l.Counter
		if l = update(t, s, u(l)); l.Counter != before+1 {
			t.Fatalf("write %d moved the counter from %d to %d", i, before, l.Counter)
		}
	}
}

func race(t *testing.T, s checkpoint.Store) {
	const takers = 16
	l := create(t, s)
	var wg sync.WaitGroup
	wins := make([]bool, takers)
	for i := range takers {
		wg.Go(func() {
			_, err := s.Update(t.Context(), checkpoint.Take(l, fmt.Sprint("worker ", i)))
			wins[i] = err == nil
		})
	}
	wg.Wait()
	won := 0
	for _, w := range wins {
		if w {
			won++
		}
	}
	if won != 1 {
		t.Fatalf("%d of %d takers won", won, takers)
	}
}

func aliasing(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	p := intent("10", "intent a")
	want := update(t, s, checkpoint.Prepare(l, p)).Clone()
	p.State[0] = 'X'
	got, err := s.Get(t.Context(), shard)
	if err != nil {
		t.Fatal(err)
	}
	got.Parents[0] = "changed by the caller"
	same(t, s, want)
}

func cancelled(t *testing.T, s checkpoint.Store) {
	l := create(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Update(ctx, checkpoint.Take(l, "me")); !errors.Is(err, context.Canceled) {
		t.Errorf("update: got %v, want context.Canceled", err)
	}
	if err := s.Create(ctx, Fresh("shardId-000000000002")); !errors.Is(err, context.Canceled) {
		t.Errorf("create: got %v, want context.Canceled", err)
	}
	if _, err := s.Beat(ctx, Worker("me")); !errors.Is(err, context.Canceled) {
		t.Errorf("beat: got %v, want context.Canceled", err)
	}
	if err := s.Delete(ctx, l); !errors.Is(err, context.Canceled) {
		t.Errorf("delete: got %v, want context.Canceled", err)
	}
	same(t, s, l)
	if workers := read(t, s).Workers; len(workers) != 0 {
		t.Errorf("a cancelled heartbeat left %+v", workers)
	}
}

func release(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	l = update(t, s, checkpoint.Prepare(l, intent("10", "a")))
	l = update(t, s, checkpoint.Release(l, ""))
	if l.Owner != "" || l.Pending == nil {
		t.Fatalf("released: %+v", l)
	}
	l = update(t, s, checkpoint.Take(l, "successor"))
	update(t, s, checkpoint.Commit(l, time.Time{}, nil))
}

func restart(t *testing.T, s checkpoint.Store) {
	ctx := t.Context()
	l := Fresh("shardId-000000000001")
	if err := s.Create(ctx, l); err != nil {
		t.Fatal(err)
	}
	update := func(u checkpoint.Update) checkpoint.Lease {
		t.Helper()
		next, err := s.Update(ctx, u)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	l, err := s.Get(ctx, l.Shard)
	if err != nil {
		t.Fatal(err)
	}
	owned := update(checkpoint.Take(l, "w"))
	pending := update(checkpoint.Prepare(owned, checkpoint.Pending{Position: standpipe.Position{Sequence: "5"}, State: []byte("intent")}))
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	to := standpipe.Position{Sequence: standpipe.AtTimestamp}
	if _, err := s.Update(ctx, checkpoint.Restart(pending, to, start, "new")); err == nil {
		t.Fatal("restarted over a prepared flush")
	}
	done := update(checkpoint.Commit(pending, start, nil))
	anew := update(checkpoint.Restart(done, to, start, "new"))
	stored, err := s.Get(ctx, l.Shard)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []checkpoint.Lease{anew, stored} {
		if got.Checkpoint != to || !got.StartTime.Equal(start) || got.Incarnation != "new" || got.Commits != 0 || got.Owner != "" || !got.Seen.IsZero() || got.Epoch != done.Epoch+1 {
			t.Errorf("lease %+v", got)
		}
	}
	if _, err := s.Update(ctx, checkpoint.Advance(done, standpipe.Position{Sequence: "6"}, start, nil)); err == nil {
		t.Error("the former owner still writes")
	}
}
