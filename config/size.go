package config

import (
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes, written with a binary unit: 64MiB.
type Size int64

// The units. Decimal ones (MB) are refused: nobody agrees on them.
const (
	Byte Size = 1
	KiB       = 1024 * Byte
	MiB       = 1024 * KiB
	GiB       = 1024 * MiB
	TiB       = 1024 * GiB
)

var sizeUnits = []struct {
	name string
	size Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", Byte}}

// Bytes is the size as a plain number.
func (s Size) Bytes() int64 { return int64(s) }

// String writes the size in the largest unit that leaves a whole number; Parse
// reads it back to the same size.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return "0B"
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a whole number and a unit, without a space between them.
func (s *Size) UnmarshalText(text []byte) error {
	digits, unit := cutNumber(string(text))
	if digits == "" {
		return &wrong{quote(string(text)) + " is not a size", "write a number with a unit, such as 256MiB"}
	}
	for _, u := range sizeUnits {
		if u.name != unit {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > math.MaxInt64/int64(u.size) {
			return &wrong{quote(string(text)) + " is more than can be counted", "write a smaller size, such as 256MiB"}
		}
		*s = Size(n) * u.size
		return nil
	}
	if strings.HasPrefix(unit, ".") {
		return &wrong{quote(string(text)) + " has a fraction", "write a whole number of a smaller unit"}
	}
	if unit == "" {
		return &wrong{quote(string(text)) + " has no unit", "write the unit, such as " + digits + "MiB (B, KiB, MiB, GiB or TiB)"}
	}
	return &wrong{quote(string(text)) + " has a unit that is not known", "write " + digits + binaryUnit(unit) + " (B, KiB, MiB, GiB or TiB)"}
}

// binaryUnit guesses the unit that was meant by its first letter.
func binaryUnit(unit string) string {
	for _, u := range sizeUnits {
		if strings.EqualFold(unit[:1], u.name[:1]) {
			return u.name
		}
	}
	return "MiB"
}

// cutNumber splits text after its leading decimal digits.
func cutNumber(text string) (digits, rest string) {
	i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		i = len(text)
	}
	return text[:i], text[i:]
}
