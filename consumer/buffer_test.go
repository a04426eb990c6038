package consumer

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestABodyIsReadWholeOrNotAtAll(t *testing.T) {
	var pool bufferPool
	rapid.Check(t, func(t *rapid.T) {
		body := bytes.Repeat([]byte("0123456789abcdef"), rapid.IntRange(0, 40_000).Draw(t, "sixteens"))
		body = body[:len(body)-min(len(body), rapid.IntRange(0, 15).Draw(t, "less"))]
		room := rapid.Int64Range(1, 1<<20).Draw(t, "room")
		guess := rapid.Int64Range(1, 1<<20).Draw(t, "guess")
		length := int64(len(body))
		if rapid.Bool().Draw(t, "chunked") {
			length = -1
		}
		src := io.Reader(bytes.NewReader(body))
		switch rapid.IntRange(0, 2).Draw(t, "reader") {
		case 1:
			src = iotest.HalfReader(src)
		case 2:
			src = iotest.DataErrReader(src)
		}
		got, over, err := pool.read(src, length, guess, room)
		switch {
		case err != nil:
			t.Fatal(err)
		case int64(len(body)) > room:
			if got != nil || over <= room {
				t.Fatalf("%d bytes in %d: got %d, over %d", len(body), room, len(got), over)
			}
		case over != 0 || !bytes.Equal(got, body) || int64(cap(got)) > room:
			t.Fatalf("%d bytes in %d: got %d in %d, over %d", len(body), room, len(got), cap(got), over)
		}
		pool.put(got)
	})
}

func TestABrokenBodyIsAnErrorAndNoPage(t *testing.T) {
	var pool bufferPool
	broken := errors.New("reset")
	for _, length := range []int64{-1, 100_000} {
		got, _, err := pool.read(io.MultiReader(bytes.NewReader(make([]byte, 70_000)), iotest.ErrReader(broken)), length, 1, 1<<20)
		if got != nil || !errors.Is(err, broken) {
			t.Errorf("got %d bytes, error %v", len(got), err)
		}
	}
}

func TestRoundingUpWastesLittle(t *testing.T) {
	for n := MinPage; n <= MaxPage; n += 4097 {
		if c := roundUp(n); c < n || float64(c) > 1.25*float64(n) {
			t.Errorf("%d is rounded to %d", n, c)
		}
	}
	if classSize(sizeClasses-1) != MaxPage || classSize(0) != MinPage {
		t.Errorf("sizes from %d to %d", classSize(0), classSize(sizeClasses-1))
	}
}
