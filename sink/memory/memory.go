// Package memory is a sink inside the process, for simulations and tests. It
// promises determinism: ids come from a counter, nothing depends on a clock or
// on chance, and every state can be looked at. It is as forgetful and as strict
// as a store may be: a second Publish of an upload fails with ErrNoUpload, and
// parts that are too small or not those of the token are refused.
package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
)

// Options changes what the store is like; zero values are the defaults.
type Options struct {
	// MinPart is the least size of a part that is not the last, default 1 byte.
	MinPart int64
	// Remembers makes a second Publish of a published upload succeed, as stores do
	// that keep completed uploads in mind.
	Remembers bool
}

// A Sink is a store of objects. Safe for concurrent use.
type Sink struct {
	opt Options

	mu        sync.Mutex
	last      int // number of the last upload
	uploads   map[string]*upload
	published map[string]bool
	objects   map[string]Object
}

type upload struct {
	number int
	object sink.Object
	parts  map[int]part
}

type part struct {
	etag string
	body []byte
}

// An Object is a visible object with its bytes.
type Object struct {
	sink.Object
	Body []byte
}

var _ sink.Sink = (*Sink)(nil)

// New returns an empty store.
func New(opt Options) *Sink {
	opt.MinPart = max(opt.MinPart, 1)
	return &Sink{opt: opt, uploads: map[string]*upload{}, published: map[string]bool{}, objects: map[string]Object{}}
}

// Location implements sink.Sink.
func (s *Sink) Location() string { return "memory://" }

// MinPart implements sink.Sink.
func (s *Sink) MinPart() int64 { return s.opt.MinPart }

// Begin implements sink.Sink.
func (s *Sink) Begin(ctx context.Context, o sink.Object) (sink.Upload, error) {
	if err := check(ctx, "begin", o.Key); err != nil {
		return sink.Upload{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	o.Metadata = maps.Clone(o.Metadata)
	id := "upload-" + strconv.Itoa(s.last)
	s.uploads[id] = &upload{number: s.last, object: o, parts: map[int]part{}}
	return sink.Upload{Object: o, ID: id}, nil
}

// Append implements sink.Sink.
func (s *Sink) Append(ctx context.Context, u sink.Upload, n int, b sink.Body) (sink.Part, error) {
	op := fmt.Sprintf("append part %d of %s", n, u.Key)
	if err := check(ctx, "append to", u.Key); err != nil {
		return sink.Part{}, err
	}
	if n < 1 || n > 10_000 {
		return sink.Part{}, &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("part number is not between 1 and 10000")}
	}
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return sink.Part{}, fmt.Errorf("%s: %w", op, err)
	}
	p, err := io.ReadAll(b)
	if err != nil {
		return sink.Part{}, fmt.Errorf("%s: %w", op, err)
	}
	crc := crc32.ChecksumIEEE(p)
	if int64(len(p)) != b.Len() || crc != b.CRC32() {
		return sink.Part{}, &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: errors.New("body differs from its length or checksum")}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	staged := s.uploads[u.ID]
	if staged == nil || staged.object.Key != u.Key {
		return sink.Part{}, sink.Outcome(op, sink.ErrNoUpload, nil)
	}
	etag := fmt.Sprintf(`"%08x-%d"`, crc, len(p))
	staged.parts[n] = part{etag: etag, body: p}
	return sink.Part{ETag: etag, Size: int64(len(p)), CRC32: crc}, nil
}

// Publish implements sink.Sink.
func (s *Sink) Publish(ctx context.Context, u sink.Upload) error {
	op := "publish " + u.Key
	if err := check(ctx, "publish", u.Key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	staged := s.uploads[u.ID]
	if staged == nil || staged.object.Key != u.Key {
		if s.opt.Remembers && s.published[u.ID] {
			return nil
		}
		return sink.Outcome(op, sink.ErrNoUpload, nil)
	}
	if len(u.Parts) == 0 {
		return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("upload has no parts")}
	}
	var body []byte
	for i, want := range u.Parts {
		have, ok := staged.parts[i+1]
		if !ok || int64(len(have.body)) != want.Size || crc32.ChecksumIEEE(have.body) != want.CRC32 {
			return sink.Outcome(op, sink.ErrNoUpload, fmt.Errorf("part %d is not the one that was staged", i+1))
		}
		if i < len(u.Parts)-1 && want.Size < s.opt.MinPart {
			return &standpipe.Error{
				Class: standpipe.Fatal, Op: op,
				Err: fmt.Errorf("part %d has %d bytes, less than %d", i+1, want.Size, s.opt.MinPart),
			}
		}
		body = append(body, have.body...)
	}
	s.objects[u.Key] = Object{Object: staged.object, Body: body}
	s.published[u.ID] = true
	delete(s.uploads, u.ID)
	return nil
}

// Discard implements sink.Sink.
func (s *Sink) Discard(ctx context.Context, u sink.Upload) error {
	if err := check(ctx, "discard", u.Key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, u.ID)
	return nil
}

// Probe implements sink.Sink.
func (s *Sink) Probe(ctx context.Context, key string) (sink.Info, error) {
	if err := check(ctx, "probe", key); err != nil {
		return sink.Info{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return sink.Info{}, sink.Outcome("probe "+key, sink.ErrNotFound, nil)
	}
	return sink.Info{Size: int64(len(o.Body)), Metadata: maps.Clone(o.Metadata)}, nil
}

// WriteOnce implements sink.Sink.
func (s *Sink) WriteOnce(ctx context.Context, key string, body []byte) error {
	if err := check(ctx, "write", key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.objects[key]; ok {
		return sink.Outcome("write "+key, sink.ErrExists, nil)
	}
	s.objects[key] = Object{Object: sink.Object{Key: key}, Body: bytes.Clone(body)}
	return nil
}

// Read implements sink.Sink.
func (s *Sink) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	if err := check(ctx, "read", key); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	if !ok {
		return nil, sink.Outcome("read "+key, sink.ErrNotFound, nil)
	}
	if int64(len(o.Body)) > limit {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "read " + key,
			Err: fmt.Errorf("object has %d bytes, more than %d", len(o.Body), limit),
		}
	}
	return bytes.Clone(o.Body), nil
}

// Put implements sink.Sink.
func (s *Sink) Put(ctx context.Context, o sink.Object, body io.ReadSeeker) error {
	if err := check(ctx, "put", o.Key); err != nil {
		return err
	}
	p, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("put %s: %w", o.Key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Metadata = maps.Clone(o.Metadata)
	s.objects[o.Key] = Object{Object: o, Body: p}
	return nil
}

// Objects lists the visible objects by key. The bytes are shared: do not write.
func (s *Sink) Objects() []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.objects), func(a, b Object) int { return strings.Compare(a.Key, b.Key) })
}

// Keys lists the visible objects' keys in order.
func (s *Sink) Keys(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects)), nil
}

// Staged lists the open uploads in the order they were begun, with the parts
// that are there.
func (s *Sink) Staged() []sink.Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.staged()
}

func (s *Sink) staged() []sink.Upload {
	ids := slices.SortedFunc(maps.Keys(s.uploads), func(a, b string) int { return s.uploads[a].number - s.uploads[b].number })
	list := make([]sink.Upload, 0, len(ids))
	for _, id := range ids {
		up := s.uploads[id]
		u := sink.Upload{Object: up.object, ID: id}
		for _, n := range slices.Sorted(maps.Keys(up.parts)) {
			p := up.parts[n]
			u.Parts = append(u.Parts, sink.Part{ETag: p.etag, Size: int64(len(p.body)), CRC32: crc32.ChecksumIEEE(p.body)})
		}
		list = append(list, u)
	}
	return list
}

// Abort drops the uploads that match, as a bucket's lifecycle rule would, and
// returns how many.
func (s *Sink) Abort(match func(sink.Upload) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, u := range s.staged() {
		if match(u) {
			delete(s.uploads, u.ID)
			n++
		}
	}
	return n
}

// Remove deletes a visible object, as a foreign tool would.
func (s *Sink) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
}

func check(ctx context.Context, verb, key string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, key, context.Cause(ctx))
	}
	if key == "" || len(key) > 1024 {
		return &standpipe.Error{Class: standpipe.Fatal, Op: verb + " " + key, Err: errors.New("key is not 1 to 1024 bytes long")}
	}
	return nil
}
