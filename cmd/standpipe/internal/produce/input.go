package produce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/transform"

	"github.com/standpipe/standpipe/archive"
)

// The formats of an input.
const (
	FormatAuto   = "auto" // CSV for names that end in .csv, .csv.gz or .csv.zst, else lines
	FormatNDJSON = "ndjson"
	FormatCSV    = "csv"
)

// The encodings of an input. EUC-KR is read as CP949, its superset, as the
// WHATWG Encoding Standard does.
const (
	EncodingUTF8  = "utf-8"
	EncodingCP949 = "cp949"
	EncodingEUCKR = "euc-kr"
)

// stdinName stands for standard input among the files.
const stdinName = "-"

// An Input is files and standard input read as records. Records may be called
// once.
type Input struct {
	// Files are paths; "-" is Stdin.
	Files    []string
	Stdin    io.Reader
	Format   string
	Encoding string
	// Repeat is how often the files are read, at least once.
	Repeat int

	read atomic.Int64
}

// Read is how many bytes of the files were read, before decompression. Safe
// for concurrent use with Records.
func (in *Input) Read() int64 { return in.read.Load() }

// Size is how many bytes Records is going to read, or -1 when that is not known
// before.
func (in *Input) Size() int64 {
	var total int64
	for _, name := range in.Files {
		info, err := os.Stat(name)
		if name == stdinName || err != nil || !info.Mode().IsRegular() {
			return -1
		}
		total += info.Size()
	}
	return total * int64(max(in.Repeat, 1))
}

// Check says before the first record is sent what can be known to fail.
func (in *Input) Check() error {
	for _, name := range in.Files {
		if name == stdinName {
			if in.Repeat > 1 {
				return errors.New("standard input can't be read twice: --repeat needs files")
			}
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return fmt.Errorf("open the input: %w", err)
		}
		if info.IsDir() {
			return fmt.Errorf("open the input: %s is a folder; name its files", name)
		}
	}
	return nil
}

// Records gives the records of all files, in order.
func (in *Input) Records(ctx context.Context) Source {
	return func(yield func(Record, error) bool) {
		for range max(in.Repeat, 1) {
			for _, name := range in.Files {
				more, err := in.file(ctx, name, yield)
				if err != nil {
					yield(Record{}, fmt.Errorf("read %s: %w", name, err))
					return
				}
				if !more {
					return
				}
			}
		}
	}
}

// file gives the records of one file. It returns false when yield did.
func (in *Input) file(ctx context.Context, name string, yield func(Record, error) bool) (bool, error) {
	var raw io.Reader = in.Stdin
	label := "stdin"
	if name != stdinName {
		f, err := os.Open(name)
		if err != nil {
			return false, err
		}
		defer f.Close()
		raw, label = f, filepath.Base(name)
	}
	plain, _, err := archive.Decode(&counted{ctx: ctx, r: raw, n: &in.read}, label)
	if err != nil {
		return false, err
	}
	defer plain.Close()
	var text io.Reader = plain
	if in.Encoding == EncodingCP949 || in.Encoding == EncodingEUCKR {
		text = transform.NewReader(plain, korean.EUCKR.NewDecoder())
	}
	if in.isCSV(name) {
		return readCSV(text, label, in.Encoding, yield)
	}
	return in.lines(text, label, yield)
}

func (in *Input) isCSV(name string) bool {
	if in.Format != FormatAuto && in.Format != "" {
		return in.Format == FormatCSV
	}
	name = strings.ToLower(name)
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	return strings.HasSuffix(name, ".csv")
}

func (in *Input) lines(r io.Reader, label string, yield func(Record, error) bool) (bool, error) {
	l := newLineReader(r)
	for {
		data, tooLong, err := l.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if l.line == 1 {
			data = bytes.TrimPrefix(data, []byte("\ufeff"))
		}
		if len(data) == 0 && !tooLong {
			continue
		}
		record := Record{Source: label, Line: l.line, Data: data}
		if tooLong {
			err = record.reject("longer than %d bytes, the longest line that is read", LineMax)
		}
		if err == nil && in.Encoding != EncodingUTF8 && in.Encoding != "" && bytes.ContainsRune(data, utf8.RuneError) {
			err = record.reject("holds bytes that are not %s", in.Encoding)
		}
		if !yield(record, err) {
			return false, nil
		}
	}
}

// counted counts what is read and ends when ctx does.
type counted struct {
	ctx context.Context
	r   io.Reader
	n   *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
