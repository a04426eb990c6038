package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// canonical is a JSON value in one spelling: keys sorted, the last of equal
// ones kept, no white space, as few escapes as there can be, numbers in their
// shortest form. What is not one JSON value stays as it is, and so does one that
// is not all text: the decoder would put U+FFFD in the place of its bytes.
func canonical(record []byte) []byte {
	if !utf8.Valid(record) {
		return record
	}
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return record
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return record
	}
	if halved(record) {
		return record
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(numbers(v)); err != nil {
		return record
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// halved says that a JSON value has an escape that is half of a character.
func halved(value []byte) bool {
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			continue
		}
		if i++; value[i] != 'u' {
			continue
		}
		i++
		c := escaped(value[i:])
		if i += 3; !utf16.IsSurrogate(c) {
			continue
		}
		low, paired := bytes.CutPrefix(value[i+1:], []byte(`\u`))
		if !paired || utf16.DecodeRune(c, escaped(low)) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped is the number that four hexadecimal digits are.
func escaped(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16)
	return rune(n)
}

// numbers replaces every number of v by its canonical form.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// number keeps integers exactly, of any length; 1.0, 1e0 and 1 are equal, and
// fractions are equal when they are the same IEEE 754 double, as they are to
// nearly every JSON reader.
func number(n json.Number) json.Number {
	s := string(n)
	if !strings.ContainsAny(s, ".eE") {
		if s == "-0" {
			return "0"
		}
		return n
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return n
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return json.Number(strconv.FormatInt(int64(f), 10))
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}
