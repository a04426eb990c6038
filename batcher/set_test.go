package batcher_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
)

var start = time.Date(2026, 11, 22, 10, 59, 0, 0, time.UTC)

func record(n int, arrival time.Time) *standpipe.Record {
	return &standpipe.Record{Sequence: []byte(strconv.Itoa(n)), Arrival: arrival}
}

// Every record is in exactly one batch or dropped, in order, and the ordinals
// of all batches and the dropped ones are the whole range.
func TestNoRecordIsLostSplitOrReordered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := batcher.NewSet(batcher.Limits{})
		n := rapid.IntRange(0, 300).Draw(t, "records")
		owner := make([]string, n) // prefix of each record, "" for dropped
		want := map[string]*standpipe.Digest{}
		for i := range n {
			r := record(1000+i, start.Add(time.Duration(rapid.IntRange(-50, 50).Draw(t, "arrival"))*time.Second))
			if rapid.IntRange(0, 4).Draw(t, "drop") == 0 {
				set.Drop(r, start)
				continue
			}
			p := rapid.SampledFrom([]string{"a/", "b/", "c/"}).Draw(t, "prefix")
			owner[i] = p
			b := set.Add(r, p, start)
			if want[p] == nil {
				want[p] = new(standpipe.Digest)
			}
			for range rapid.IntRange(1, 3).Draw(t, "lines") {
				line := fmt.Appendf(nil, "line %d", rapid.IntRange(0, 9).Draw(t, "line"))
				b.Line(line, len(line)+1)
				want[p].Add(line)
			}
		}
		if set.Records != int64(n) || set.Empty() != (n == 0) {
			t.Fatalf("%d records taken, %d counted", n, set.Records)
		}
		dropped := int64(n)
		for _, b := range set.Batches {
			dropped -= b.Records
			if b.Digest != *want[b.Prefix] {
				t.Fatalf("digest of %s differs", b.Prefix)
			}
			first, last, count := "", "", int64(0)
			for i, p := range owner {
				mine := p == b.Prefix
				if standpipe.Has(b.Ordinals, int64(i)) != mine {
					t.Fatalf("ordinal %d of %q: claimed by %s is %v", i, p, b.Prefix, !mine)
				}
				if mine {
					last = strconv.Itoa(1000 + i)
					if count++; count == 1 {
						first = last
					}
				}
			}
			if b.Records != count || string(b.First) != first || string(b.Last) != last {
				t.Fatalf("batch %s: %d records %s to %s, want %d, %s to %s", b.Prefix, b.Records, b.First, b.Last, count, first, last)
			}
		}
		if set.Dropped != dropped {
			t.Fatalf("%d dropped, want %d", set.Dropped, dropped)
		}
	})
}

func TestBytesCountBeforeCompressionAndSealTheBatchThatReachedThem(t *testing.T) {
	set := batcher.NewSet(batcher.Limits{Bytes: 10})
	a := set.Add(record(1, start), "a/", start)
	a.Line([]byte("123456789"), 9)
	if _, full := set.Full(a); full {
		t.Fatal("full one byte too early")
	}
	b := set.Add(record(2, start), "b/", start)
	b.Line([]byte("1"), 1)
	if _, full := set.Full(b); full {
		t.Fatal("bytes of one prefix counted for another")
	}
	a = set.Add(record(3, start), "a/", start)
	a.Line([]byte("0"), 1)
	if reason, full := set.Full(a); !full || reason != standpipe.SealBytes {
		t.Fatalf("at the limit: %q, %v", reason, full)
	}
}

func TestRecordsSeal(t *testing.T) {
	set := batcher.NewSet(batcher.Limits{Records: 2})
	set.Drop(record(1, start), start)
	if _, full := set.Full(nil); full {
		t.Fatal("full after one of two records")
	}
	set.Drop(record(2, start), start)
	if reason, full := set.Full(nil); !full || reason != standpipe.SealRecords {
		t.Fatalf("a dropped record must count too: %q, %v", reason, full)
	}
}

func TestTooManyPrefixesSeal(t *testing.T) {
	set := batcher.NewSet(batcher.Limits{Batches: 2})
	a := set.Add(record(1, start), "a/", start)
	if _, full := set.Full(a); full {
		t.Fatal("full with one of two batches")
	}
	b := set.Add(record(2, start), "b/", start)
	if _, full := set.Full(b); !full {
		t.Fatal("not full with the last allowed batch open")
	}
}

func TestAgeRunsFromTheFirstRecordTaken(t *testing.T) {
	set := batcher.NewSet(batcher.Limits{Age: time.Minute})
	if set.Due(start.Add(time.Hour)) {
		t.Fatal("an empty set is never due")
	}
	set.Drop(record(1, start.Add(-time.Hour)), start)
	set.Add(record(2, start), "a/", start.Add(30*time.Second))
	if set.Due(start.Add(time.Minute - 1)) {
		t.Fatal("due before its age")
	}
	if !set.Due(start.Add(time.Minute)) || !set.NextSeal().Equal(start.Add(time.Minute)) {
		t.Fatal("not due at its age: dropped records move the checkpoint too")
	}
}

func TestZeroAgeSealsAtOnce(t *testing.T) {
	set := batcher.NewSet(batcher.Limits{})
	set.Drop(record(1, start), start)
	if !set.Due(start) {
		t.Fatal("zero buffering must deliver at the first opportunity")
	}
}

func TestArrivalBoundsCoverNonMonotonicTimes(t *testing.T) {
	set := batcher.NewSet(batcher.Limits{})
	var b *batcher.Batch
	for i, s := range []int{5, 2, 9, 4} {
		b = set.Add(record(i, start.Add(time.Duration(s)*time.Second)), "a/", start)
	}
	if !b.ArrivalMin.Equal(start.Add(2*time.Second)) || !b.ArrivalMax.Equal(start.Add(9*time.Second)) || !set.ArrivalMax.Equal(b.ArrivalMax) {
		t.Fatalf("bounds %v to %v", b.ArrivalMin, b.ArrivalMax)
	}
}

func TestARecordAllocatesNothing(t *testing.T) {
	set := batcher.NewSet(batcher.Limits{Bytes: 1 << 40})
	r, line := record(1, start), []byte("a line")
	set.Add(r, "a/", start)
	if n := testing.AllocsPerRun(1000, func() {
		b := set.Add(r, "a/", start)
		b.Line(line, 7)
		set.Full(b)
	}); n != 0 {
		t.Fatalf("%v allocations for each record", n)
	}
}
