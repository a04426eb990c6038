// Package jobstest is what makes something a jobs.Store: the suite that every
// backend passes.
package jobstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe/jobs"
)

// Plan makes a job of n waiting slices.
func Plan(id string, n int) (jobs.Job, []jobs.Slice) {
	j := jobs.Job{
		ID: id, Kind: "test", Title: "a test", Spec: json.RawMessage(`{"a":1}`),
		Created: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC), Slices: n,
	}
	all := make([]jobs.Slice, n)
	for i := range all {
		all[i] = jobs.Slice{Job: id, Number: i, Name: "part", Spec: json.RawMessage(`[1]`), State: jobs.Waiting}
	}
	return j, all
}

// text is a JSON text of n bytes that only i has.
func text(n, i int) json.RawMessage {
	b := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)})
	_, _ = random.Read(b)
	for k := range b {
		b[k] = 'a' + b[k]%26
	}
	b[0], b[n-1] = '"', '"'
	return b
}

// Run tests the stores that open makes. Each call of open gives an empty one.
func Run(t *testing.T, open func(t *testing.T) jobs.Store) {
	ctx := context.Background()
	create := func(t *testing.T, s jobs.Store, id string, n int) {
		t.Helper()
		j, all := Plan(id, n)
		if err := s.Create(ctx, j, all); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("AJobIsReadAsItWasPlanned", func(t *testing.T) {
		s := open(t)
		create(t, s, "j", 300)
		want, slices := Plan("j", 300)
		want.Revision = 1
		got, err := s.Job(ctx, "j")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		all, err := s.Slices(ctx, "j")
		for i := range slices {
			slices[i].Revision = 1
		}
		if diff := cmp.Diff(slices, all); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	})

	t.Run("ASecondPlanOfTheSameIDTouchesNothing", func(t *testing.T) {
		s := open(t)
		create(t, s, "j", 2)
		j, all := Plan("j", 5)
		if err := s.Create(ctx, j, all); !errors.Is(err, jobs.ErrExists) {
			t.Fatalf("got %v", err)
		}
		if got, err := s.Slices(ctx, "j"); err != nil || len(got) != 2 {
			t.Fatalf("%d slices, %v", len(got), err)
		}
	})

	t.Run("JobsWhoseIDsBeginAlikeKeepTheirSlices", func(t *testing.T) {
		s := open(t)
		create(t, s, "j", 2)
		create(t, s, "j1", 3)
		for id, n := range map[string]int{"j": 2, "j1": 3} {
			if got, err := s.Slices(ctx, id); err != nil || len(got) != n {
				t.Errorf("%s: %d slices, %v", id, len(got), err)
			}
		}
		if err := s.Delete(ctx, "j"); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Slices(ctx, "j1"); err != nil || len(got) != 3 {
			t.Errorf("after the delete of j: %d slices of j1, %v", len(got), err)
		}
		if _, err := s.Job(ctx, "j"); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("j after its delete: %v", err)
		}
		if err := s.Delete(ctx, "j"); err != nil {
			t.Errorf("second delete: %v", err)
		}
	})

	t.Run("OnlyTheRevisionThatWasReadIsReplaced", func(t *testing.T) {
		s := open(t)
		create(t, s, "j", 2)
		old, err := s.Slice(ctx, "j", 1)
		if err != nil {
			t.Fatal(err)
		}
		want := old.Claim("w", "token").Report(json.RawMessage(`"half"`))
		got, err := s.Put(ctx, want)
		want.Revision++
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		if _, err := s.Put(ctx, old.Claim("x", "other")); !errors.Is(err, jobs.ErrChanged) {
			t.Fatalf("a put of an old revision: %v", err)
		}
		if now, err := s.Slice(ctx, "j", 1); err != nil || now.Token != "token" {
			t.Fatalf("the refused put left its mark: %+v, %v", now, err)
		}
		j, err := s.Job(ctx, "j")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutJob(ctx, j); err != nil {
			t.Fatal(err)
		}
		if _, err := s.PutJob(ctx, j); !errors.Is(err, jobs.ErrChanged) {
			t.Fatalf("a put of an old job: %v", err)
		}
	})

	t.Run("WhatIsNotThereIsNotMade", func(t *testing.T) {
		s := open(t)
		_, err1 := s.Put(ctx, jobs.Slice{Job: "none"})
		_, err2 := s.PutJob(ctx, jobs.Job{ID: "none"})
		_, err3 := s.Slice(ctx, "none", 0)
		for _, err := range []error{err1, err2, err3} {
			if !errors.Is(err, jobs.ErrNotFound) {
				t.Errorf("got %v", err)
			}
		}
		if all, err := s.Jobs(ctx); err != nil || len(all) != 0 {
			t.Errorf("%v, %v", all, err)
		}
	})

	t.Run("JobsAreListedOldestFirst", func(t *testing.T) {
		s := open(t)
		for i, id := range []string{"c", "a", "b"} {
			j, all := Plan(id, 1)
			j.Created = j.Created.Add(time.Duration(i) * time.Minute)
			if err := s.Create(ctx, j, all); err != nil {
				t.Fatal(err)
			}
		}
		all, err := s.Jobs(ctx)
		if err != nil || len(all) != 3 || all[0].ID != "c" || all[1].ID != "a" || all[2].ID != "b" {
			t.Fatalf("%v, %v", all, err)
		}
	})

	t.Run("OfManyClaimsOneWins", func(t *testing.T) {
		s := open(t)
		create(t, s, "j", 1)
		first, err := s.Slice(ctx, "j", 0)
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		won := make(chan string, 16)
		for i := range 16 {
			group.Go(func() {
				token := string(rune('a' + i))
				switch _, err := s.Put(ctx, first.Claim("w", token)); {
				case err == nil:
					won <- token
				case !errors.Is(err, jobs.ErrChanged):
					t.Error(err)
				}
			})
		}
		group.Wait()
		close(won)
		var winners []string
		for w := range won {
			winners = append(winners, w)
		}
		now, err := s.Slice(ctx, "j", 0)
		if err != nil || len(winners) != 1 || now.Token != winners[0] {
			t.Fatalf("winners %v, stored %q, %v", winners, now.Token, err)
		}
	})

	t.Run("ThousandsOfSlicesComeInTheOrderOfTheirNumbers", func(t *testing.T) {
		s := open(t)
		const n = 2600 // with their specs more than one answer of DynamoDB holds
		j, all := Plan("j", n)
		for i := range all {
			all[i].Spec = text(500, i)
		}
		if err := s.Create(ctx, j, all); err != nil {
			t.Fatal(err)
		}
		got, err := s.Slices(ctx, "j")
		if err != nil || len(got) != n {
			t.Fatalf("%d slices, %v", len(got), err)
		}
		states, err := s.States(ctx, "j")
		if err != nil || len(states) != n {
			t.Fatalf("%d states, %v", len(states), err)
		}
		for i := range n {
			if got[i].Number != i || string(got[i].Spec) != string(all[i].Spec) || states[i].Number != i || states[i].Revision != 1 {
				t.Fatalf("slice %d: %+v, %+v", i, got[i], states[i])
			}
		}
	})

	t.Run("OfManyPlansOfOneIDOneIsWhole", func(t *testing.T) {
		s := open(t)
		var group sync.WaitGroup
		made := make(chan int, 8)
		for i := range 8 {
			group.Go(func() {
				j, all := Plan("j", 30+i)
				j.Title = fmt.Sprint(i)
				switch err := s.Create(ctx, j, all); {
				case err == nil:
					made <- i
				case !errors.Is(err, jobs.ErrExists):
					t.Error(err)
				}
			})
		}
		group.Wait()
		close(made)
		var winners []int
		for i := range made {
			winners = append(winners, i)
		}
		j, err := s.Job(ctx, "j")
		if err != nil || len(winners) != 1 || j.Title != fmt.Sprint(winners[0]) {
			t.Fatalf("winners %v, stored %q, %v", winners, j.Title, err)
		}
		if all, err := s.Slices(ctx, "j"); err != nil || len(all) != j.Slices {
			t.Fatalf("%d of %d slices, %v", len(all), j.Slices, err)
		}
	})

	t.Run("DocumentsOf16MiBAreKept", func(t *testing.T) {
		s := open(t)
		const large, medium = 16 << 20, 400 << 10
		j, all := Plan("j", 2)
		j.Spec, all[1].Spec = text(medium, 1), text(medium, 2)
		if err := s.Create(ctx, j, all); err != nil {
			t.Fatal(err)
		}
		same := func(what string, got, want json.RawMessage, err error) {
			t.Helper()
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %d bytes, want %d, %v", what, len(got), len(want), err)
			}
		}
		read, err := s.Job(ctx, "j")
		same("the job's spec", read.Spec, j.Spec, err)
		listed, err := s.Jobs(ctx)
		same("the listed job's spec", listed[0].Spec, j.Spec, err)
		read.Cancelled = true
		if read, err = s.PutJob(ctx, read); err != nil || !read.Cancelled {
			t.Fatal(err)
		}
		x, err := s.Slice(ctx, "j", 1)
		same("a slice's spec", x.Spec, all[1].Spec, err)
		if x, err = s.Put(ctx, x.Claim("w", "t").Report(text(medium, 3))); err != nil {
			t.Fatal(err)
		}
		if x, err = s.Put(ctx, x.Finish(text(large, 4))); err != nil {
			t.Fatal(err)
		}
		slices, err := s.Slices(ctx, "j")
		same("spec", slices[1].Spec, all[1].Spec, err)
		same("progress", slices[1].Progress, text(medium, 3), err)
		same("result", slices[1].Result, text(large, 4), err)
		x.Spec, x.Progress = nil, nil
		if x, err = s.Put(ctx, x.Finish(json.RawMessage(`1`))); err != nil {
			t.Fatal(err)
		}
		again, err := s.Slice(ctx, "j", 1)
		if diff := cmp.Diff(x, again); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		if err := s.Delete(ctx, "j"); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("ADeletedJobCanBeMadeAnew", func(t *testing.T) {
		s := open(t)
		create(t, s, "j", 5)
		x, err := s.Slice(ctx, "j", 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, x.Claim("w", "t")); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, "j"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Slice(ctx, "j", 0); !errors.Is(err, jobs.ErrNotFound) {
			t.Errorf("a slice of a deleted job: %v", err)
		}
		if all, err := s.Slices(ctx, "j"); err != nil || len(all) != 0 {
			t.Errorf("%d slices of a deleted job, %v", len(all), err)
		}
		create(t, s, "j", 2)
		if x, err = s.Slice(ctx, "j", 0); err != nil || x.Revision != 1 || x.State != jobs.Waiting {
			t.Errorf("%+v, %v", x, err)
		}
		if all, err := s.States(ctx, "j"); err != nil || len(all) != 2 {
			t.Errorf("%d slices of the new job, %v", len(all), err)
		}
	})

	t.Run("AnEndedContextWritesNothing", func(t *testing.T) {
		s := open(t)
		create(t, s, "j", 1)
		x, err := s.Slice(ctx, "j", 0)
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := s.Put(ended, x.Claim("w", "t")); err == nil {
			t.Fatal("no error")
		}
		if now, err := s.Slice(ctx, "j", 0); err != nil || now.Revision != 1 {
			t.Fatalf("%+v, %v", now, err)
		}
	})
}
