package checkpointtest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// Worker is a worker with every column that Beat must keep.
func Worker(id string) checkpoint.Worker {
	return checkpoint.Worker{
		ID: id, Leaving: true, Capacity: 7, Version: "v1.2.3", Address: "127.0.0.1:9090",
		Started: time.Date(2026, 11, 22, 10, 0, 0, 5e6, time.UTC),
	}
}

func beat(t *testing.T, s checkpoint.Store, w checkpoint.Worker) checkpoint.Worker {
	t.Helper()
	stored, err := s.Beat(t.Context(), w)
	if err != nil {
		t.Fatalf("beat: %v", err)
	}
	return stored
}

func read(t *testing.T, s checkpoint.Store) checkpoint.Roster {
	t.Helper()
	r, err := s.Roster(t.Context())
	if err != nil {
		t.Fatalf("roster: %v", err)
	}
	return r
}

// soleWorker demands that the roster has w's row and no other.
func soleWorker(t *testing.T, s checkpoint.Store, w checkpoint.Worker) {
	t.Helper()
	if diff := cmp.Diff([]checkpoint.Worker{w}, read(t, s).Workers, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Fatalf("workers differ (-want +got):\n%s", diff)
	}
}

func handOver(t *testing.T, s checkpoint.Store) {
	l := update(t, s, checkpoint.Take(create(t, s), "me"))
	l = update(t, s, checkpoint.Release(l, "you"))
	if l.Owner != "" || l.Successor != "you" {
		t.Fatalf("handed over: %+v", l)
	}
	l = update(t, s, checkpoint.Take(l, "you"))
	if l.Owner != "you" || l.Successor != "" {
		t.Fatalf("taken after the hand-over: %+v", l)
	}
	if l = update(t, s, checkpoint.Release(l, "")); l.Owner != "" || l.Successor != "" {
		t.Fatalf("released: %+v", l)
	}
}

func deleted(t *testing.T, s checkpoint.Store) {
	seen := create(t, s)
	now := update(t, s, checkpoint.Take(seen, "me"))
	err := s.Delete(t.Context(), seen)
	f, ok := errors.AsType[*checkpoint.FencedError](err)
	if !ok {
		t.Fatalf("delete of a lease that was written since: got %v, want it refused", err)
	}
	if diff := cmp.Diff(now, f.Current, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Fatalf("the refusal shows another lease than the stored one:\n%s", diff)
	}
	same(t, s, now)
	if err := s.Delete(t.Context(), now); err != nil {
		t.Fatalf("delete: %v", err)
	}
	if _, err := s.Get(t.Context(), shard); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Fatalf("get of a deleted lease: %v", err)
	}
	if err := s.Delete(t.Context(), now); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Fatalf("delete again: got %v, want ErrNotFound", err)
	}
	create(t, s) // the shard can have a lease again
}

func beats(t *testing.T, s checkpoint.Store) {
	w := Worker("me")
	w.Counter, w.Nudges = 99, 99 // not the caller's to say
	got := beat(t, s, w)
	if got.Counter != 1 || got.Nudges != 0 {
		t.Fatalf("first heartbeat: %+v", got)
	}
	soleWorker(t, s, got)
	if err := s.Nudge(t.Context(), "me"); err != nil {
		t.Fatalf("nudge: %v", err)
	}
	w.Leaving, w.Capacity = false, 0 // every column but the two is the caller's
	got = beat(t, s, w)
	if got.Counter != 2 || got.Nudges != 1 || got.Leaving || got.Capacity != 0 {
		t.Fatalf("second heartbeat: %+v", got)
	}
	soleWorker(t, s, got)
}

func nudge(t *testing.T, s checkpoint.Store) {
	if err := s.Nudge(t.Context(), "nobody"); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Fatalf("nudge of nobody: got %v, want ErrNotFound", err)
	}
	if workers := read(t, s).Workers; len(workers) != 0 {
		t.Fatalf("a nudge made %+v", workers)
	}
	w := beat(t, s, Worker("me"))
	if err := s.Nudge(t.Context(), "me"); err != nil {
		t.Fatalf("nudge: %v", err)
	}
	w.Nudges++ // and nothing else: a nudge is no sign of life
	soleWorker(t, s, w)
}

func forget(t *testing.T, s checkpoint.Store) {
	if err := s.Forget(t.Context(), "nobody"); err != nil {
		t.Fatalf("forget nobody: %v", err)
	}
	beat(t, s, Worker("me"))
	you := beat(t, s, Worker("you"))
	if err := s.Forget(t.Context(), "me"); err != nil {
		t.Fatalf("forget: %v", err)
	}
	soleWorker(t, s, you)
	if again := beat(t, s, Worker("me")); again.Counter != 1 {
		t.Fatalf("a worker that was forgotten begins at %d", again.Counter)
	}
}

// One table holds both kinds of rows; a worker may be called like a shard.
func namesakes(t *testing.T, s checkpoint.Store) {
	l := create(t, s)
	w := beat(t, s, Worker(string(shard)))
	same(t, s, l)
	if err := s.Forget(t.Context(), string(shard)); err != nil {
		t.Fatal(err)
	}
	same(t, s, l)
	w = beat(t, s, w)
	if err := s.Delete(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), standpipe.ShardID(w.ID)); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Fatalf("a worker's row was read as a lease: %v", err)
	}
	soleWorker(t, s, w)
}

func beatsAndNudges(t *testing.T, s checkpoint.Store) {
	const each = 8
	beat(t, s, Worker("me"))
	var wg sync.WaitGroup
	for range each {
		wg.Go(func() {
			if err := s.Nudge(t.Context(), "me"); err != nil {
				t.Errorf("nudge: %v", err)
			}
		})
	}
	for range each {
		beat(t, s, Worker("me"))
	}
	wg.Wait()
	if w := read(t, s).Workers[0]; w.Counter != 1+each || w.Nudges != each {
		t.Fatalf("after %d heartbeats and %d nudges: %+v", 1+each, each, w)
	}
}
