package sketch_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/compare/sketch"
)

// A small reference: counts by hash.
type counts map[sketch.Hash]int64

func (c counts) sorted() []sketch.Copies {
	var all []sketch.Copies
	for h, n := range c {
		if n != 0 {
			all = append(all, sketch.Copies{Hash: h, N: n})
		}
	}
	slices.SortFunc(all, func(a, b sketch.Copies) int {
		if a.Hash.Less(b.Hash) {
			return -1
		}
		return 1
	})
	return all
}

// Aim: whatever two multisets hold, the sketch gives their difference, in any
// number of parts and in either direction. Method: few distinct lines in many
// copies, so that cells cancel, divide and change sign.
func TestASketchHoldsExactlyTheDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := counts{}
		parts := []*sketch.Sketch{sketch.New(0), sketch.New(0), sketch.New(0)}
		for _, line := range rapid.SliceOf(rapid.Uint64Range(0, 60)).Draw(t, "lines") {
			h := sketch.Of([]byte{byte(line)})
			part := parts[rapid.IntRange(0, 2).Draw(t, "part")]
			for range rapid.IntRange(1, 20).Draw(t, "copies") {
				if rapid.Bool().Draw(t, "remove") {
					part.Remove(h)
					want[h]--
				} else {
					part.Add(h)
					want[h]++
				}
			}
		}
		all := sketch.New(0)
		for _, p := range parts {
			if err := all.Merge(p); err != nil {
				t.Fatal(err)
			}
		}
		negative := sketch.New(0)
		if err := negative.Subtract(all); err != nil {
			t.Fatal(err)
		}
		got, whole := all.Peel()
		if !whole || !slices.Equal(got, want.sorted()) {
			t.Fatalf("whole %v, %v, want %v", whole, got, want.sorted())
		}
		for h := range want {
			want[h] = -want[h]
		}
		if got, whole := negative.Peel(); !whole || !slices.Equal(got, want.sorted()) {
			t.Fatalf("the other way: whole %v, %v, want %v", whole, got, want.sorted())
		}
		for h, n := range want {
			negative.Explain(h, n)
		}
		for b := range sketch.Buckets {
			if negative.Differs(b) {
				t.Fatalf("bucket %d differs after everything was explained", b)
			}
		}
	})
}

func random(r *rand.Rand) sketch.Hash { return sketch.Hash{Hi: r.Uint64(), Lo: r.Uint64()} }

// fill puts so many differences, one in eight of them in several copies, among
// lines that cancel.
func fill(s *sketch.Sketch, r *rand.Rand, differences int) counts {
	want := counts{}
	for i := range differences {
		h := random(r)
		for range 1 + i%8/7*(i%5) {
			if i%3 == 0 {
				s.Remove(h)
				want[h]--
			} else {
				s.Add(h)
				want[h]++
			}
		}
	}
	for range 10_000 {
		h := random(r)
		s.Add(h)
		s.Remove(h)
	}
	return want
}

func TestAFullSketchIsDecodedAndAnOverfullOneSaysSo(t *testing.T) {
	for seed := range uint64(20) {
		for _, n := range []int{0, 1, 10, 1000, 20_000} {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			s := sketch.New(n)
			want := fill(s, r, n)
			if got, whole := s.Peel(); !whole || !slices.Equal(got, want.sorted()) {
				t.Fatalf("seed %d, %d differences: whole %v, %d found", seed, n, whole, len(got))
			}
		}
		s := sketch.New(1000)
		n := 4 * s.Capacity()
		want := fill(s, rand.New(rand.NewPCG(seed, 7)), n)
		got, whole := s.Peel()
		if whole {
			t.Fatalf("seed %d: %d differences in room for %d, and it says that is all", seed, n, s.Capacity())
		}
		for _, c := range got {
			if want[c.Hash] != c.N {
				t.Fatalf("seed %d: found %v, want %d copies", seed, c, want[c.Hash])
			}
		}
		if e := s.Estimate(); e < n/2 || e > n*2 {
			t.Fatalf("seed %d: %d differences estimated as %d", seed, n, e)
		}
	}
}

func TestBucketsWithoutDifferencesAreTold(t *testing.T) {
	s := sketch.New(10)
	want := fill(s, rand.New(rand.NewPCG(1, 2)), 50)
	differing := map[int]bool{}
	for h := range want {
		differing[h.Bucket()] = true
	}
	for b := range sketch.Buckets {
		if s.Differs(b) != differing[b] {
			t.Fatalf("bucket %d: %v, want %v", b, s.Differs(b), differing[b])
		}
	}
}

func TestASketchSurvivesItsEncoding(t *testing.T) {
	s := sketch.New(500)
	want := fill(s, rand.New(rand.NewPCG(1, 2)), 400)
	var b bytes.Buffer
	if n, err := s.WriteTo(&b); err != nil || n != int64(b.Len()) || n > sketch.Bytes(500)+8 {
		t.Fatalf("%d bytes of %d, %v", n, b.Len(), err)
	}
	raw := b.Bytes()
	got, err := sketch.Read(&b)
	if err != nil || b.Len() != 0 {
		t.Fatalf("%v, %d bytes left", err, b.Len())
	}
	if found, whole := got.Peel(); !whole || !slices.Equal(found, want.sorted()) {
		t.Error("not the same sketch")
	}
	for _, n := range []int{0, 7, 100, len(raw) - 1} {
		if _, err := sketch.Read(bytes.NewReader(raw[:n])); err == nil {
			t.Errorf("cut at %d: no error", n)
		}
	}
	if err := s.Merge(sketch.New(50_000)); err == nil {
		t.Error("sketches of two sizes were merged")
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if _, err := sketch.New(1).WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := sketch.Read(bytes.NewReader(raw)); err == nil {
			s.Peel() // nonsense ends
		}
	})
}

// Aim: parts of a sketch that travel in their short form add up to the sketch
// of all lines, and what is no such part is refused. Method: few lines, so that
// cells and buckets are empty, cancel and are full.
func TestCompactPartsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, sum := sketch.New(0), sketch.New(0)
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			part := sketch.New(0)
			for _, line := range rapid.SliceOf(rapid.Uint16Range(0, 3000)).Draw(t, "lines") {
				h := sketch.Of(binary.BigEndian.AppendUint16(nil, line))
				if rapid.Bool().Draw(t, "remove") {
					part.Remove(h)
					whole.Remove(h)
				} else {
					part.Add(h)
					whole.Add(h)
				}
			}
			short := part.AppendCompact(nil)
			if err := sum.MergeCompact(short); err != nil {
				t.Fatal(err)
			}
			cut := rapid.IntRange(0, len(short)-1).Draw(t, "cut")
			if err := sketch.New(0).MergeCompact(short[:cut]); err == nil {
				t.Fatalf("cut at %d of %d: no error", cut, len(short))
			}
			if err := sketch.New(100_000).MergeCompact(short); err == nil {
				t.Fatal("a part of another size was merged")
			}
			if err := sketch.New(0).MergeCompact(append(short, 0)); err == nil {
				t.Fatal("a part with something behind it was merged")
			}
		}
		if !bytes.Equal(encoded(t, whole), encoded(t, sum)) {
			t.Fatal("the sum of the parts is another sketch")
		}
	})
}

func encoded(t *rapid.T, s *sketch.Sketch) []byte {
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestACompactPartIsAsLargeAsWhatDiffers(t *testing.T) {
	s := sketch.New(20_000)
	fill(s, rand.New(rand.NewPCG(1, 2)), 10)
	if n := len(s.AppendCompact(nil)); n > 3000 {
		t.Errorf("10 differences take %d bytes", n)
	}
	fill(s, rand.New(rand.NewPCG(3, 2)), 200_000)
	if n, dense := int64(len(s.AppendCompact(nil))), sketch.Bytes(20_000); n > dense*3/4 {
		t.Errorf("a full sketch takes %d bytes of %d", n, dense)
	}
}

func FuzzMergeCompact(f *testing.F) {
	s := sketch.New(0)
	fill(s, rand.New(rand.NewPCG(1, 2)), 3)
	f.Add(s.AppendCompact(nil))
	f.Add(sketch.New(0).AppendCompact(nil))
	f.Fuzz(func(_ *testing.T, b []byte) {
		s := sketch.New(0)
		if err := s.MergeCompact(b); err == nil {
			s.Peel() // nonsense ends
		}
	})
}

func TestHashesAreThoseOfTheDigest(t *testing.T) {
	var d standpipe.Digest
	d.Add([]byte("a line"))
	h := sketch.Of([]byte("a line"))
	if h.String() != d.Sum() {
		t.Errorf("%s, the digest has %s", h, d.Sum())
	}
	if back, err := sketch.ParseHash(h.String()); err != nil || back != h {
		t.Errorf("%v, %v", back, err)
	}
	if _, err := sketch.ParseHash("xyz"); err == nil {
		t.Error("xyz is a hash")
	}
}

func BenchmarkAdd(b *testing.B) {
	s := sketch.New(20_000)
	line := bytes.Repeat([]byte("x"), 60)
	b.SetBytes(int64(len(line)))
	for i := 0; b.Loop(); i++ {
		line[i%60]++
		h := xxh3.Hash128(line)
		s.Add(sketch.Hash{Hi: h.Hi, Lo: h.Lo})
	}
}
