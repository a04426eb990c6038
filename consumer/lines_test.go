package consumer

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// reference splits by the words of the promise, slowly.
func reference(data []byte) (out []string) {
	for _, l := range strings.Split(string(data), "\n") {
		if l = strings.TrimSuffix(l, "\r"); l != "" {
			out = append(out, l)
		}
	}
	return out
}

func lines(data []byte) (out []string) {
	for l := range Lines(data) {
		out = append(out, string(l))
	}
	return out
}

func TestLinesAreCutAsPromised(t *testing.T) {
	for in, want := range map[string][]string{
		"": nil, "\n\r\n\n": nil, "a": {"a"}, "a\n": {"a"}, "a\r\nb": {"a", "b"}, "a\r\r\n": {"a\r"},
		"a\rb\n": {"a\rb"}, "\x00\xff\n\xc3\n": {"\x00\xff", "\xc3"}, "a\r": {"a"}, " \n": {" "}, "\r": nil, "a\n\nb\n": {"a", "b"},
	} {
		same(t, in, lines([]byte(in)), want)
	}
	for l := range Lines([]byte("a\nb\nc")) { // leaving early is allowed
		if string(l) == "b" {
			break
		}
	}
}

func TestLinesEqualTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := []byte(strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"\n", "\r", "\r\n", "a", "bc", "\x00", "é"})).Draw(t, "parts"), ""))
		keep := bytes.Clone(in)
		if got, want := strings.Join(lines(in), "\n"), strings.Join(reference(in), "\n"); got != want {
			t.Fatalf("%q: %q, want %q", in, got, want)
		}
		if !bytes.Equal(in, keep) {
			t.Fatal("the data was changed")
		}
	})
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "a\r\n\r\n\nb", "\r\r\n", "\x00\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if got, want := strings.Join(lines(in), "\n"), strings.Join(reference(in), "\n"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
		for l := range Lines(in) {
			if len(l) == 0 || bytes.IndexByte(l, '\n') >= 0 {
				t.Errorf("%q holds the line %q", in, l)
			}
		}
	})
}

func TestSplittingAllocatesNothing(t *testing.T) {
	data := bytes.Repeat([]byte("a line of some length\r\n"), 1000)
	n := 0
	if allocs := testing.AllocsPerRun(100, func() {
		for l := range Lines(data) {
			n += len(l)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
