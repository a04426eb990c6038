// Package sinktest is the suite every sink passes. It promises that what
// delivery relies on is said in code: the states, what may be repeated, what is
// final, and which error means what.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
)

// A Lister is what a sink under test may be besides; then the suite checks what
// is visible by listing too.
type Lister interface {
	Keys(ctx context.Context) ([]string, error)
}

// Run runs the suite. newSink returns a sink in which none of the keys of this
// call exist; it may return the same store in each call only if it is emptied.
func Run(t *testing.T, newSink func(t *testing.T) sink.Sink) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, sink.Sink)
	}{
		{"an object is invisible until published", invisible},
		{"parts come in order", order},
		{"objects of one byte and of none", small},
		{"publishing twice", publishTwice},
		{"concurrent publish", publishTogether},
		{"discard is final", discard},
		{"discard keeps what is visible", discardVisible},
		{"discard of what is gone", discardGone},
		{"an unknown upload", unknown},
		{"two uploads of one key", twoUploads},
		{"a repeated part replaces", repeatPart},
		{"a part that was swapped is noticed", swapped},
		{"a body can be read again", bodyMoved},
		{"probe", probe},
		{"write once", writeOnce},
		{"write once races", writeOnceRace},
		{"read limit", readLimit},
		{"put replaces", put},
		{"odd characters", odd},
		{"cancellation", cancelled},
		{"location and part size", constants},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newSink(t)) })
	}
}

// NewBody is a part's body over bytes.
func NewBody(p []byte) sink.Body {
	return &body{Reader: bytes.NewReader(p), crc: crc32.ChecksumIEEE(p)}
}

type body struct {
	*bytes.Reader
	crc uint32
}

func (b *body) Len() int64    { return b.Size() }
func (b *body) CRC32() uint32 { return b.crc }

// bytesOf are n bytes that differ by seed and hardly repeat.
func bytesOf(seed byte, n int) []byte {
	p := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x)
	}
	return p
}

// Stage takes an object to the state "staged".
func Stage(t *testing.T, s sink.Sink, o sink.Object, parts ...[]byte) sink.Upload {
	t.Helper()
	u, err := s.Begin(t.Context(), o)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	if u.ID == "" || u.Key != o.Key {
		t.Fatalf("begin returned %+v", u)
	}
	for i, p := range parts {
		u.Parts = append(u.Parts, add(t, s, u, i+1, p))
	}
	return u
}

func add(t *testing.T, s sink.Sink, u sink.Upload, n int, p []byte) sink.Part {
	t.Helper()
	part, err := s.Append(t.Context(), u, n, NewBody(p))
	if err != nil {
		t.Fatalf("append part %d: %v", n, err)
	}
	if part.Size != int64(len(p)) || part.CRC32 != crc32.ChecksumIEEE(p) {
		t.Fatalf("part %d is %+v", n, part)
	}
	return part
}

func publish(t *testing.T, s sink.Sink, u sink.Upload) {
	t.Helper()
	if err := s.Publish(t.Context(), u); err != nil {
		t.Fatalf("publish: %v", err)
	}
}

func wantBody(t *testing.T, s sink.Sink, key string, want []byte) {
	t.Helper()
	got, err := s.Read(t.Context(), key, int64(len(want))+1)
	if err != nil {
		t.Fatalf("read %q: %v", key, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%q has %d bytes (crc %08x), want %d (crc %08x)", key, len(got), crc32.ChecksumIEEE(got), len(want), crc32.ChecksumIEEE(want))
	}
}

func wantErr(t *testing.T, what string, err, want error, class standpipe.Class) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
	if got := standpipe.ClassOf(err); got != class {
		t.Fatalf("%s: %v is of class %s, want %s", what, err, got, class)
	}
}

func wantAbsent(t *testing.T, s sink.Sink, key string) {
	t.Helper()
	_, err := s.Probe(t.Context(), key)
	wantErr(t, "probe "+key, err, sink.ErrNotFound, standpipe.NotFound)
	_, err = s.Read(t.Context(), key, 10)
	wantErr(t, "read "+key, err, sink.ErrNotFound, standpipe.NotFound)
	if l, ok := s.(Lister); ok {
		keys, err := l.Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) != 0 {
			t.Fatalf("visible: %q", keys)
		}
	}
}

func invisible(t *testing.T, s sink.Sink) {
	o := sink.Object{Key: "a/b/object.gz", ContentEncoding: "gzip", Metadata: map[string]string{"standpipe-intent": "1-2-abc"}}
	u, err := s.Begin(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, s, o.Key)
	p := bytesOf(1, 3000)
	u.Parts = append(u.Parts, add(t, s, u, 1, p))
	wantAbsent(t, s, o.Key)
	publish(t, s, u)
	wantBody(t, s, o.Key, p)
	if l, ok := s.(Lister); ok {
		if keys, err := l.Keys(t.Context()); err != nil || !slices.Equal(keys, []string{o.Key}) {
			t.Fatalf("visible: %q, %v", keys, err)
		}
	}
}

func order(t *testing.T, s sink.Sink) {
	a, b, c := bytesOf(1, int(s.MinPart())), bytesOf(2, int(s.MinPart())+1), bytesOf(3, 1)
	u, err := s.Begin(t.Context(), sink.Object{Key: "order"})
	if err != nil {
		t.Fatal(err)
	}
	// Durable in any order, joined by number.
	three := add(t, s, u, 3, c)
	one := add(t, s, u, 1, a)
	two := add(t, s, u, 2, b)
	u.Parts = []sink.Part{one, two, three}
	publish(t, s, u)
	wantBody(t, s, "order", slices.Concat(a, b, c))
}

func small(t *testing.T, s sink.Sink) {
	publish(t, s, Stage(t, s, sink.Object{Key: "one"}, []byte("x")))
	wantBody(t, s, "one", []byte("x"))
	publish(t, s, Stage(t, s, sink.Object{Key: "none"}, nil))
	wantBody(t, s, "none", nil)
	info, err := s.Probe(t.Context(), "none")
	if err != nil || info.Size != 0 {
		t.Fatalf("probe: %+v, %v", info, err)
	}
}

func publishTwice(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "twice"}, []byte("abc"))
	publish(t, s, u)
	if err := s.Publish(t.Context(), u); err != nil {
		wantErr(t, "second publish", err, sink.ErrNoUpload, standpipe.NotFound)
	}
	wantBody(t, s, "twice", []byte("abc"))
}

func publishTogether(t *testing.T, s sink.Sink) {
	o := sink.Object{Key: "d/together", Metadata: map[string]string{"standpipe-intent": "x"}}
	a, b := bytesOf(4, int(s.MinPart())), bytesOf(5, 100)
	u := Stage(t, s, o, a, b)
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { errs[i] = s.Publish(t.Context(), u) })
	}
	wg.Wait()
	done := 0
	for _, err := range errs {
		switch {
		case err == nil:
			done++
		case errors.Is(err, sink.ErrNoUpload):
		case standpipe.ClassOf(err) == standpipe.Retryable || standpipe.ClassOf(err) == standpipe.Throttled:
		default:
			t.Errorf("publish: %v", err)
		}
	}
	if done == 0 {
		t.Errorf("nobody published: %v", errs)
	}
	wantBody(t, s, o.Key, slices.Concat(a, b))
}

func discard(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "gone"}, []byte("abc"))
	if err := s.Discard(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "publish", s.Publish(t.Context(), u), sink.ErrNoUpload, standpipe.NotFound)
	_, err := s.Append(t.Context(), u, 2, NewBody([]byte("d")))
	wantErr(t, "append", err, sink.ErrNoUpload, standpipe.NotFound)
	wantAbsent(t, s, "gone")
}

func discardVisible(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "kept"}, []byte("abc"))
	publish(t, s, u)
	if err := s.Discard(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	wantBody(t, s, "kept", []byte("abc"))
}

func discardGone(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "twice gone"}, []byte("abc"))
	for range 2 {
		if err := s.Discard(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
}

func unknown(t *testing.T, s sink.Sink) {
	known := Stage(t, s, sink.Object{Key: "unknown"}, []byte("abc"))
	if err := s.Discard(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	other := Stage(t, s, sink.Object{Key: "other"}, []byte("abc"))
	if known.ID == other.ID {
		t.Fatal("two uploads have the same id")
	}
	wantErr(t, "publish", s.Publish(t.Context(), known), sink.ErrNoUpload, standpipe.NotFound)
}

func twoUploads(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "same"}, []byte("first"))
	v := Stage(t, s, sink.Object{Key: "same"}, []byte("second"))
	if u.ID == v.ID {
		t.Fatal("two uploads have the same id")
	}
	if err := s.Discard(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	publish(t, s, u)
	wantBody(t, s, "same", []byte("first"))
}

func repeatPart(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "repeat"})
	add(t, s, u, 1, []byte("first attempt"))
	u.Parts = []sink.Part{add(t, s, u, 1, []byte("second"))}
	publish(t, s, u)
	wantBody(t, s, "repeat", []byte("second"))

	// The same bytes again, as a delayed duplicate would: the token still holds.
	u = Stage(t, s, sink.Object{Key: "duplicate"}, []byte("same"))
	add(t, s, u, 1, []byte("same"))
	publish(t, s, u)
	wantBody(t, s, "duplicate", []byte("same"))
}

func swapped(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "swapped"}, []byte("mine"))
	add(t, s, u, 1, []byte("evil"))
	wantErr(t, "publish", s.Publish(t.Context(), u), sink.ErrNoUpload, standpipe.NotFound)
	wantAbsent(t, s, "swapped")
}

func bodyMoved(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "moved"})
	b := NewBody([]byte("whole"))
	if _, err := b.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	p, err := s.Append(t.Context(), u, 1, b)
	if err != nil {
		t.Fatal(err)
	}
	u.Parts = []sink.Part{p}
	publish(t, s, u)
	wantBody(t, s, "moved", []byte("whole"))
}

func probe(t *testing.T, s sink.Sink) {
	wantAbsent(t, s, "nothing/here")
	meta := map[string]string{"standpipe-intent": "7-9-00ff", "standpipe-ord": "0", "odd": "a=b; c d%2F"}
	publish(t, s, Stage(t, s, sink.Object{Key: "p/q", ContentEncoding: "zstd", Metadata: meta}, []byte("0123456789")))
	info, err := s.Probe(t.Context(), "p/q")
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != 10 || !maps.Equal(info.Metadata, meta) {
		t.Fatalf("probe: %+v", info)
	}
}

func writeOnce(t *testing.T, s sink.Sink) {
	if err := s.WriteOnce(t.Context(), "w/plan.json", []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	err := s.WriteOnce(t.Context(), "w/plan.json", []byte(`{"a":2}`))
	wantErr(t, "second write", err, sink.ErrExists, standpipe.Fenced)
	wantBody(t, s, "w/plan.json", []byte(`{"a":1}`))
}

func writeOnceRace(t *testing.T, s sink.Sink) {
	var wg sync.WaitGroup
	errs := make([]error, 16)
	for i := range errs {
		wg.Go(func() {
			for range 100 { // a conflict (409) may be repeated
				errs[i] = s.WriteOnce(t.Context(), "race", fmt.Appendf(nil, "writer %02d", i))
				c := standpipe.ClassOf(errs[i])
				if errs[i] == nil || c != standpipe.Retryable && c != standpipe.Throttled {
					return
				}
			}
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("writers %d and %d both won", winner, i)
		case !errors.Is(err, sink.ErrExists):
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	wantBody(t, s, "race", fmt.Appendf(nil, "writer %02d", winner))
}

func readLimit(t *testing.T, s sink.Sink) {
	if err := s.WriteOnce(t.Context(), "limit", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Read(t.Context(), "limit", 5); err != nil || string(p) != "12345" {
		t.Fatalf("read at the limit: %q, %v", p, err)
	}
	if _, err := s.Read(t.Context(), "limit", 4); err == nil || standpipe.ClassOf(err) != standpipe.Fatal {
		t.Fatalf("read over the limit: %v", err)
	}
}

func put(t *testing.T, s sink.Sink) {
	o := sink.Object{Key: "put/x", Metadata: map[string]string{"a": "1"}}
	if err := s.Put(t.Context(), o, bytes.NewReader([]byte("first"))); err != nil {
		t.Fatal(err)
	}
	o.Metadata = map[string]string{"a": "2"}
	if err := s.Put(t.Context(), o, bytes.NewReader([]byte("second, longer"))); err != nil {
		t.Fatal(err)
	}
	wantBody(t, s, "put/x", []byte("second, longer"))
	info, err := s.Probe(t.Context(), "put/x")
	if err != nil || info.Metadata["a"] != "2" {
		t.Fatalf("probe: %+v, %v", info, err)
	}
}

func odd(t *testing.T, s sink.Sink) {
	for _, key := range []string{
		"year=2026/month=07/x.gz", "a b/c d", "plus+sign", "per%cent%2Fslash", "ünïcode/日本/🦉",
		"dots/..hidden/a..b", "q?x=1&y=2", "semi;colon:at@,comma", "back\\slash", "(paren)'quote\"!*~", "hash#tag", ".dot",
	} {
		want := []byte("body of " + key)
		publish(t, s, Stage(t, s, sink.Object{Key: key, Metadata: map[string]string{"k": "v"}}, want))
		wantBody(t, s, key, want)
		if info, err := s.Probe(t.Context(), key); err != nil || info.Metadata["k"] != "v" {
			t.Errorf("probe %q: %+v, %v", key, info, err)
		}
		if err := s.WriteOnce(t.Context(), key, nil); !errors.Is(err, sink.ErrExists) {
			t.Errorf("write %q again: %v", key, err)
		}
	}
}

func cancelled(t *testing.T, s sink.Sink) {
	u := Stage(t, s, sink.Object{Key: "cancelled"}, []byte("abc"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, begin := s.Begin(ctx, sink.Object{Key: "never"})
	_, appended := s.Append(ctx, u, 1, NewBody([]byte("abc")))
	_, probed := s.Probe(ctx, "cancelled")
	_, read := s.Read(ctx, "cancelled", 10)
	for what, err := range map[string]error{
		"begin": begin, "append": appended, "publish": s.Publish(ctx, u), "discard": s.Discard(ctx, u),
		"probe": probed, "read": read, "write once": s.WriteOnce(ctx, "never", nil),
		"put": s.Put(ctx, sink.Object{Key: "never"}, bytes.NewReader(nil)),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantAbsent(t, s, "never")
	publish(t, s, u)
	wantBody(t, s, "cancelled", []byte("abc"))
}

func constants(t *testing.T, s sink.Sink) {
	if s.Location() == "" || s.MinPart() < 1 {
		t.Fatalf("location %q, least part %d", s.Location(), s.MinPart())
	}
}
