package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
)

// blockMax is the longest plain block of snappy that is believed. snappy-java
// writes 32 KiB and Hadoop 256 KiB by default; both can be told otherwise.
const blockMax = 32 << 20

// chunkMax bounds the compressed form of n plain bytes (snappy.cc,
// MaxCompressedLength).
func chunkMax(n uint32) uint32 { return 32 + n + n/6 }

// A blocks reads what both unframed snappy formats consist of: lengths in big
// endian and raw snappy blocks. Its buffers are used again.
type blocks struct {
	in     *bufio.Reader
	packed []byte
	plain  []byte
	rest   []byte // of plain, not read yet
	left   int64  // Hadoop: plain bytes missing of the current block
	began  bool
	next   func(*blocks) error
}

func (b *blocks) reset(in *bufio.Reader, next func(*blocks) error) {
	b.in, b.next, b.rest, b.left, b.began = in, next, nil, 0, false
}

func (b *blocks) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		if err := b.next(b); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *blocks) Close() error { return nil }

// length reads a big-endian length. At a place where the stream may end, the
// end is io.EOF; anywhere else it is io.ErrUnexpectedEOF.
func (b *blocks) length(mayEnd bool) (uint32, error) {
	var buf [4]byte
	if _, err := io.ReadFull(b.in, buf[:]); err != nil {
		if errors.Is(err, io.EOF) && !mayEnd {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return binary.BigEndian.Uint32(buf[:]), nil
}

// chunk decodes the n bytes that follow into b.rest.
func (b *blocks) chunk(n uint32, plainMax int64) error {
	if n == 0 || n > chunkMax(blockMax) {
		return fmt.Errorf("a block of %d compressed bytes", n)
	}
	if cap(b.packed) < int(n) {
		b.packed = make([]byte, n)
	}
	b.packed = b.packed[:n]
	if _, err := io.ReadFull(b.in, b.packed); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	plain, err := s2.DecodedLen(b.packed)
	if err != nil {
		return err
	}
	if int64(plain) > plainMax {
		return fmt.Errorf("a block of %d plain bytes, more than %d", plain, plainMax)
	}
	if b.plain, err = s2.Decode(b.plain[:cap(b.plain)], b.packed); err != nil {
		return err
	}
	b.rest = b.plain
	return nil
}

// xerialHead is what begins a stream of snappy-java: magic, version and the
// oldest version that can read it (SnappyCodec.java).
const xerialHead = 16

// nextXerial reads the next block of snappy-java's stream. Streams may follow
// one another: their magic, read as a length, is none.
func nextXerial(b *blocks) error {
	for {
		head, err := b.in.Peek(len(magicXerial))
		if len(head) == 0 && errors.Is(err, io.EOF) && b.began {
			return io.EOF
		}
		if string(head) != string(magicXerial) {
			break
		}
		b.began = true
		if _, err := b.in.Discard(xerialHead); err != nil {
			return io.ErrUnexpectedEOF
		}
	}
	n, err := b.length(false)
	if err != nil {
		return err
	}
	return b.chunk(n, blockMax)
}

// nextHadoop reads the next chunk; a block of Hadoop's format is its plain
// length and as many chunks as make it up (BlockDecompressorStream.java).
func nextHadoop(b *blocks) error {
	for b.left == 0 {
		n, err := b.length(true)
		if err != nil {
			return err
		}
		if n > blockMax {
			return fmt.Errorf("a block of %d plain bytes", n)
		}
		b.left = int64(n)
	}
	n, err := b.length(false)
	if err != nil {
		return err
	}
	if err := b.chunk(n, b.left); err != nil {
		return err
	}
	b.left -= int64(len(b.rest))
	return nil
}
