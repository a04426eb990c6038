package redrive

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/standpipe/standpipe/archive"
)

// LineMax is the longest line read, in bytes: a record of 10 MiB in base64 and
// its envelope fit.
const LineMax = 16 << 20

// An entry is one record of an object, or the reason why there is none.
type entry struct {
	number  int64 // counted from 0 in its object
	line    int64 // counted from 1
	failure Failure
	err     error
}

// errChanged: the object is not the one that was planned.
var errChanged = errors.New("it changed since it was planned")

// read gives the entries of one object in order. What is wrong with its
// content is an entry with an error; an object that is gone or another one is
// errChanged; any other error may heal.
func read(ctx context.Context, from archive.Store, item Item, visit func(entry) error) error {
	body, object, err := from.Open(ctx, item.Key)
	switch {
	case errors.Is(err, archive.ErrNotFound):
		return fmt.Errorf("%w: it is gone", errChanged)
	case err != nil:
		return err
	}
	defer body.Close()
	if object.ETag != item.ETag || object.Size != item.Size {
		return errChanged
	}
	err = readBody(body, item.Key, visit)
	if errors.Is(err, archive.ErrChanged) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

func readBody(body io.Reader, key string, visit func(entry) error) error {
	next := entry{line: 1}
	give := func(f Failure, err error) error {
		next.failure, next.err = f, err
		defer func() { next.number++ }()
		return visit(next)
	}
	plain, _, err := archive.Decode(body, key)
	if err == nil {
		defer plain.Close()
		lines := &lineReader{in: bufio.NewReaderSize(plain, 64<<10)}
		for {
			var line []byte
			line, err = lines.next()
			if errors.Is(err, errLong) {
				err = give(Failure{}, err)
			} else if err == nil {
				err = Parse(line, give)
			}
			if err != nil {
				break
			}
			next.line++
		}
	}
	corrupt, damaged := errors.AsType[*archive.CorruptError](err)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case damaged:
		return give(Failure{}, fmt.Errorf("the rest of the object cannot be read: %w", corrupt))
	}
	return err
}

var errLong = fmt.Errorf("it is longer than %d MiB", LineMax>>20)

// A lineReader cuts at newlines and passes over what is too long.
type lineReader struct {
	in   *bufio.Reader
	line bytes.Buffer
}

// next is valid until the next call. io.EOF is after the last line.
func (r *lineReader) next() ([]byte, error) {
	r.line.Reset()
	long := false
	for {
		part, err := r.in.ReadSlice('\n')
		if r.line.Len()+len(part) > LineMax {
			long = true
		}
		if !long {
			r.line.Write(part)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (long || r.line.Len() > 0), err == nil:
		default:
			return nil, err
		}
		if long {
			return nil, errLong
		}
		return r.line.Bytes(), nil
	}
}
