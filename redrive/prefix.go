package redrive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/sink"
)

// The metadata of an output object: what it was made of, and its source's ETag
// for people.
const (
	metaOf   = "standpipe-redrive"
	metaETag = "standpipe-source-etag"
)

// errForeign refuses to write over an object.
var errForeign = errors.New("the destination holds another object under this key: give another --to-prefix, or move it away")

// A Prefix writes one plain object of lines for each source object that has
// records, under the same key below Prefix. Its content is a function of the
// source's, so writing it again changes nothing.
type Prefix struct {
	From archive.Store
	To   sink.Sink
	// Prefix begins every key; empty or ending in a slash.
	Prefix string
}

// Do is the jobs.Handler.
func (p *Prefix) Do(ctx context.Context, t jobs.Task) (json.RawMessage, error) {
	w, err := begin(t)
	if err != nil {
		return nil, err
	}
	again := w.at.Failed // a resumed slice: they may have been mended
	w.at.Failed = nil
	for _, f := range again {
		if err := p.item(ctx, &w, f.Item); err != nil {
			return nil, err
		}
	}
	for w.at.Object < len(w.items) {
		if err := p.item(ctx, &w, w.at.Object); err != nil {
			return nil, err
		}
		w.at.Object++
		state, err := json.Marshal(w.at)
		if err != nil {
			return nil, fmt.Errorf("encode the progress: %w", err)
		}
		t.Report(state)
	}
	return w.end()
}

// item does one object. It counts nothing unless all of it is done.
func (p *Prefix) item(ctx context.Context, w *work, n int) error {
	item := w.items[n]
	r, err := p.copy(ctx, w.spec, item)
	switch {
	case errors.Is(err, errChanged), errors.Is(err, errForeign):
		w.fail(n, err)
		return nil
	case err != nil:
		return fmt.Errorf("redrive %s: %w", item.Key, err)
	}
	w.at.Report.Add(r)
	return nil
}

// copy goes through a file: an object need not fit into memory.
func (p *Prefix) copy(ctx context.Context, spec Spec, item Item) (r Report, err error) {
	spool, err := os.CreateTemp("", "standpipe-redrive-*")
	if err != nil {
		return r, fmt.Errorf("make a temporary file: %w", err)
	}
	defer func() { err = errors.Join(err, spool.Close(), os.Remove(spool.Name())) }()
	r.Objects = 1
	out := bufio.NewWriterSize(spool, 64<<10)
	err = read(ctx, p.From, item, func(e entry) error {
		if !r.note(spec, item, e) {
			return nil
		}
		r.Redriven++
		r.Bytes += int64(len(e.failure.Raw))
		_, err := out.Write(e.failure.Raw)
		if raw := e.failure.Raw; err == nil && (len(raw) == 0 || raw[len(raw)-1] != '\n') {
			err = out.WriteByte('\n')
		}
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil || r.Redriven == 0 {
		return r, err
	}
	unchanged, err := p.put(ctx, spec, item, spool)
	if unchanged {
		r.Unchanged = 1
	}
	return r, err
}

// put makes the object visible unless it is there.
func (p *Prefix) put(ctx context.Context, spec Spec, item Item, spool *os.File) (unchanged bool, err error) {
	key := p.Prefix + item.Key
	size, err := spool.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return false, fmt.Errorf("read the temporary file: %w", err)
	}
	of := digest(spec.Source, item.Key, item.ETag, spec.Code, strings.Join(item.Except, ","))
	switch there, err := p.To.Probe(ctx, key); {
	case err == nil && there.Metadata[metaOf] == of && there.Size == size:
		return true, nil
	case err == nil:
		return false, errForeign
	case !errors.Is(err, sink.ErrNotFound):
		return false, err
	}
	return false, p.To.Put(ctx, sink.Object{Key: key, Metadata: map[string]string{metaOf: of, metaETag: strings.Trim(item.ETag, `"`)}}, spool)
}
