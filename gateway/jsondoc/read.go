package jsondoc

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// depthMax bounds nesting, as newer releases of json-smart do.
const depthMax = 400

// digitsMax bounds the integers that are computed with: to convert a body of
// digits would take seconds. Longer ones keep their digits.
const digitsMax = 1000

// A SyntaxError says where a text stops being JSON even for a permissive reader.
type SyntaxError struct {
	Offset  int // bytes from the start
	Message string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s at position %d", e.Message, e.Offset)
}

// Read parses the first document of a text, permissively: names and strings
// need no quotes, single quotes will do, superfluous commas are skipped. rest is
// what follows the document, which API Gateway drops without a word; spaces
// apart, it is empty for a text with one document. Bytes that are not UTF-8
// become U+FFFD. The error is a *SyntaxError.
func Read(text string) (v any, rest string, err error) {
	r := &reader{s: strings.ToValidUTF8(text, string(utf8.RuneError))}
	if v, err = r.value(""); err != nil {
		return nil, "", err
	}
	return v, strings.TrimLeft(r.s[r.pos:], " \t\r\n"), nil
}

// A reader follows json-smart's JSONParserBase in its permissive mode. A stop
// is the set of characters that end an unquoted text.
type reader struct {
	s     string
	pos   int
	depth int
}

const (
	stopArray = ",]"
	stopName  = ":"
	stopValue = ",}"
)

func (r *reader) errorf(format string, args ...any) error {
	return &SyntaxError{r.pos, fmt.Sprintf(format, args...)}
}

var errEnd = errors.New("end")

// peek is the current byte, or errEnd.
func (r *reader) peek() (byte, error) {
	if r.pos >= len(r.s) {
		return 0, errEnd
	}
	return r.s[r.pos], nil
}

func (r *reader) end() error { return r.errorf("unexpected end of the text") }

func (r *reader) space() {
	for r.pos < len(r.s) && r.s[r.pos] <= ' ' {
		r.pos++
	}
}

func (r *reader) value(stop string) (any, error) {
	r.space()
	c, err := r.peek()
	if err != nil {
		return nil, r.end()
	}
	switch c {
	case ':', '}', ']':
		return nil, r.errorf("unexpected %q", c)
	case '{':
		return r.nested(func() (any, error) { return r.object() })
	case '[':
		return r.nested(func() (any, error) { return r.array() })
	case '"', '\'':
		return r.quoted(c)
	}
	if c == '-' || c >= '0' && c <= '9' {
		return r.number(stop)
	}
	switch s := r.unquoted(stop); s {
	case "null":
		return nil, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "NaN":
		return notANumber, nil
	default:
		return s, nil
	}
}

func (r *reader) nested(read func() (any, error)) (any, error) {
	if r.depth++; r.depth > depthMax {
		return nil, r.errorf("nested deeper than %d levels", depthMax)
	}
	defer func() { r.depth-- }()
	r.pos++
	return read()
}

func (r *reader) object() (any, error) {
	m := &Map{}
	acceptName := true
	for {
		r.space()
		c, err := r.peek()
		switch {
		case err != nil:
			return nil, r.end()
		case c == '}':
			r.pos++
			return m, nil
		case c == ',':
			r.pos++
			acceptName = true
			continue
		case strings.IndexByte(":[]{", c) >= 0 || !acceptName:
			return nil, r.errorf("unexpected %q", c)
		}
		name, err := r.name(c)
		if err != nil {
			return nil, err
		}
		v, err := r.value(stopValue)
		if err != nil {
			return nil, err
		}
		m.Put(name, v)
		acceptName = false
	}
}

// name reads a member's name and the colon after it.
func (r *reader) name(c byte) (name string, err error) {
	if c == '"' || c == '\'' {
		if name, err = r.quoted(c); err != nil {
			return "", err
		}
	} else {
		name = r.unquoted(stopName)
	}
	r.space()
	if c, err := r.peek(); err != nil || c != ':' {
		return "", r.errorf("a colon is missing after the name")
	}
	r.pos++
	return name, nil
}

func (r *reader) array() (any, error) {
	l := &List{JSON: true}
	for {
		r.space()
		c, err := r.peek()
		switch {
		case err != nil:
			return nil, r.end()
		case c == ']':
			r.pos++
			return l, nil
		case c == ',':
			r.pos++
			continue
		}
		v, err := r.value(stopArray)
		if err != nil {
			return nil, err
		}
		l.Items = append(l.Items, v)
	}
}

// unquoted reads up to a stop or the end, without the spaces around.
func (r *reader) unquoted(stop string) string {
	start := r.pos
	r.skip(stop)
	return trim(r.s[start:r.pos])
}

func (r *reader) skip(stop string) {
	if n := strings.IndexAny(r.s[r.pos:], stop); n >= 0 {
		r.pos += n
		return
	}
	r.pos = len(r.s)
}

// trim removes what Java's String.trim does: every character up to the space.
func trim(s string) string {
	return strings.TrimFunc(s, func(c rune) bool { return c <= ' ' })
}

func (r *reader) digits() {
	for r.pos < len(r.s) && r.s[r.pos] >= '0' && r.s[r.pos] <= '9' {
		r.pos++
	}
}

// number reads a number, or a text that only begins like one.
func (r *reader) number(stop string) (any, error) {
	start := r.pos
	r.pos++
	r.digits()
	fraction, exponent := false, false
	if r.at('.') {
		fraction = true
		r.pos++
		r.digits()
	}
	if r.at('e') || r.at('E') {
		exponent = true
		r.pos++
		if !r.at('+') && !r.at('-') && !r.atDigit() {
			return r.text(start, stop), nil
		}
		r.pos++
		r.digits()
	}
	r.space()
	if c, err := r.peek(); err == nil && strings.IndexByte(stop, c) < 0 {
		return r.text(start, stop), nil
	}
	literal := trim(r.s[start:r.pos])
	if !fraction && !exponent && len(literal) > digitsMax {
		sign, digits := "", literal
		if literal[0] == '-' {
			sign, digits = "-", literal[1:]
		}
		return Decimal(sign + strings.TrimLeft(digits, "0")), nil
	}
	if !fraction && !exponent {
		n, ok := new(big.Int).SetString(strings.TrimPrefix(literal, "-"), 10)
		if !ok {
			return int64(0), nil // a lone minus
		}
		if literal[0] == '-' {
			n.Neg(n)
		}
		return Integer(n), nil
	}
	if len(literal) > 18 { // json-smart's own border
		if d, ok := decimal(literal); ok {
			return d, nil
		}
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, r.errorf("not a number")
	}
	return f, nil
}

func (r *reader) text(start int, stop string) string {
	r.skip(stop)
	return trim(r.s[start:r.pos])
}

func (r *reader) at(c byte) bool { return r.pos < len(r.s) && r.s[r.pos] == c }
func (r *reader) atDigit() bool  { return r.pos < len(r.s) && r.s[r.pos] >= '0' && r.s[r.pos] <= '9' }

// quoted reads a string. One without a backslash is taken as it stands; in the
// others control characters vanish, as they do in json-smart.
func (r *reader) quoted(quote byte) (string, error) {
	body := r.s[r.pos+1:]
	n := strings.IndexByte(body, quote)
	if n < 0 {
		r.pos = len(r.s)
		return "", r.end()
	}
	if strings.IndexByte(body[:n], '\\') < 0 {
		r.pos += n + 2
		return body[:n], nil
	}
	var b strings.Builder
	for r.pos++; r.pos < len(r.s); r.pos++ {
		switch c := r.s[r.pos]; {
		case c == quote:
			r.pos++
			return b.String(), nil
		case c == '\\':
			r.pos++
			if err := r.escape(&b); err != nil {
				return "", err
			}
		case c < ' ' || c == 0x7f:
		default:
			b.WriteByte(c)
		}
	}
	return "", r.end()
}

// escape reads what follows a backslash and stays on its last byte. An unknown
// one stands for nothing.
func (r *reader) escape(b *strings.Builder) error {
	c, err := r.peek()
	if err != nil {
		return r.end()
	}
	switch c {
	case 't':
		b.WriteByte('\t')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 'f':
		b.WriteByte('\f')
	case 'b':
		b.WriteByte('\b')
	case '\\', '/', '\'', '"':
		b.WriteByte(c)
	case 'u':
		return r.unicode(b)
	case 'x':
		code, err := r.hex(2)
		if err != nil {
			return err
		}
		b.WriteRune(rune(code))
	}
	return nil
}

// unicode reads \uXXXX. Two halves of a pair are one character; a lone half
// becomes a question mark, as Java writes it.
func (r *reader) unicode(b *strings.Builder) error {
	code, err := r.hex(4)
	if err != nil {
		return err
	}
	c := rune(code)
	if !utf16.IsSurrogate(c) {
		b.WriteRune(c)
		return nil
	}
	if strings.HasPrefix(r.s[r.pos+1:], `\u`) {
		here := r.pos
		r.pos += 2
		low, err := r.hex(4)
		if err != nil {
			return err
		}
		if pair := utf16.DecodeRune(c, rune(low)); pair != utf8.RuneError {
			b.WriteRune(pair)
			return nil
		}
		r.pos = here
	}
	b.WriteByte('?')
	return nil
}

func (r *reader) hex(n int) (uint64, error) {
	if r.pos+n >= len(r.s) {
		return 0, r.end()
	}
	code, err := strconv.ParseUint(r.s[r.pos+1:r.pos+1+n], 16, 32)
	if err != nil {
		return 0, r.errorf("%d hexadecimal digits are missing", n)
	}
	r.pos += n
	return code, nil
}
