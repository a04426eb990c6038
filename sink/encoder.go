package sink

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"github.com/standpipe/standpipe/internal/deflate"
)

// An Encoder compresses chunks. It belongs to one goroutine between Acquire
// and Release and keeps nothing of a chunk afterwards, so that any encoder may
// work on the next chunk of any object. Its compressors come into being at
// first use: about 1 MB for gzip, a few MB for zstd.
type Encoder struct {
	blocks *blocks
	fast   *deflate.Encoder  // gzip at level 1
	flate  [10]*flate.Writer // at the others
	zstd   map[zstd.EncoderLevel]*zstd.Encoder
	plain  []byte // zstd only: a chunk in one piece
	packed []byte // a zstd frame, or a block of gzip at level 1
}

// encode appends the chunk, compressed and independent of what was before, to
// out: a run of deflate blocks that ends on a byte (sync flush), or a frame.
func (e *Encoder) encode(c Codec, chunk *buffer, out io.Writer) {
	switch c.format {
	case Gzip:
		if c.level == 1 {
			e.deflateFast(chunk, out)
			return
		}
		e.deflate(c.level, chunk, out)
	case Zstd:
		e.frame(c.zstdSpeed(), chunk, out)
	default:
		panic("sink: encode without a compressing codec")
	}
}

// deflateFast takes two thirds of the time of deflate at level 1.
func (e *Encoder) deflateFast(chunk *buffer, out io.Writer) {
	if e.fast == nil {
		e.fast = new(deflate.Encoder)
	}
	e.fast.Reset()
	for i := 0; i < chunk.size; i += blockSize {
		e.packed = e.fast.Append(e.packed[:0], chunk.at(i))
		must(out.Write(e.packed))
	}
}

// The blocks of a buffer are those of the encoder: only what follows a whole
// one may refer to it.
var _ = [1]struct{}{}[blockSize-deflate.BlockSize]

func (e *Encoder) deflate(level int, chunk *buffer, out io.Writer) {
	w := e.flate[level]
	if w == nil {
		w = mustFlate(level)
		e.flate[level] = w
	}
	w.Reset(out)
	for i := 0; i < chunk.size; i += blockSize {
		must(w.Write(chunk.at(i)))
	}
	must(0, w.Flush())
}

func (e *Encoder) frame(speed zstd.EncoderLevel, chunk *buffer, out io.Writer) {
	z := e.zstd[speed]
	if z == nil {
		if e.zstd == nil {
			e.zstd = make(map[zstd.EncoderLevel]*zstd.Encoder, 1)
		}
		z = mustZstd(speed)
		e.zstd[speed] = z
	}
	e.plain = e.plain[:0]
	for i := 0; i < chunk.size; i += blockSize {
		e.plain = append(e.plain, chunk.at(i)...)
	}
	e.packed = z.EncodeAll(e.plain, e.packed[:0])
	must(out.Write(e.packed))
}

func mustFlate(level int) *flate.Writer {
	w, err := flate.NewWriter(nil, level)
	must(0, err)
	return w
}

// mustZstd builds an encoder for whole frames of a chunk or less: one block
// encoder, and a window no wider than a chunk, as nothing lies further back.
func mustZstd(speed zstd.EncoderLevel) *zstd.Encoder {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(speed),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(chunkSize),
		zstd.WithEncoderCRC(true))
	must(0, err)
	return z
}

// must panics on what only a bug can cause: a level NewCodec let through, or a
// compressor that failed although its destination is memory.
func must(_ int, err error) {
	if err != nil {
		panic(fmt.Sprintf("sink: encode in memory: %v", err))
	}
}

// Slots lends encoders, N at most at a time: compression is what the process
// spends its cores on, and more runnable encoders than cores only cost memory.
// Safe for concurrent use.
type Slots struct {
	free   chan struct{} // one token per encoder that may be lent
	blocks *blocks

	mu   sync.Mutex
	idle []*Encoder // a stack: the warmest is lent first, cold ones are never built
}

// NewSlots returns n slots, GOMAXPROCS+2 when n is 0: two more than cores, so
// that a core stays busy while an encoder waits between two pages.
func NewSlots(n int) *Slots {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0) + 2
	}
	s := &Slots{free: make(chan struct{}, n), blocks: newBlocks()}
	for range n {
		s.free <- struct{}{}
	}
	return s
}

// Len is the number of slots.
func (s *Slots) Len() int { return cap(s.free) }

// Acquire waits for a slot. The caller gives the encoder back with Release and
// must not wait for anything else in between: I/O under a slot starves others.
func (s *Slots) Acquire(ctx context.Context) (*Encoder, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("wait for an encoder slot: %w", err)
	}
	select {
	case <-s.free:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for an encoder slot: %w", context.Cause(ctx))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		e := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return e, nil
	}
	return &Encoder{blocks: s.blocks}, nil
}

// Release gives an encoder back.
func (s *Slots) Release(e *Encoder) {
	s.mu.Lock()
	s.idle = append(s.idle, e)
	s.mu.Unlock()
	s.free <- struct{}{}
}
