package jsondoc

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

var notANumber = math.NaN()

// ErrTooLarge says that a value has no text within the limit, or that it
// contains itself.
var ErrTooLarge = errors.New("the text is too large")

// JSON prints a value as json-smart does: no spaces, the characters U+0000 to
// U+001F, U+007F to U+009F and U+2000 to U+20FF as \uXXXX, infinities as null.
// The result has at most limit bytes, or the error is ErrTooLarge.
func JSON(v any, limit int) (string, error) {
	w := &writer{limit: limit}
	w.json(v, 0)
	return w.result()
}

// Text is what Java's String.valueOf makes of a value: a map is {a=1, b=x}, a
// list of a template [1, x], a list that came as JSON is JSON again. nil is
// "null". The limit is as in JSON.
func Text(v any, limit int) (string, error) {
	if s, ok := v.(string); ok && len(s) <= limit {
		return s, nil
	}
	w := &writer{limit: limit}
	w.text(v, 0)
	return w.result()
}

type writer struct {
	b     strings.Builder
	limit int
	full  bool
}

func (w *writer) result() (string, error) {
	if w.full {
		return "", ErrTooLarge
	}
	return w.b.String(), nil
}

func (w *writer) put(s string) {
	if w.full = w.full || w.b.Len()+len(s) > w.limit; !w.full {
		w.b.WriteString(s)
	}
}

// deep notes a nesting that no text has: a value within itself.
func (w *writer) deep(depth int) bool {
	w.full = w.full || depth > 2*depthMax
	return w.full
}

// series writes n items between brackets, as many as there is room for.
func (w *writer) series(open, comma, end string, n int, item func(i int)) {
	w.put(open)
	for i := 0; i < n && !w.full; i++ {
		if i > 0 {
			w.put(comma)
		}
		item(i)
	}
	w.put(end)
}

func (w *writer) json(v any, depth int) {
	if w.deep(depth) {
		return
	}
	switch v := v.(type) {
	case string:
		w.quote(v)
	case float64:
		if math.IsInf(v, 0) {
			w.put("null")
			return
		}
		w.put(double(v))
	case *Map:
		w.series("{", ",", "}", len(v.keys), func(i int) {
			w.quote(v.keys[i])
			w.put(":")
			w.json(v.values[v.keys[i]], depth+1)
		})
	case *List:
		w.series("[", ",", "]", len(v.Items), func(i int) { w.json(v.Items[i], depth+1) })
	default:
		w.put(scalar(v))
	}
}

func (w *writer) text(v any, depth int) {
	if w.deep(depth) {
		return
	}
	switch v := v.(type) {
	case string:
		w.put(v)
	case *Map:
		w.series("{", ", ", "}", len(v.keys), func(i int) {
			w.put(v.keys[i] + "=")
			w.text(v.values[v.keys[i]], depth+1)
		})
	case *List:
		if v.JSON {
			w.json(v, depth)
			return
		}
		w.series("[", ", ", "]", len(v.Items), func(i int) { w.text(v.Items[i], depth+1) })
	default:
		w.put(scalar(v))
	}
}

func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case *big.Int:
		return v.String()
	case float64:
		return double(v)
	case Decimal:
		return string(v)
	}
	return fmt.Sprint(v)
}

const hexDigits = "0123456789ABCDEF"

func (w *writer) quote(s string) {
	w.put(`"`)
	start := 0
	for i, c := range s {
		escaped := ""
		switch {
		case c == '"' || c == '\\':
			escaped = `\` + string(c)
		case c == '\b':
			escaped = `\b`
		case c == '\f':
			escaped = `\f`
		case c == '\n':
			escaped = `\n`
		case c == '\r':
			escaped = `\r`
		case c == '\t':
			escaped = `\t`
		case c < ' ', c >= 0x7f && c <= 0x9f, c >= 0x2000 && c <= 0x20ff:
			escaped = `\u` + string([]byte{hexDigits[c>>12&15], hexDigits[c>>8&15], hexDigits[c>>4&15], hexDigits[c&15]})
		default:
			continue
		}
		w.put(s[start:i])
		w.put(escaped)
		start = i + len(string(c))
	}
	w.put(s[start:])
	w.put(`"`)
}
