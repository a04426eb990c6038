package deflate

import (
	"bytes"
	stdlib "compress/flate"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	klauspost "github.com/klauspost/compress/flate"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe/test/bench/canned"
)

// encode compresses data as one stream that ends.
func encode(e *Encoder, data []byte) []byte {
	e.Reset()
	var out []byte
	for len(data) > 0 {
		n := min(len(data), BlockSize)
		out = e.Append(out, data[:n])
		data = data[n:]
	}
	return append(out, 3, 0)
}

// undo reads a stream with both readers and fails when one gives anything but
// want, or does not end where the stream ends.
func undo(tb testing.TB, stream, want []byte) {
	tb.Helper()
	for name, open := range map[string]func(io.Reader) io.ReadCloser{
		"compress/flate": stdlib.NewReader, "klauspost": klauspost.NewReader,
	} {
		in := bytes.NewReader(stream)
		got, err := io.ReadAll(open(in))
		if err != nil || !bytes.Equal(got, want) {
			tb.Fatalf("%s: %d bytes of %d, first difference at %d, error %v", name, len(got), len(want), differ(got, want), err)
		}
		if in.Len() > 0 {
			tb.Fatalf("%s: %d bytes are left", name, in.Len())
		}
	}
}

func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func lines(kind canned.Kind, size int) []byte {
	return bytes.Join(canned.Payloads(kind, 1, size), nil)[:size]
}

func random(size, symbols int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(symbols)))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.IntN(symbols))
	}
	return b
}

// far repeats 300 bytes at the given distance and nothing else.
func far(distance, size int) []byte {
	b := random(size, 256)
	for i := distance; i+300 < size; i += distance {
		copy(b[i:], b[i-distance:i-distance+300])
	}
	return b
}

func TestAnyReaderUndoesIt(t *testing.T) {
	texts := map[string][]byte{
		"zeros":             make([]byte, 5*BlockSize/2),
		"random":            random(3*BlockSize, 256),
		"two symbols":       random(BlockSize+1, 2),
		"short period":      bytes.Repeat([]byte("ab"), BlockSize),
		"all symbols":       bytes.Repeat(random(300, 256), 300),
		"window":            far(window, 4*BlockSize),
		"beyond the window": far(window+1, 4*BlockSize),
		"a block back":      far(BlockSize, 4*BlockSize),
		"begins again":      slices.Concat(random(50, 256), []byte{0}, random(50, 256), random(BlockSize, 64)),
		"korean":            []byte(strings.Repeat("한강 래미안 관리비 고지서 ", 9000)),
	}
	for _, kind := range canned.Kinds {
		texts[string(kind)] = lines(kind, 8*BlockSize+4711)
	}
	e := new(Encoder)
	for name, text := range texts {
		t.Run(name, func(t *testing.T) { undo(t, encode(e, text), text) })
	}
}

// Texts made of copies find what a match may not reach: a byte more than the
// window back, before the stream, across a block.
func TestCopiesFromAnyDistanceAreUndone(t *testing.T) {
	distances := rapid.OneOf(
		rapid.SampledFrom([]int{1, 2, 3, window - 1, window, window + 1, BlockSize - 1, BlockSize, BlockSize + 1}),
		rapid.IntRange(1, 2*BlockSize),
	)
	e := new(Encoder)
	encode(e, lines(canned.Small, 2*BlockSize))
	rapid.Check(t, func(rt *rapid.T) {
		text := random(rapid.IntRange(5, 2*BlockSize).Draw(rt, "start"), rapid.IntRange(2, 256).Draw(rt, "symbols"))
		common := distances.Draw(rt, "common")
		for range rapid.IntRange(1, 1000).Draw(rt, "copies") {
			from := max(len(text)-rapid.OneOf(rapid.Just(common), distances).Draw(rt, "distance"), 0)
			for range rapid.IntRange(1, 300).Draw(rt, "length") {
				text = append(text, text[from])
				from++
			}
		}
		undo(t, encode(e, text), text)
	})
}

func TestEveryLengthOfTextIsUndone(t *testing.T) {
	e := new(Encoder)
	text := append(bytes.Repeat([]byte("standpipe "), 30), random(300, 20)...)
	for n := range text {
		undo(t, encode(e, text[:n]), text[:n])
		undo(t, encode(e, text[len(text)-n:]), text[len(text)-n:])
	}
	for n := BlockSize - 20; n < BlockSize+20; n++ {
		text := lines(canned.Small, n)
		undo(t, encode(e, text), text)
	}
}

// A block that was not whole is not matched with, so any division is a stream.
func TestBlocksOfAnySizeMakeOneStream(t *testing.T) {
	e := new(Encoder)
	period := bytes.Repeat(random(1000, 256), 4*BlockSize/1000)
	encode(e, period) // what a match with a stream before would find
	for _, text := range [][]byte{lines(canned.Click, 4*BlockSize), period} {
		for _, sizes := range [][]int{{5000}, {100, BlockSize}, {BlockSize, 100}, {BlockSize, BlockSize, 17}, {BlockSize - 536}} {
			e.Reset()
			var out []byte
			for i, rest := 0, text; len(rest) > 0; i++ {
				n := min(sizes[i%len(sizes)], len(rest))
				out = e.Append(out, rest[:n])
				rest = rest[n:]
			}
			undo(t, append(out, 3, 0), text)
		}
	}
}

func TestWhatWasBeforeChangesNothing(t *testing.T) {
	text := lines(canned.Click, 3*BlockSize)
	want := encode(new(Encoder), text)
	used := new(Encoder)
	alike := bytes.Clone(text[:BlockSize])
	for i := 0; i < len(alike); i += 77 {
		alike[i] = '#'
	}
	for _, before := range [][]byte{lines(canned.Small, 5*BlockSize), random(BlockSize+77, 256), text, alike} {
		encode(used, before)
		if !bytes.Equal(encode(used, text), want) {
			t.Error("the same text became other bytes")
		}
	}
}

func TestABlockWithoutMatchesHasADistanceCode(t *testing.T) {
	e := new(Encoder)
	undo(t, encode(e, []byte("no match here")), []byte("no match here"))
	if e.distLengths[0] != 1 {
		t.Error("the block has no distance code")
	}
}

func TestWhatCannotBeCompressedGrowsByTenBytesABlock(t *testing.T) {
	e := new(Encoder)
	for _, n := range []int{1, 2, 10, 255, 4096, BlockSize - 1, BlockSize} {
		if out := e.Append(nil, random(n, 256)); len(out) > n+10 {
			t.Errorf("%d bytes became %d", n, len(out))
		}
	}
	if out := e.Append([]byte("x"), nil); string(out) != "x" {
		t.Errorf("nothing became %q", out)
	}
}

// The rate is the point of this package, but bought at no more than 3 % of size.
func TestItIsAsSmallAsTheFirstLevelOfGzip(t *testing.T) {
	const chunk = 8 * BlockSize
	e := new(Encoder)
	for _, kind := range canned.Kinds {
		text := lines(kind, chunk)
		var other bytes.Buffer
		w, err := klauspost.NewWriter(&other, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		own := len(encode(e, text))
		t.Logf("%s: ratio %.3f, klauspost/compress %.3f", kind, chunk/float64(own), chunk/float64(other.Len()))
		if float64(own) > 1.03*float64(other.Len()) {
			t.Errorf("%s: %d bytes, klauspost/compress needs %d", kind, own, other.Len())
		}
	}
}

func FuzzAnyReaderUndoesIt(f *testing.F) {
	for _, kind := range canned.Kinds {
		f.Add(lines(kind, 3000), uint16(1000), uint8(1))
	}
	f.Add(random(500, 256), uint16(0), uint8(0))
	f.Add([]byte("abcdabcdabcd"), uint16(3), uint8(200))
	e := new(Encoder)
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, repeat uint8) {
		// Long texts out of short ones, so that windows fill and blocks end.
		text := bytes.Repeat(data, int(repeat)+1)
		text = text[:min(len(text), 5*BlockSize)]
		undo(t, encode(e, text), text)
		e.Reset()
		var out []byte
		size := min(int(cut)+1, BlockSize)
		for rest := text[:min(len(text), 20*size)]; ; rest = rest[size:] {
			if len(rest) <= size {
				out = e.Append(out, rest)
				break
			}
			out = e.Append(out, rest[:size])
		}
		undo(t, append(out, 3, 0), text[:min(len(text), 20*size)])
	})
}
