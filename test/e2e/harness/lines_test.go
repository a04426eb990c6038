package harness

import (
	"bytes"
	"strings"
	"testing"
)

func linesOf(text string) *Lines {
	var l Lines
	l.AddText([]byte(text))
	return &l
}

func TestOneLineMissingIsNoticed(t *testing.T) {
	d := Diff(linesOf("a\nb\nb\nc\n"), linesOf("c\nb\na\n"))
	if !strings.Contains(d, "missing: 1 lines") || !strings.Contains(d, `1 x "b"`) || !strings.Contains(d, "extra: 0 lines") {
		t.Fatalf("got %q", d)
	}
}

func TestOneLineTwiceIsNoticed(t *testing.T) {
	d := Diff(linesOf("a\nb\nc\n"), linesOf("c\nb\nc\na\n"))
	if !strings.Contains(d, "extra: 1 lines") || !strings.Contains(d, `1 x "c"`) || !strings.Contains(d, "missing: 0 lines") {
		t.Fatalf("got %q", d)
	}
}

func TestOneLineMissingAndAnotherTwiceDoNotCancel(t *testing.T) {
	d := Diff(linesOf("a\nb\nc\n"), linesOf("a\nb\nb\n"))
	if !strings.Contains(d, "missing: 1 lines") || !strings.Contains(d, "extra: 1 lines") {
		t.Fatalf("got %q", d)
	}
}

func TestTheOrderOfLinesIsNoDifference(t *testing.T) {
	if d := Diff(linesOf("a\nb\r\n\nc"), linesOf("c\na\nb\n")); d != "" {
		t.Fatalf("got %q", d)
	}
}

func TestOnlyFiveDifferencesAreShown(t *testing.T) {
	d := Diff(linesOf("1\n2\n3\n4\n5\n6\n7\n"), linesOf(""))
	if !strings.Contains(d, "missing: 7 lines, 7 distinct") || strings.Count(d, " x ") != 5 {
		t.Fatalf("got %q", d)
	}
}

func TestTwoLinesSwappedAreNoticed(t *testing.T) {
	want := [][]byte{[]byte("a"), []byte("b"), []byte("c")}
	got := [][]byte{[]byte("a"), []byte("c"), []byte("b")}
	if d := DiffOrder(want, got); !strings.Contains(d, "line 1 of 3") {
		t.Fatalf("got %q", d)
	}
	if d := DiffOrder(want, want[:2]); !strings.Contains(d, "want 3 lines, got 2") {
		t.Fatalf("got %q", d)
	}
	if d := DiffOrder(want, want); d != "" {
		t.Fatalf("got %q", d)
	}
}

func TestOneOtherByteIsNoticed(t *testing.T) {
	want := bytes.Repeat([]byte("x"), 1000)
	got := bytes.Clone(want)
	got[500] = 'y'
	if d := DiffBytes(want, got); !strings.Contains(d, "byte 500") {
		t.Fatalf("got %q", d)
	}
	if d := DiffBytes(want, want[:999]); !strings.Contains(d, "byte 999") {
		t.Fatalf("got %q", d)
	}
}
