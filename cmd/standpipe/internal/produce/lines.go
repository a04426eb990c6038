package produce

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// A lineReader cuts its input at newlines, with a limit on what it holds.
type lineReader struct {
	in   *bufio.Reader
	line int64
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 256<<10)}
}

// next returns a fresh copy of the next line without its newline and without
// one carriage return before it. A line longer than LineMax is read to its end
// and comes back as nil with its length.
func (l *lineReader) next() (line []byte, length int64, err error) {
	var chunk []byte
	for {
		chunk, err = l.in.ReadSlice('\n')
		length += int64(len(chunk))
		if length <= LineMax+2 { // a newline and a carriage return are not part of the line
			line = append(line, chunk...)
		} else {
			line = nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	if length == 0 && err != nil {
		return nil, 0, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	l.line++
	if length > LineMax+2 {
		return nil, length, nil
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > LineMax {
		return nil, int64(len(line)), nil
	}
	return line, int64(len(line)), nil
}
