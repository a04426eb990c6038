package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare/sketch"
)

// stopGrace is how long objects that are being read may take to end after an
// interrupt, so that the journal can count them.
const stopGrace = 10 * time.Second

// A pass reads objects with several workers.
type pass struct {
	c       *Config
	inv     *inventory
	json    bool
	phase   string
	objects []int // indices into inv.objects
	// begin returns what visits the records of an object and what is told when
	// the object is done. It is called by each worker for each of its objects.
	begin func(worker int, o object) (visit func(h sketch.Hash, record []byte, at spot), end func(read))
	// between, if any, excludes objects under way: whoever holds it for writing
	// sees whole objects only.
	between sync.RWMutex

	bytes, lines, done atomic.Int64
}

// A read is what an object turned out to be.
type read struct {
	index  int
	lines  int64 // that count: in the sample
	plain  int64 // bytes
	codec  archive.Codec
	digest digest
	err    error
}

// A digest is the multiset hash of an object's records, see standpipe.Digest.
type digest struct{ hi, lo uint64 }

// run reads until all objects are read or ctx ends. Then objects under way are
// finished, if they can be soon, and the cause is returned.
func (p *pass) run(ctx context.Context) error {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(stopGrace, cancel)
		context.AfterFunc(working, func() { t.Stop() })
	})
	defer stop()
	var next atomic.Int64
	var group errgroup.Group
	for worker := range min(p.c.Workers, max(len(p.objects), 1)) {
		group.Go(func() error {
			w := reader{p: p, split: splitter{json: p.json}}
			defer w.decoder.Close()
			for {
				if err := context.Cause(ctx); err != nil {
					return err
				}
				i := int(next.Add(1)) - 1
				if i >= len(p.objects) {
					return nil
				}
				if err := w.object(working, worker, p.objects[i]); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// A reader is one worker's tools.
type reader struct {
	p       *pass
	decoder archive.Decoder
	split   splitter
}

// object reads one object. The error is that of an end in its middle; what is
// wrong with the object itself is told to end.
func (w *reader) object(ctx context.Context, worker, index int) error {
	p := w.p
	p.between.RLock()
	defer p.between.RUnlock()
	o := p.inv.objects[index]
	visit, end := p.begin(worker, o)
	result := read{index: index}
	result.err = w.read(ctx, o, &result, visit)
	if result.err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted within %s: %w", o.Key, context.Cause(ctx))
	}
	end(result)
	p.lines.Add(result.lines)
	p.c.report(Progress{Phase: p.phase, Objects: p.done.Add(1), Bytes: p.bytes.Load(), Total: p.inv.size(p.objects), Lines: p.lines.Load()})
	return nil
}

func (w *reader) read(ctx context.Context, o object, result *read, visit func(sketch.Hash, []byte, spot)) error {
	raw, opened, err := w.p.c.Stores[o.side].Open(ctx, o.Key)
	if err != nil {
		return err
	}
	defer raw.Close()
	if opened.ETag != o.ETag {
		return fmt.Errorf("%w: it was listed as %s and is now %s", archive.ErrChanged, o.ETag, opened.ETag)
	}
	plain, codec, err := w.decoder.Decode(counting{raw, &w.p.bytes}, o.Key)
	result.codec = codec
	if err != nil {
		return err
	}
	defer plain.Close()
	sample, spelling := w.p.c.Sample, w.p.c.Canonical
	result.plain, err = w.split.each(plain, func(record []byte, at spot) {
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

// counting counts the stored bytes that were read, for the progress bar.
type counting struct {
	io.Reader
	n *atomic.Int64
}

func (c counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// size is the stored size of some objects.
func (inv *inventory) size(indices []int) (n int64) {
	if len(indices) == len(inv.objects) {
		return inv.bytes
	}
	for _, i := range indices {
		n += inv.objects[i].Size
	}
	return n
}
