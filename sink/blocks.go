package sink

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// blockSize is the unit of memory of open objects. Small enough that an object
// of a few lines is cheap (a shard may have 500 open prefixes: 32 MiB), large
// enough that a 5 MiB part is 80 of them.
const blockSize = 64 << 10

type block [blockSize]byte

// blocks lends blocks; what nobody uses goes to the garbage collector. Safe
// for concurrent use.
type blocks struct{ pool sync.Pool }

func newBlocks() *blocks {
	return &blocks{pool: sync.Pool{New: func() any { return new(block) }}}
}

func (p *blocks) get() *block  { return p.pool.Get().(*block) }
func (p *blocks) put(b *block) { p.pool.Put(b) }

// A buffer is a growing run of bytes in blocks, with its checksum. Blocks are
// summed once, when full or when the buffer is sealed, because a checksum per
// short line would cost more than the copy.
type buffer struct {
	from   *blocks
	blocks []*block
	size   int
	summed int // bytes that crc covers
	crc    uint32
}

// Write never fails.
func (b *buffer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		at := b.size % blockSize
		if at == 0 {
			b.blocks = append(b.blocks, b.from.get())
		}
		c := copy(b.blocks[len(b.blocks)-1][at:], p)
		b.size += c
		p = p[c:]
		if b.size%blockSize == 0 {
			b.sum()
		}
	}
	return n, nil
}

// sum brings crc up to size. The bytes not yet summed never cross a block.
func (b *buffer) sum() {
	if b.summed == b.size {
		return
	}
	last := b.blocks[len(b.blocks)-1]
	b.crc = crc32.Update(b.crc, crc32.IEEETable, last[b.summed%blockSize:(b.size-1)%blockSize+1])
	b.summed = b.size
}

// held is the memory in bytes, not the content.
func (b *buffer) held() int64 { return int64(len(b.blocks)) * blockSize }

// at returns the bytes from offset to the end of its block.
func (b *buffer) at(offset int) []byte {
	end := min(blockSize, b.size-offset/blockSize*blockSize)
	return b.blocks[offset/blockSize][offset%blockSize : end]
}

// reset gives the blocks back and keeps only the list's own memory.
func (b *buffer) reset() {
	for i, x := range b.blocks {
		b.from.put(x)
		b.blocks[i] = nil
	}
	*b = buffer{from: b.from, blocks: b.blocks[:0]}
}

// A body reads a sealed buffer for one request. An HTTP transport may still be
// reading when the request has failed (its write loop outlives RoundTrip), so a
// body is closed before the blocks can go back to the pool: a late Read then
// fails instead of sending another object's bytes.
type body struct {
	size int64
	crc  uint32

	mu     sync.Mutex
	buf    *buffer // nil once closed
	offset int64
}

var errBodyClosed = errors.New("part body read after its request ended")

func newBody(b *buffer) *body {
	b.sum()
	return &body{buf: b, size: int64(b.size), crc: b.crc}
}

func (r *body) Len() int64    { return r.size }
func (r *body) CRC32() uint32 { return r.crc }

func (r *body) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buf == nil {
		return 0, errBodyClosed
	}
	var n int
	for n < len(p) && r.offset < r.size {
		c := copy(p[n:], r.buf.at(int(r.offset)))
		n += c
		r.offset += int64(c)
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (r *body) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 || offset > r.size {
		return r.offset, fmt.Errorf("seek to %d in a part of %d bytes", offset, r.size)
	}
	r.offset = offset
	return offset, nil
}

func (r *body) end() {
	r.mu.Lock()
	r.buf = nil
	r.mu.Unlock()
}
