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
// and only reported.
func (l *lineReader) next() (line []byte, tooLong bool, err error) {
	const endMax = 2 // a carriage return and a newline are not part of the line
	length := 0
	for {
		var chunk []byte
		chunk, err = l.in.ReadSlice('\n')
		length += len(chunk)
		if length <= LineMax+endMax {
			line = append(line, chunk...)
		} else {
			line = nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			break
		}
	}
	if err != nil && (length == 0 || !errors.Is(err, io.EOF)) {
		return nil, false, err
	}
	l.line++
	line = bytes.TrimSuffix(line, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if length > LineMax+endMax || len(line) > LineMax {
		return nil, true, nil
	}
	return line, false, nil
}
