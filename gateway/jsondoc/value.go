package jsondoc

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// A Map is a JSON object, or a map of a template: keys in the order in which
// they were first put. The zero value is empty and ready to use.
type Map struct {
	keys   []string
	values map[string]any
}

// A List is a JSON array, or a list of a template.
type List struct {
	Items []any
	// JSON lists print as JSON, those of a template as [a, b]: they are different
	// classes in Java.
	JSON bool
}

// A Decimal is a number with more digits than a double holds, as Java's
// BigDecimal prints it.
type Decimal string

// MapOf makes a map of pairs: key, value, key, value.
func MapOf(pairs ...any) *Map {
	m := &Map{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m.Put(pairs[i].(string), pairs[i+1])
	}
	return m
}

// Get returns the value of a key, and whether there is one.
func (m *Map) Get(key string) (any, bool) {
	v, ok := m.values[key]
	return v, ok
}

// Put sets a key and returns what it was before. A key keeps its first place.
func (m *Map) Put(key string, value any) (before any) {
	if m.values == nil {
		m.values = map[string]any{}
	}
	before, there := m.values[key]
	if !there {
		m.keys = append(m.keys, key)
	}
	m.values[key] = value
	return before
}

// Remove deletes a key and returns its value.
func (m *Map) Remove(key string) any {
	before, there := m.values[key]
	if there {
		delete(m.values, key)
		m.keys = slices.DeleteFunc(m.keys, func(k string) bool { return k == key })
	}
	return before
}

// Keys are in order; the caller must not change them.
func (m *Map) Keys() []string { return m.keys }

// Len is the number of keys.
func (m *Map) Len() int { return len(m.keys) }

// Integer is an int64 where the number fits, or the number itself.
func Integer(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

// double prints f as Java's Double.toString does.
func double(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if a := math.Abs(f); a == 0 || a >= 1e-3 && a < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent) // FormatFloat wrote it
	return mantissa + "E" + strconv.Itoa(n)
}

// decimal prints a literal such as 1.20e3 as Java's BigDecimal.toString does:
// every digit is kept, the exponent only where a plain number would be long.
func decimal(literal string) (Decimal, bool) {
	number, exp, _ := strings.Cut(strings.ToUpper(literal), "E")
	exponent := 0
	if exp != "" {
		var err error
		if exponent, err = strconv.Atoi(exp); err != nil {
			return "", false
		}
	}
	sign := ""
	if strings.HasPrefix(number, "-") {
		sign, number = "-", number[1:]
	}
	whole, fraction, _ := strings.Cut(number, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	scale := len(fraction) - exponent
	if digits == "" {
		digits, sign = "0", ""
	}
	adjusted := len(digits) - 1 - scale
	switch {
	case scale == 0:
		return Decimal(sign + digits), true
	case scale > 0 && adjusted >= -6:
		if pad := scale - len(digits) + 1; pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		return Decimal(sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]), true
	}
	s := sign + digits[:1]
	if len(digits) > 1 {
		s += "." + digits[1:]
	}
	if adjusted > 0 {
		return Decimal(s + "E+" + strconv.Itoa(adjusted)), true
	}
	return Decimal(s + "E" + strconv.Itoa(adjusted)), true
}
