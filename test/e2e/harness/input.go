package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/node"
)

// RealInput returns the lines of the real input, at most that many of each
// source; 0 is all of them.
func RealInput(t testing.TB, github, emoji, flights int) [][]byte {
	t.Helper()
	dir := node.Input(t)
	var lines [][]byte
	for _, source := range []struct {
		file  string
		limit int
	}{{"github.ndjson", github}, {"emoji-ko.ndjson", emoji}, {"flights.ndjson", flights}} {
		text, err := os.ReadFile(filepath.Join(dir, source.file))
		if err != nil {
			t.Fatalf("read the real input: %v", err)
		}
		n := 0
		for line := range SplitLines(text) {
			if n++; source.limit > 0 && n > source.limit {
				break
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// Numbered makes about size bytes of lines of the real input, each different
// from all others: equal lines would hide one that is missing behind one that
// is there twice.
func Numbered(t testing.TB, size int) [][]byte {
	t.Helper()
	source := RealInput(t, 329, 0, 5000)
	var lines [][]byte
	for total := 0; total < size; {
		line := fmt.Appendf(nil, `{"n":%d,"line":%s}`, len(lines), source[len(lines)%len(source)])
		lines = append(lines, line)
		total += len(line)
	}
	return lines
}

// Multiset counts lines.
func Multiset(lines [][]byte) *Lines {
	var m Lines
	for _, line := range lines {
		m.Add(line)
	}
	return &m
}

// Pack makes records of lines the way producers do: some with a newline at
// the end, some without, some with \r\n, some two lines in one record. The
// multiset of lines is unchanged.
func Pack(lines [][]byte) [][]byte {
	var records [][]byte
	for i := 0; i < len(lines); i++ {
		switch i % 5 {
		case 0:
			records = append(records, lines[i])
		case 1:
			records = append(records, slices.Concat(lines[i], []byte("\r\n")))
		case 2:
			if i+1 < len(lines) {
				records = append(records, slices.Concat(lines[i], []byte("\n"), lines[i+1], []byte("\n")))
				i++
				continue
			}
			fallthrough
		default:
			records = append(records, slices.Concat(lines[i], []byte("\n")))
		}
	}
	return records
}
