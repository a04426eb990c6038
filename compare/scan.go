package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare/sketch"
)

// A read is what an object turned out to be.
type read struct {
	lines  int64 // that count: in the sample
	plain  int64 // bytes
	codec  archive.Codec
	digest digest
	err    error
}

// A digest is the multiset hash of an object's records, see standpipe.Digest.
type digest struct{ hi, lo uint64 }

// A reader is one worker's tools. It belongs to one goroutine.
type reader struct {
	stores  [2]archive.Store
	unit    unit
	decoder archive.Decoder
	split   splitter
}

// A unit is what counts as one record and which of them count.
type unit struct {
	JSON      bool   `json:"jsonRecords"`
	Canonical bool   `json:"canonical"`
	Sample    uint64 `json:"sample"`
}

func newReader(stores [2]archive.Store, u unit) *reader {
	return &reader{stores: stores, unit: u, split: splitter{json: u.JSON}}
}

func (r *reader) close() { r.decoder.Close() }

// object visits the records of an object. The error is that of an end of ctx in
// its middle; what is wrong with the object itself is in the result.
func (r *reader) object(ctx context.Context, o Object, visit func(h sketch.Hash, record []byte, at spot)) (result read, err error) {
	result.err = r.visit(ctx, o, &result, visit)
	if result.err != nil && ctx.Err() != nil {
		return result, fmt.Errorf("interrupted within %s: %w", o.Key, context.Cause(ctx))
	}
	return result, nil
}

func (r *reader) visit(ctx context.Context, o Object, result *read, visit func(sketch.Hash, []byte, spot)) error {
	raw, opened, err := r.stores[o.Side].Open(ctx, o.Key)
	if err != nil {
		return err
	}
	defer raw.Close()
	if opened.ETag != o.ETag {
		return fmt.Errorf("%w: it was listed as %s and is now %s", archive.ErrChanged, o.ETag, opened.ETag)
	}
	plain, codec, err := r.decoder.Decode(untilEnd{ctx, raw}, o.Key)
	result.codec = codec
	if err != nil {
		return err
	}
	defer plain.Close()
	sample, spelling := r.unit.Sample, r.unit.Canonical
	result.plain, err = r.split.each(plain, func(record []byte, at spot) {
		if spelling {
			record = canonical(record)
		}
		h := sketch.Of(record)
		if sample > 1 && h.Lo%sample != 0 {
			return
		}
		result.lines++
		result.digest.add(h)
		visit(h, record, at)
	})
	if err != nil {
		if _, corrupt := errors.AsType[*archive.CorruptError](err); !corrupt && !errors.Is(err, archive.ErrChanged) {
			err = fmt.Errorf("%s: %w", o.Key, err)
		}
	}
	return err
}

// untilEnd reads until ctx ends: a file does not look at it.
type untilEnd struct {
	ctx context.Context
	r   io.Reader
}

func (u untilEnd) Read(b []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

// A gauge adds up how far a pass is and tells it. Safe for concurrent use.
type gauge struct {
	phase                 string
	total                 int64
	tell                  func(Progress)
	objects, bytes, lines atomic.Int64
}

func (g *gauge) done(o Object, r read) {
	p := Progress{Phase: g.phase, Objects: g.objects.Add(1), Bytes: g.bytes.Add(o.Size), Total: g.total, Lines: g.lines.Add(r.lines)}
	if g.tell != nil {
		g.tell(p)
	}
}

// parallel calls work with the numbers from 0 to n-1, in several goroutines,
// until one fails or ctx ends. Each goroutine calls begin for its work.
func parallel(ctx context.Context, workers, n int, begin func() (work func(ctx context.Context, i int) error, end func())) error {
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range min(workers, n) {
		group.Go(func() error {
			work, end := begin()
			defer end()
			for {
				if err := context.Cause(ctx); err != nil {
					return err
				}
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := work(ctx, i); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
