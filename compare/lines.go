package compare

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	bufferSize = 256 << 10
	// lineMax is the longest line that is believed: Kinesis records end at
	// 10 MiB, Lambda may make them somewhat longer.
	lineMax = 64 << 20
)

// A spot is where a record is within an object's plain bytes.
type spot struct {
	line   int64 // counted from 1, empty ones too
	offset int64 // of its first byte
}

// A splitter cuts a stream of bytes into records. It belongs to one goroutine
// and keeps its buffer from object to object.
type splitter struct {
	json bool
	buf  []byte
}

// each visits the records of r in turn; a record is valid during the visit only.
func (s *splitter) each(r io.Reader, visit func(record []byte, at spot)) (plain int64, err error) {
	if s.buf == nil {
		s.buf = make([]byte, bufferSize)
	}
	var (
		start, end int // of the bytes in buf not yet visited
		seen       int // of them, without a newline
		base       int64
		number     int64
	)
	for {
		if i := bytes.IndexByte(s.buf[start+seen:end], '\n'); i >= 0 {
			next := start + seen + i + 1
			number++
			s.line(s.buf[start:next-1], spot{number, base + int64(start)}, visit)
			start, seen = next, 0
			continue
		}
		seen = end - start
		if start > 0 {
			copy(s.buf, s.buf[start:end])
			base += int64(start)
			start, end = 0, seen
		}
		if end == len(s.buf) {
			if end >= lineMax {
				return base + int64(end), fmt.Errorf("line %d is longer than %d MiB", number+1, lineMax>>20)
			}
			s.buf = append(s.buf, make([]byte, len(s.buf))...)
		}
		n, err := r.Read(s.buf[end:])
		end += n
		if err != nil && n == 0 {
			if seen > 0 && errors.Is(err, io.EOF) {
				s.line(s.buf[:end], spot{number + 1, base}, visit)
			}
			s.shrink()
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return base + int64(end), err
		}
	}
}

// shrink gives a buffer back that one long line made large.
func (s *splitter) shrink() {
	if len(s.buf) > 16*bufferSize {
		s.buf = nil
	}
}

func (s *splitter) line(line []byte, at spot, visit func([]byte, spot)) {
	line = trimCR(line)
	if len(line) == 0 {
		return
	}
	if !s.json {
		visit(line, at)
		return
	}
	for len(line) > 0 {
		n := valueLength(line)
		visit(line[:n], at)
		rest := bytes.TrimLeft(line[n:], " \t\r")
		at.offset += int64(len(line) - len(rest))
		line = rest
	}
}

func trimCR(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// valueLength is the length of the JSON object or array that line begins with,
// or all of it when it begins with something else or with half of one: then the
// whole is one record, as broken as it is.
func valueLength(line []byte) int {
	if line[0] != '{' && line[0] != '[' {
		return len(line)
	}
	depth := 0
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			n := stringLength(line[i:])
			if n < 0 {
				return len(line)
			}
			i += n - 1
		}
	}
	return len(line)
}

// stringLength is the length of the JSON string s begins with, -1 if it has no end.
func stringLength(s []byte) int {
	for i := 1; i < len(s); {
		n := bytes.IndexByte(s[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		slashes := 0
		for s[i-1-slashes] == '\\' {
			slashes++
		}
		if i++; slashes%2 == 0 {
			return i
		}
	}
	return -1
}
