package consumer

import (
	"bytes"
	"time"
)

// The parts of JSON the page decoder needs: tokens, values to skip, numbers.

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// open consumes the given token.
func (s *scanner) open(c byte) bool {
	s.space()
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// next steps to item n of an array, or past its end.
func (s *scanner) next(n int, end byte) (more, ok bool) {
	if s.open(end) {
		return false, true
	}
	return true, n == 0 || s.open(',')
}

// key steps to member n of an object and returns its name, or past its end.
func (s *scanner) key(n int) (name []byte, more, ok bool) {
	if more, ok = s.next(n, '}'); !more || !ok {
		return nil, more, ok
	}
	if name, ok = s.str(); !ok {
		return nil, false, false
	}
	return name, true, s.open(':')
}

// null consumes a null, if there is one.
func (s *scanner) null() bool {
	s.space()
	if bytes.HasPrefix(s.b[s.i:], []byte("null")) {
		s.i += 4
		return true
	}
	return false
}

// str reads a string that must not hold an escape.
func (s *scanner) str() ([]byte, bool) {
	raw, escaped, ok := s.anyString()
	return raw, ok && !escaped
}

// optional reads a string without escapes, or null.
func (s *scanner) optional(v *[]byte) bool {
	if s.null() {
		return true
	}
	raw, ok := s.str()
	*v = raw
	return ok
}

// anyString reads a string and returns what is between its quotes. bytes.IndexByte
// runs at memory speed, so the two passes over a payload are nothing beside
// its base64.
func (s *scanner) anyString() (raw []byte, escaped, ok bool) {
	if !s.open('"') {
		return nil, false, false
	}
	start := s.i
	for {
		q := bytes.IndexByte(s.b[s.i:], '"')
		if q < 0 {
			return nil, false, false
		}
		seg := s.b[s.i : s.i+q]
		slash := bytes.IndexByte(seg, '\\')
		if slash < 0 {
			s.i += q + 1
			return s.b[start : s.i-1 : s.i-1], escaped, true
		}
		escaped = true
		// Past the backslash and what it escapes, which may be the quote.
		s.i += slash + 2
		if s.i > len(s.b) {
			return nil, false, false
		}
	}
}

// depthMax bounds the nesting of values that are skipped.
const depthMax = 32

// skip passes over a value nobody has told us about.
func (s *scanner) skip(depth int) bool {
	s.space()
	if s.i >= len(s.b) || depth > depthMax {
		return false
	}
	switch s.b[s.i] {
	case '"':
		_, _, ok := s.anyString()
		return ok
	case '{':
		s.i++
		for n := 0; ; n++ {
			more, ok := s.next(n, '}')
			if !ok || !more {
				return ok
			}
			if _, _, ok := s.anyString(); !ok || !s.open(':') || !s.skip(depth+1) {
				return false
			}
		}
	case '[':
		s.i++
		for n := 0; ; n++ {
			more, ok := s.next(n, ']')
			if !ok || !more {
				return ok
			}
			if !s.skip(depth + 1) {
				return false
			}
		}
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	_, _, ok := s.number()
	return ok
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// number reads a JSON number as mantissa and decimal exponent. Up to 18
// digits; more are unexpected.
func (s *scanner) number() (mantissa int64, exp int, ok bool) {
	s.space()
	neg := s.word("-")
	start := s.i
	mantissa, ok = s.digits(0)
	if !ok || s.i-start > 1 && s.b[start] == '0' {
		return 0, 0, false
	}
	used := s.i - start
	if s.word(".") {
		frac := s.i
		if mantissa, ok = s.digits(mantissa); !ok {
			return 0, 0, false
		}
		exp = frac - s.i
		used -= exp
	}
	if used > 18 {
		return 0, 0, false
	}
	if s.word("e") || s.word("E") {
		negExp := s.word("-")
		if !negExp {
			s.word("+")
		}
		from := s.i
		e, ok := s.digits(0)
		if !ok || s.i-from > 3 {
			return 0, 0, false
		}
		if negExp {
			e = -e
		}
		exp += int(e)
	}
	if neg {
		mantissa = -mantissa
	}
	return mantissa, exp, true
}

// digits appends at least one digit to n. It may overflow; the caller counts.
func (s *scanner) digits(n int64) (int64, bool) {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		n = n*10 + int64(s.b[s.i]-'0')
		s.i++
	}
	return n, s.i > from
}

// scaledAbove tells seconds from milliseconds: as seconds it is the year 5138,
// as milliseconds 1973. Some servers and old SDKs send milliseconds.
const scaledAbove = 100_000_000_000

// timestamp reads epoch seconds with a fraction ("1732000000.123", also as
// "1.732000000123E9", which is how AWS writes it), cut to milliseconds.
func (s *scanner) timestamp(t *time.Time) bool {
	m, exp, ok := s.number()
	if !ok || m < 0 {
		return false
	}
	exp += 3
	for ; exp < 0; exp++ {
		m /= 10
	}
	for ; exp > 0; exp-- {
		if m > 1<<62/10 {
			return false
		}
		m *= 10
	}
	if m/1000 > scaledAbove {
		m /= 1000
	}
	if m/1000 > scaledAbove {
		return false
	}
	*t = time.UnixMilli(m).UTC()
	return true
}
