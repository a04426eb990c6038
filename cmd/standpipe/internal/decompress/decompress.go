// Package decompress reads bytes that may be compressed without being told how.
// It promises to judge by the first bytes and never by a name: Firehose writes
// gzip under keys that end in nothing, and HTTP layers inflate behind one's back.
package decompress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// windowMax is the largest zstd window accepted, the limit of the zstd command
// (RFC 8878 asks decoders for 8 MiB at least): a hostile frame can't ask for more.
const windowMax = 128 << 20

// NewReader returns the plain bytes of r: gzip with any number of members,
// zstd with any number of frames, everything else as it is. It reads only what
// its caller reads, and a little ahead. Closing it does not close r.
func NewReader(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		return named{z, "gzip"}, nil
	case isZstd(head):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowMax))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		return named{z.IOReadCloser(), "zstd"}, nil
	}
	return io.NopCloser(b), nil
}

// isZstd knows a frame and a skippable frame, which may come first (RFC 8878, 3.1).
func isZstd(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	frame := head[0] == 0x28 && head[1] == 0xb5
	skippable := head[0]&0xf0 == 0x50 && head[1] == 0x2a
	return (frame && head[2] == 0x2f && head[3] == 0xfd) || (skippable && head[2] == 0x4d && head[3] == 0x18)
}

// named says in its errors which format was broken.
type named struct {
	io.ReadCloser
	format string
}

func (n named) Read(p []byte) (int, error) {
	k, err := n.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader returns EOF itself
		err = fmt.Errorf("%s: %w", n.format, err)
	}
	return k, err
}
