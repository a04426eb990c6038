package sink

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// A Format is how the bytes of an object are compressed.
type Format string

// The formats.
const (
	None Format = "none"
	Gzip Format = "gzip"
	Zstd Format = "zstd"
)

// A Codec is a format and its level. The zero Codec is None. It is a value and
// may be compared.
type Codec struct {
	format Format
	level  int
}

// The default levels. 6 is zlib's own. zstd 1 is as small as gzip 6 or smaller
// at 2.4 to 3.1 times its speed, and higher levels cost far more than they save.
const (
	defaultGzipLevel = 6
	defaultZstdLevel = 1
)

// NewCodec returns the codec of a format at a level: 1 to 9 for gzip, 1 to 22
// for zstd (mapped to the four speeds klauspost/compress has), 0 for the
// format's default.
func NewCodec(f Format, level int) (Codec, error) {
	top := 0
	switch f {
	case "", None:
		f = None
	case Gzip:
		top = 9
		if level == 0 {
			level = defaultGzipLevel
		}
	case Zstd:
		top = 22
		if level == 0 {
			level = defaultZstdLevel
		}
	default:
		return Codec{}, fmt.Errorf("compression format %q is none of %s, %s, %s", f, None, Gzip, Zstd)
	}
	if level < 0 || level > top {
		return Codec{}, fmt.Errorf("compression level %d of %s is not between 0 and %d", level, f, top)
	}
	return Codec{format: f, level: level}, nil
}

// Format is never empty.
func (c Codec) Format() Format {
	if c.format == "" {
		return None
	}
	return c.format
}

// Level is 0 for None.
func (c Codec) Level() int { return c.level }

// Extension is what Firehose appends to the key: ".gz", ".zst" or nothing.
// (Firehose itself has no zstd; Kinesis's own channels and the zstd tool use .zst.)
func (c Codec) Extension() string {
	switch c.format {
	case Gzip:
		return ".gz"
	case Zstd:
		return ".zst"
	}
	return ""
}

// ContentEncoding is the header Firehose sets on the object, empty for None.
func (c Codec) ContentEncoding() string {
	switch c.format {
	case Gzip, Zstd:
		return string(c.format)
	}
	return ""
}

func (c Codec) zstdSpeed() zstd.EncoderLevel { return zstd.EncoderLevelFromZstd(c.level) }
