package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

const (
	seededDropped = 31
	seededDoubled = 44
	seededAltered = 9
)

// seededLines is how many lines a side has: STANDPIPE_COMPARE_LINES, else two
// million.
func seededLines(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(orElse(os.Getenv("STANDPIPE_COMPARE_LINES"), "2000000"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// A written line is where a test put it.
type written struct {
	object int
	line   int64
	text   []byte
}

// encoders turn a plain object into one of each format.
var encoders = []struct {
	name, codec string
	encode      func([]byte) ([]byte, error)
}{
	{"plain", "none", func(p []byte) ([]byte, error) { return p, nil }},
	{"gzip", "gzip", func(p []byte) ([]byte, error) { return gzipMembers(p) }},
	{"gzip of members", "gzip", func(p []byte) ([]byte, error) { return gzipMembers(p[:len(p)/3], p[len(p)/3:]) }},
	{"zip", "zip", zipped},
	{"xerial snappy", "snappy", xerial},
	{"hadoop snappy", "hadoop_snappy", hadoop},
	{"framed snappy", "snappy_framed", framed},
	{"zstd", "zstd", zstded},
}

func gzipMembers(parts ...[]byte) ([]byte, error) {
	var b bytes.Buffer
	for _, p := range parts {
		w, err := gzip.NewWriterLevel(&b, 1)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(p); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func zipped(p []byte) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("records")
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(p); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

func xerial(p []byte) ([]byte, error) {
	b := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for chunk := range slices.Chunk(p, 32<<10) {
		packed := s2.EncodeSnappy(nil, chunk)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...)
	}
	return b, nil
}

func hadoop(p []byte) ([]byte, error) {
	var b []byte
	for chunk := range slices.Chunk(p, 256<<10) {
		packed := s2.EncodeSnappy(nil, chunk)
		b = binary.BigEndian.AppendUint32(b, uint32(len(chunk)))
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...)
	}
	return b, nil
}

func framed(p []byte) ([]byte, error) {
	var b bytes.Buffer
	w := snappy.NewBufferedWriter(&b)
	if _, err := w.Write(p); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func zstded(p []byte) ([]byte, error) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	return w.EncodeAll(p, nil), nil
}

// manyLines are real lines, over and over with a number of the round, so that
// natural duplicates stay duplicates and rounds do not become any.
func manyLines(t *testing.T, n int) [][]byte {
	source := harness.RealInput(t, 329, 0, 0)
	lines := make([][]byte, 0, n)
	for round := 0; len(lines) < n; round++ {
		for _, l := range source[:min(len(source), n-len(lines))] {
			lines = append(lines, fmt.Appendf(nil, `%s,"round":%d}`, l[:len(l)-1], round))
		}
	}
	return lines
}

// seed chooses lines that nothing equals, evenly spread.
func seed(lines [][]byte, n int) []int {
	s := maphash.MakeSeed()
	seen := make(map[uint64]int, len(lines))
	for _, l := range lines {
		seen[maphash.Bytes(s, l)]++
	}
	var chosen []int
	for i := 11; len(chosen) < n; i += len(lines) / (n + 1) {
		for seen[maphash.Bytes(s, lines[i])] != 1 {
			i++
		}
		chosen = append(chosen, i)
	}
	return chosen
}

func hashOf(line []byte) string {
	var d standpipe.Digest
	d.Add(line)
	return d.Sum()
}

func objectKey(side string, i int) string {
	return fmt.Sprintf("2026/11/21/%02d/class-stream-1-2026-11-21-%02d-%02d-09-%s-%04d", i%24, i%24, i/24, side, i)
}

// deal puts lines into objects of about so many lines and says where each of
// the wanted ones is.
func deal(lines [][]byte, objects int) [][]written {
	all := make([][]written, objects)
	for i, l := range lines {
		o := i * objects / len(lines)
		all[o] = append(all[o], written{object: o, line: int64(len(all[o]) + 1), text: l})
	}
	return all
}

func store(t *testing.T, dir, side string, objects [][]written, encode func([]byte) ([]byte, error)) {
	t.Helper()
	for i, lines := range objects {
		var plain []byte
		for _, l := range lines {
			plain = append(append(plain, l.text...), '\n')
		}
		body, err := encode(plain)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, objectKey(side, i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Aim: of two million real lines a side, 31 dropped, 44 doubled and 9 altered
// ones are reported, those and no others, by hash and by place, in every codec.
func TestSeededDifferencesInTwoMillionLines(t *testing.T) {
	lines := manyLines(t, seededLines(t))
	chosen := seed(lines, seededDropped+seededDoubled+seededAltered)
	expected := map[string]string{} // hash to kind
	ofB := make([][]byte, 0, len(lines)+seededDoubled)
	next := 0
	for i := range lines {
		// Another order than A's: a stride that visits every line once.
		j := int(uint64(i) * 1_000_003 % uint64(len(lines)))
		at, is := slices.BinarySearch(chosen, j)
		if !is {
			ofB = append(ofB, lines[j])
			continue
		}
		next++
		switch {
		case at%84 < seededDropped:
			expected[hashOf(lines[j])] = "missing_in_b"
		case at%84 < seededDropped+seededDoubled:
			ofB = append(ofB, lines[j], lines[j])
			expected[hashOf(lines[j])] = "doubled_in_b"
		default:
			altered := bytes.Clone(lines[j])
			altered[len(altered)/2] ^= 1
			ofB = append(ofB, altered)
			expected[hashOf(lines[j])] = "missing_in_b"
			expected[hashOf(altered)] = "missing_in_a"
		}
	}
	if next != len(chosen) || len(expected) != len(chosen)+seededAltered {
		t.Fatalf("%d of %d lines seeded, %d hashes", next, len(chosen), len(expected))
	}
	a, b := deal(lines, 97), deal(ofB, 61)
	ours := t.TempDir()
	store(t, ours, "a", a, encoders[1].encode)
	for _, e := range encoders {
		t.Run(e.name, func(t *testing.T) {
			theirs := t.TempDir()
			store(t, theirs, "b", b, e.encode)
			got := compareArchives(t, os.Environ(), 1, ours, theirs)
			if n := got.Sides[1].Codecs[e.codec]; n != int64(len(b)) {
				t.Errorf("%d of %d objects read as %s", n, len(b), e.codec)
			}
			c := got.Counts
			if c.MissingInB != seededDropped+seededAltered || c.MissingInA != seededAltered || c.DoubledInB != seededDoubled || c.DoubledInA != 0 || c.Altered != seededAltered {
				t.Errorf("%s: %+v", got.Headline, c)
			}
			if len(got.Differences) != len(expected) {
				t.Errorf("%d differences, want %d", len(got.Differences), len(expected))
			}
			for _, d := range got.Differences {
				if expected[d.Hash] != d.Kind {
					t.Errorf("%s is %s, want %s", d.Hash, d.Kind, expected[d.Hash])
				}
				placed(t, d, a, b)
			}
		})
	}
}

// placed looks up every place of a difference in what was written.
func placed(t *testing.T, d difference, a, b [][]written) {
	t.Helper()
	counts := map[string][2]int{"missing_in_b": {1, 0}, "missing_in_a": {0, 1}, "doubled_in_b": {1, 2}}[d.Kind]
	if len(d.PlacesA) != counts[0] || len(d.PlacesB) != counts[1] {
		t.Errorf("%s, %s: %d places in A and %d in B, want %v", d.Kind, d.Hash, len(d.PlacesA), len(d.PlacesB), counts)
	}
	for side, places := range [][]struct {
		Key          string
		Line, Offset int64
	}{d.PlacesA, d.PlacesB} {
		objects, name := [][][]written{a, b}[side], string("ab"[side])
		for _, p := range places {
			found := slices.IndexFunc(objects, func(o []written) bool { return objectKey(name, o[0].object) == p.Key })
			if found < 0 || p.Line > int64(len(objects[found])) || hashOf(objects[found][p.Line-1].text) != d.Hash {
				t.Errorf("%s is not at line %d of %s", d.Hash, p.Line, p.Key)
				continue
			}
			var offset int64
			for _, l := range objects[found][:p.Line-1] {
				offset += int64(len(l.text)) + 1
			}
			if p.Offset != offset {
				t.Errorf("%s is at byte %d of %s, not at %d", d.Hash, offset, p.Key, p.Offset)
			}
		}
	}
}
