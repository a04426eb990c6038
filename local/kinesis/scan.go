package kinesis

import (
	"bytes"
	"encoding/json"

	"github.com/segmentio/asm/base64"
)

// A scanner is the reader of JSON. It checks only what it needs to find its
// way; every error is a SerializationException.
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
	raw, escaped, err := s.quoted()
	if err != nil || escaped {
		return raw, err
	}
	for _, c := range raw {
		if c < ' ' {
			return nil, s.wrong()
		}
	}
	return raw, nil
}

// blob reads base64. The decoder refuses what JSON does, so nothing is looked
// at twice.
func (s *scanner) blob(a *arena) ([]byte, error) {
	raw, _, err := s.quoted()
	if err != nil || raw == nil {
		return nil, err
	}
	return a.blob(raw)
}

// quoted reads a string; only an escaped one is checked.
func (s *scanner) quoted() (raw []byte, escaped bool, err error) {
	if s.null() {
		return nil, false, nil
	}
	if !s.take('"') {
		switch s.peek() {
		case '{':
			return nil, false, serialization("Start of structure or map found where not expected.")
		case '[':
			return nil, false, serialization("Start of list found where not expected")
		}
		return nil, false, s.wrong()
	}
	start := s.i
	for {
		n := bytes.IndexByte(s.b[s.i:], '"')
		if n < 0 {
			return nil, false, s.wrong()
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
	if !escaped {
		return s.b[start : s.i-1], false, nil
	}
	var out string
	if json.Unmarshal(s.b[start-1:s.i], &out) != nil {
		return nil, false, s.wrong()
	}
	return append([]byte{}, out...), true, nil
}

// flag reads a boolean; false for null.
func (s *scanner) flag() (bool, error) {
	v, err := s.pass(0)
	switch string(v) {
	case "true":
		return true, err
	case "false", "null":
		return false, err
	}
	return false, s.wrong()
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

func (s *scanner) skip() error {
	_, err := s.pass(0)
	return err
}

// pass passes over any value and returns its bytes.
func (s *scanner) pass(depth int) ([]byte, error) {
	c := s.peek()
	start := s.i
	var err error
	switch {
	case depth == depthMax:
		return nil, s.wrong()
	case c == '"':
		_, err = s.text()
	case c == '{':
		err = s.object(func([]byte) error { _, err := s.pass(depth + 1); return err })
	case c == '[':
		err = s.list(func() error { _, err := s.pass(depth + 1); return err })
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
