package harness

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/standpipe/standpipe"
)

// Lines is a multiset of lines: its digest decides, its counts explain. The
// zero value is empty. Not safe for concurrent use.
type Lines struct {
	Digest standpipe.Digest
	counts map[string]int
}

// Add counts one line.
func (l *Lines) Add(line []byte) {
	if l.counts == nil {
		l.counts = map[string]int{}
	}
	l.Digest.Add(line)
	l.counts[string(line)]++
}

// AddText counts the lines of a text by the rule of RecordFormat lines: split
// on \n, one \r before it stripped, empty lines dropped.
func (l *Lines) AddText(text []byte) {
	for line := range SplitLines(text) {
		l.Add(line)
	}
}

// Merge counts every line of m.
func (l *Lines) Merge(m *Lines) {
	for line, n := range m.counts {
		for range n {
			l.Add([]byte(line))
		}
	}
}

// SplitLines yields the lines of a text by the same rule.
func SplitLines(text []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(text) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			line = bytes.TrimSuffix(line, []byte("\r"))
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}

// Diff says how got differs from want, or nothing: the number of lines
// missing and extra, and the first five of each.
func Diff(want, got *Lines) string {
	missing, extra := less(want.counts, got.counts), less(got.counts, want.counts)
	if len(missing) == 0 && len(extra) == 0 {
		if want.Digest != got.Digest {
			return fmt.Sprintf("the lines are equal but the digests are not: %d %s and %d %s: the digest is broken",
				want.Digest.Lines, want.Digest.Sum(), got.Digest.Lines, got.Digest.Sum())
		}
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "want %d lines, got %d\n", want.Digest.Lines, got.Digest.Lines)
	describe(&b, "missing", missing)
	describe(&b, "extra", extra)
	return b.String()
}

// Missing says which lines of want got has fewer of, or nothing; extra ones do
// not count.
func Missing(want, got *Lines) string {
	missing := less(want.counts, got.counts)
	if len(missing) == 0 {
		return ""
	}
	var b strings.Builder
	describe(&b, "missing", missing)
	return b.String()
}

type difference struct {
	line   string
	copies int
}

// less returns what a has more of than b, in the order of the lines.
func less(a, b map[string]int) []difference {
	var d []difference
	for line, n := range a {
		if copies := n - b[line]; copies > 0 {
			d = append(d, difference{line, copies})
		}
	}
	slices.SortFunc(d, func(x, y difference) int { return cmp.Compare(x.line, y.line) })
	return d
}

const (
	differencesShown = 5
	lineShown        = 160
)

func describe(b *strings.Builder, what string, d []difference) {
	total := 0
	for _, x := range d {
		total += x.copies
	}
	fmt.Fprintf(b, "%s: %d lines, %d distinct\n", what, total, len(d))
	for _, x := range d[:min(len(d), differencesShown)] {
		fmt.Fprintf(b, "  %d x %q\n", x.copies, x.line[:min(len(x.line), lineShown)])
	}
}

// DiffOrder says where two sequences of lines part, or nothing.
func DiffOrder(want, got [][]byte) string {
	for i := range min(len(want), len(got)) {
		if !bytes.Equal(want[i], got[i]) {
			return fmt.Sprintf("line %d of %d: want %q, got %q", i, len(want), clip(want[i]), clip(got[i]))
		}
	}
	if len(want) != len(got) {
		return fmt.Sprintf("want %d lines, got %d; the first %d are equal", len(want), len(got), min(len(want), len(got)))
	}
	return ""
}

// DiffBytes says where two byte strings part, or nothing.
func DiffBytes(want, got []byte) string {
	if bytes.Equal(want, got) {
		return ""
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	return fmt.Sprintf("want %d bytes, got %d; they part at byte %d: want %q, got %q", len(want), len(got), i, clip(want[i:]), clip(got[i:]))
}

func clip(b []byte) []byte { return b[:min(len(b), lineShown)] }
