package verify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSortingGivesEveryEntryOnceInOrder(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s := newSorter(dir)
		defer s.close()
		s.limit = rapid.IntRange(1, 400).Draw(t, "limit")
		want := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 20), 0, 300).Draw(t, "entries")
		for _, e := range want {
			if err := s.add(e); err != nil {
				t.Fatal(err)
			}
		}
		slices.SortFunc(want, bytes.Compare)
		for range 2 { // it can be read again
			var got [][]byte
			for e, err := range s.sorted() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, bytes.Clone(e))
			}
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("%d entries, want %d in order", len(got), len(want))
			}
		}
	})
}

// Sixteen times as many names take the memory of one run, and so many files.
func TestMemoryDoesNotGrowWithTheNumberOfNames(t *testing.T) {
	const limit = 4 << 10
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{10_000, 160_000} {
		s := newSorter(t.TempDir())
		s.limit = limit
		for range n {
			if err := s.add(fmt.Appendf(nil, "%016x", rnd.Uint64())); err != nil {
				t.Fatal(err)
			}
			if len(s.runs) > runsMax {
				t.Fatalf("%d files are open", len(s.runs))
			}
		}
		if most := limit + 16 + entryOverhead; s.peak > most {
			t.Errorf("%d names took %d bytes, at most %d are allowed", n, s.peak, most)
		}
		if s.merges == 0 {
			t.Error("runs were never merged: the scene is too small")
		}
		count, last := 0, ""
		for e, err := range s.sorted() {
			if err != nil {
				t.Fatal(err)
			}
			if count++; string(e) < last {
				t.Fatalf("%s after %s", e, last)
			}
			last = string(e)
		}
		if count != n {
			t.Errorf("%d names came back of %d", count, n)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}
