package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/manifest"
)

// lineMax bounds one line in bytes: a record has 10 MiB at most, so what is
// longer was never a line.
const lineMax = 64 << 20

// Content is what reading an object showed.
type Content struct {
	Object archive.Object
	Codec  archive.Codec
	// CRC32 is that of the stored bytes, Plain their number when decoded.
	CRC32  string
	Plain  int64
	Digest standpipe.Digest
	// Broken says why the bytes cannot be decoded; the other fields are then
	// those of what came before.
	Broken error
}

// ReadContent reads an object to its end. An error means that the store did
// not give it; bytes that are no object are in Content.Broken.
func ReadContent(ctx context.Context, s archive.Store, key string) (c Content, err error) {
	raw, o, err := s.Open(ctx, key)
	if err != nil {
		return c, err
	}
	defer raw.Close()
	c.Object = o
	sum := crc32.NewIEEE()
	stored := &stored{r: io.TeeReader(raw, sum)}
	c.Broken = c.decode(stored, key)
	if stored.err == nil {
		_, _ = io.Copy(io.Discard, stored) // what a broken object has after its break
	}
	if stored.err != nil {
		return c, stored.err
	}
	c.CRC32 = fmt.Sprintf("%08x", sum.Sum32())
	return c, nil
}

func (c *Content) decode(r io.Reader, key string) error {
	plain, codec, err := archive.Decode(r, key)
	c.Codec = codec
	if err != nil {
		return err
	}
	defer plain.Close()
	b := bufio.NewReaderSize(plain, 256<<10)
	var long []byte
	for {
		part, err := b.ReadSlice('\n')
		c.Plain += int64(len(part))
		switch {
		case err == nil && long == nil:
			c.Digest.Add(part[:len(part)-1])
			continue
		case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
		if long = append(long, part...); len(long) > lineMax {
			return fmt.Errorf("a line of more than %d bytes", lineMax)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(long) > 0 {
			c.Digest.Add(bytes.TrimSuffix(long, []byte("\n")))
		}
		long = nil
		if err != nil {
			return nil
		}
	}
}

// stored keeps the store's own error apart from those of the format.
type stored struct {
	r   io.Reader
	err error
}

func (s *stored) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Judge compares an object's content with what its manifest says. An empty
// kind means that it is whole.
func Judge(c Content, want manifest.Object, raw bool) (Kind, string) {
	sized := c.Object.Size == want.Size
	flipped := sized && c.CRC32 != want.CRC32
	whole := c.Broken == nil && c.Digest.Lines == want.Lines && c.Digest.Sum() == want.Hash && c.Plain == want.Bytes
	switch {
	case whole && !raw && (c.Codec != archive.None || !flipped): // a hash does not see the order of plain lines
		return "", ""
	case c.Broken != nil && flipped:
		return Altered, fmt.Sprintf("%v; checksum %s, written %s", c.Broken, c.CRC32, want.CRC32)
	case c.Codec == archive.None && flipped: // as plain text it has lines, but it may have been gzip
		return Altered, fmt.Sprintf("checksum %s, written %s", c.CRC32, want.CRC32)
	case c.Broken != nil:
		return Unreadable, fmt.Sprintf("%v; %d bytes, written %d", c.Broken, c.Object.Size, want.Size)
	case raw: // where one record ends cannot be seen
		if sized && !flipped {
			return "", ""
		}
		if c.Plain != want.Bytes {
			return Lines, fmt.Sprintf("%d bytes of records, written %d", c.Plain, want.Bytes)
		}
		return Altered, fmt.Sprintf("checksum %s, written %s", c.CRC32, want.CRC32)
	case c.Digest.Lines == want.Lines || c.Plain == want.Bytes:
		return Altered, fmt.Sprintf("%d lines with hash %s, written %d with %s", c.Digest.Lines, c.Digest.Sum(), want.Lines, want.Hash)
	case c.Digest.Lines < want.Lines:
		return Lines, fmt.Sprintf("%d lines, written %d: %d are missing", c.Digest.Lines, want.Lines, want.Lines-c.Digest.Lines)
	}
	return Lines, fmt.Sprintf("%d lines, written %d: %d too many", c.Digest.Lines, want.Lines, c.Digest.Lines-want.Lines)
}
