package kinesis

import (
	"bytes"
	"encoding/json"

	"github.com/segmentio/asm/base64"
)

// A scanner reads JSON from front to back without building anything: the
// records of a put would be the most expensive part of it. It checks only what
// it needs to find its way; every error is a SerializationException.
type scanner struct {
	b []byte
	i int
}

// depthMax bounds nested values that are skipped.
const depthMax = 64

func (s *scanner) wrong() error { return serialization("") }

// peek skips white space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\r', '\n':
			s.i++
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

// null skips a null and reports whether one was there.
func (s *scanner) null() bool {
	if s.peek() == 'n' && bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		s.i += 4
		return true
	}
	return false
}

// text reads a string; nil for null. It aliases the input unless it had escapes.
func (s *scanner) text() ([]byte, error) {
	if s.null() {
		return nil, nil
	}
	if !s.take('"') {
		switch s.peek() {
		case '{':
			return nil, serialization("Start of structure or map found where not expected.")
		case '[':
			return nil, serialization("Start of list found where not expected")
		}
		return nil, s.wrong()
	}
	start, escaped := s.i, false
	for {
		n := bytes.IndexByte(s.b[s.i:], '"')
		if n < 0 {
			return nil, s.wrong()
		}
		part := s.b[s.i : s.i+n]
		s.i += n + 1
		if bytes.IndexByte(part, '\\') < 0 {
			break
		}
		escaped = true
		if trailing := len(part) - len(bytes.TrimRight(part, `\`)); trailing%2 == 0 {
			break
		}
	}
	raw := s.b[start : s.i-1]
	if !escaped {
		for _, c := range raw[:min(len(raw), 1024)] { // longer ones are base64, which refuses it anyway
			if c < ' ' {
				return nil, s.wrong()
			}
		}
		return raw, nil
	}
	var out string
	if json.Unmarshal(s.b[start-1:s.i], &out) != nil {
		return nil, s.wrong()
	}
	return append([]byte{}, out...), nil
}

// object calls member for each member's name; member reads or skips the value.
func (s *scanner) object(member func(name []byte) error) error {
	if !s.take('{') {
		return s.wrong()
	}
	if s.take('}') {
		return nil
	}
	for {
		name, err := s.text()
		if err != nil {
			return err
		}
		if name == nil || !s.take(':') {
			return s.wrong()
		}
		if err := member(name); err != nil {
			return err
		}
		if s.take('}') {
			return nil
		}
		if !s.take(',') {
			return s.wrong()
		}
	}
}

// list calls item before each item; item reads or skips it.
func (s *scanner) list(item func() error) error {
	if !s.take('[') {
		return serialization("Expected list or null")
	}
	if s.take(']') {
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.take(']') {
			return nil
		}
		if !s.take(',') {
			return s.wrong()
		}
	}
}

// skip passes over any value and returns its bytes.
func (s *scanner) skip(depth int) ([]byte, error) {
	c := s.peek()
	start := s.i
	var err error
	switch {
	case depth == depthMax:
		return nil, s.wrong()
	case c == '"':
		_, err = s.text()
	case c == '{':
		err = s.object(func([]byte) error { _, err := s.skip(depth + 1); return err })
	case c == '[':
		err = s.list(func() error { _, err := s.skip(depth + 1); return err })
	default:
		for s.i < len(s.b) && !bytes.ContainsRune([]byte(" \t\r\n,]}"), rune(s.b[s.i])) {
			s.i++
		}
		if !json.Valid(s.b[start:s.i]) {
			return nil, s.wrong()
		}
	}
	return s.b[start:s.i], err
}

// end makes sure that nothing follows.
func (s *scanner) end() error {
	if s.peek() != 0 || s.i < len(s.b) {
		return s.wrong()
	}
	return nil
}

// An arena is where the data of one request's records is decoded to: base64
// shrinks, so a buffer of the body's length is always enough.
type arena struct{ free []byte }

// blob decodes base64; the result is not nil and lives in the arena.
func (a *arena) blob(text []byte) ([]byte, error) {
	n := base64.StdEncoding.DecodedLen(len(text))
	if len(text)%4 != 0 || n > len(a.free) {
		return nil, serialization("'' can not be converted to a Blob: the text is not base64")
	}
	dst := a.free[:n:n]
	n, err := base64.StdEncoding.Decode(dst, text)
	if err != nil {
		return nil, serialization("'' can not be converted to a Blob: the text is not base64")
	}
	a.free = a.free[len(dst):]
	return dst[:n], nil
}
