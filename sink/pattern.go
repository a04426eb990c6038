package sink

import (
	"errors"
	"fmt"
	"time"
)

// A unit is the length of time in which an evaluated pattern is constant,
// finest first.
type unit int

const (
	unitSecond unit = iota
	unitMinute
	unitHour
	unitDay
	unitMonth
	unitYear
)

// A step prints one part of a pattern.
type step func(dst []byte, t time.Time) []byte

// A layout is a compiled pattern.
type layout []step

func (l layout) append(dst []byte, t time.Time) []byte {
	for _, s := range l {
		dst = s(dst, t)
	}
	return dst
}

// A compiled pattern knows the unit of its finest letter.
type compiled struct {
	layout
	unit unit
}

// patternMax bounds what is compiled, in bytes; a prefix has 1,024 characters.
const patternMax = 4096

// compile reads a pattern of Java 17's java.time.format.DateTimeFormatter with
// Locale.US, which is what Firehose's validator and keys agree with: letters in
// runs, text in single quotes, [ ] around optional parts (always printed: a time
// with a zone has every field), p for padding. The 17 letters Java refuses are
// refused, and so are {, } and #.
func compile(pattern string) (compiled, error) {
	if len(pattern) > patternMax {
		return compiled{}, fmt.Errorf("pattern is longer than %d bytes", patternMax)
	}
	c := compiled{unit: unitYear, layout: layout{}}
	optional := 0
	for i := 0; i < len(pattern); {
		switch b := pattern[i]; {
		case isLetter(b):
			n, err := c.letters(pattern[i:])
			if err != nil {
				return compiled{}, err
			}
			i += n
			continue
		case b == '\'':
			text, n, err := quoted(pattern[i:])
			if err != nil {
				return compiled{}, err
			}
			c.layout = append(c.layout, literal(text))
			i += n
			continue
		case b == '[':
			optional++
		case b == ']':
			if optional--; optional < 0 {
				return compiled{}, errors.New("pattern has ] without [")
			}
		case b == '{' || b == '}' || b == '#':
			return compiled{}, fmt.Errorf("pattern has reserved character %q", b)
		default:
			c.layout = append(c.layout, literal(pattern[i:i+1]))
		}
		i++
	}
	return c, nil
}

func isLetter(b byte) bool { return 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' }

func run(s string) int {
	n := 1
	for n < len(s) && s[n] == s[0] {
		n++
	}
	return n
}

// quoted reads text between single quotes; two of them in a row are a quote.
func quoted(s string) (text string, n int, err error) {
	var b []byte
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b = append(b, s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b = append(b, '\'')
			i++
			continue
		}
		if i == 1 {
			return "'", 2, nil
		}
		return string(b), i + 1, nil
	}
	return "", 0, errors.New("pattern ends with an incomplete string literal")
}

func literal(s string) step {
	return func(dst []byte, _ time.Time) []byte { return append(dst, s...) }
}

// letters compiles the run of letters s starts with, a padding p included.
func (c *compiled) letters(s string) (n int, err error) {
	width := 0
	if s[0] == 'p' {
		width = run(s)
		if width == len(s) || !isLetter(s[width]) {
			return 0, errors.New("pad letter p must be followed by a letter")
		}
		n = width
	}
	letter, count := s[n], run(s[n:])
	f, ok := fields[letter]
	if !ok {
		return 0, fmt.Errorf("pattern has unknown letter %c", letter)
	}
	print := f.print(count)
	if print == nil {
		return 0, fmt.Errorf("pattern has %d times %c", count, letter)
	}
	if width > 0 {
		if !fits(print, width) {
			return 0, fmt.Errorf("pattern pads %c to %d, which is too narrow", letter, width)
		}
		print = pad(print, width)
	}
	c.layout = append(c.layout, print)
	c.unit = min(c.unit, f.unit)
	return n + count, nil
}

func pad(s step, width int) step {
	return func(dst []byte, t time.Time) []byte {
		start := len(dst)
		dst = s(dst, t)
		short := width - (len(dst) - start)
		if short <= 0 {
			return dst
		}
		for range short {
			dst = append(dst, ' ')
		}
		copy(dst[start+short:], dst[start:])
		for i := range short {
			dst[start+i] = ' '
		}
		return dst
	}
}

// fits tries a year's days at changing times of day: Java accepts too narrow a
// pad and fails at print time, which for a key would be at delivery.
func fits(s step, width int) bool {
	t := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 366 {
		if len(s(nil, t)) > width {
			return false
		}
		t = t.Add(25*time.Hour + 61*time.Second)
	}
	return true
}

// span returns the part of t's unit in which the zone's offset does not change.
// Inside it local time runs evenly, so that no printed field but those finer
// than the unit can differ.
func span(t time.Time, u unit) (start, end time.Time) {
	_, offset := t.Zone()
	l := t.In(time.FixedZone("", offset))
	y, m, d := l.Date()
	switch u {
	case unitYear:
		start = time.Date(y, 1, 1, 0, 0, 0, 0, l.Location())
		end = start.AddDate(1, 0, 0)
	case unitMonth:
		start = time.Date(y, m, 1, 0, 0, 0, 0, l.Location())
		end = start.AddDate(0, 1, 0)
	case unitDay:
		start = time.Date(y, m, d, 0, 0, 0, 0, l.Location())
		end = start.AddDate(0, 0, 1)
	case unitHour:
		start = time.Date(y, m, d, l.Hour(), 0, 0, 0, l.Location())
		end = start.Add(time.Hour)
	case unitMinute:
		start = time.Date(y, m, d, l.Hour(), l.Minute(), 0, 0, l.Location())
		end = start.Add(time.Minute)
	default:
		start = time.Date(y, m, d, l.Hour(), l.Minute(), l.Second(), 0, l.Location())
		end = start.Add(time.Second)
	}
	from, to := t.ZoneBounds()
	if !from.IsZero() && from.After(start) {
		start = from
	}
	if !to.IsZero() && to.Before(end) {
		end = to
	}
	return start.In(t.Location()), end.In(t.Location())
}
