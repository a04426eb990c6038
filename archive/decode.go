package archive

import (
	"bufio"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

const (
	// readSize is how much is read from an object at a time.
	readSize = 64 << 10
	// windowMax is the largest zstd window accepted, the limit of the zstd command
	// (RFC 8878 asks decoders for 8 MiB at least): a hostile frame can't ask for more.
	windowMax = 128 << 20
)

// A Decoder turns the bytes of one object after another into plain ones and
// uses its tables again. The zero value is ready. It belongs to one goroutine
// and reads one object at a time.
type Decoder struct {
	counted counter
	in      *bufio.Reader
	gzip    *gzip.Reader
	zstd    *zstd.Decoder
	framed  *s2.Reader
	blocks  blocks
	zip     zipReader
}

// Decode returns the plain bytes of r; key is for errors only. The Codec is
// valid even when there is an error. What is wrong with the bytes is a
// *CorruptError, errors of r come through as they are. Closing the result does
// not close r; afterwards the Decoder is free for the next object.
//
// Three formats cannot tell that they were cut at certain places: plain text
// anywhere, xerial and Hadoop snappy between two blocks, gzip and zstd between
// two members or frames. The length of the stored object is the guard there:
// Store.Open holds the bytes to it.
func (d *Decoder) Decode(r io.Reader, key string) (io.ReadCloser, Codec, error) {
	d.counted = counter{r: r}
	if d.in == nil {
		d.in = bufio.NewReaderSize(&d.counted, readSize)
	} else {
		d.in.Reset(&d.counted)
	}
	head, err := d.in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, None, err
	}
	codec, err := sniff(head)
	p := &plain{d: d, key: key, codec: codec}
	if err == nil {
		p.r, err = d.open(codec)
	}
	if err != nil {
		return nil, codec, p.corrupt(err)
	}
	return p, codec, nil
}

// Close frees what a Decoder holds beside memory: zstd's goroutines.
func (d *Decoder) Close() {
	if d.zstd != nil {
		d.zstd.Close()
		d.zstd = nil
	}
}

// Decode is Decoder.Decode for one object.
func Decode(r io.Reader, key string) (io.ReadCloser, Codec, error) {
	d := new(Decoder)
	p, codec, err := d.Decode(r, key)
	if err != nil {
		d.Close()
		return nil, codec, err
	}
	return once{p, d}, codec, nil
}

// once is a plain reader whose decoder nobody uses again.
type once struct {
	io.ReadCloser
	d *Decoder
}

func (o once) Close() error {
	err := o.ReadCloser.Close()
	o.d.Close()
	return err
}

func (d *Decoder) open(c Codec) (r io.Reader, err error) {
	switch c {
	case Gzip:
		if d.gzip == nil {
			d.gzip, err = gzip.NewReader(d.in)
			return d.gzip, err
		}
		return d.gzip, d.gzip.Reset(d.in)
	case Zstd:
		if d.zstd == nil {
			d.zstd, err = zstd.NewReader(d.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(windowMax))
			return d.zstd, err
		}
		return d.zstd, d.zstd.Reset(d.in)
	case SnappyFramed:
		if d.framed == nil {
			d.framed = s2.NewReader(d.in, s2.ReaderMaxBlockSize(1<<20))
		} else {
			d.framed.Reset(d.in)
		}
		return d.framed, nil
	case Snappy:
		d.blocks.reset(d.in, nextXerial)
		return &d.blocks, nil
	case HadoopSnappy:
		d.blocks.reset(d.in, nextHadoop)
		return &d.blocks, nil
	case Zip:
		d.zip.reset(d.in, d.used)
		return &d.zip, nil
	}
	return d.in, nil
}

// used is how many stored bytes were used up.
func (d *Decoder) used() int64 { return d.counted.n - int64(d.in.Buffered()) }

// plain is the reader a Decoder hands out.
type plain struct {
	d     *Decoder
	key   string
	codec Codec
	r     io.Reader
	err   error
}

func (p *plain) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.r.Read(b)
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF: //nolint:errorlint // io.Reader returns EOF itself
		p.err = p.rest()
	default:
		p.err = p.corrupt(err)
	}
	return n, p.err
}

// rest is what the end of the plain bytes means: nothing may follow them.
func (p *plain) rest() error {
	switch _, err := p.d.in.Peek(1); {
	case err == nil:
		return p.corrupt(errors.New("bytes follow the end of the compressed data"))
	case errors.Is(err, io.EOF):
		return io.EOF
	default:
		return err
	}
}

// corrupt names the object, unless the bytes could not be had at all.
func (p *plain) corrupt(err error) error {
	if p.d.counted.err != nil {
		return p.d.counted.err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &CorruptError{Key: p.key, Codec: p.codec, Offset: p.d.used(), Err: err}
}

func (p *plain) Close() error { return nil }

// A counter counts bytes and keeps the error of the reader below, so that it
// is not taken for one of the format.
type counter struct {
	r   io.Reader
	n   int64
	err error // other than io.EOF
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
