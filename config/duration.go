package config

import (
	"strings"
	"time"
)

// A Duration is a length of time, written with its unit: 90s, 1m30s.
type Duration time.Duration

// Std is the duration as the time package knows it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes the duration without the zero units of the time package: 1m, not 1m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what time.ParseDuration reads, but never a number without
// a unit and never less than nothing.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if digits, rest := cutNumber(s); digits != "" && rest == "" {
		return &wrong{quote(s) + " has no unit", "write the unit, such as " + digits + "s (ms, s, m or h)"}
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return &wrong{quote(s) + " is not a length of time", "write a number with a unit, such as 90s or 5m"}
	}
	*d = Duration(v)
	return nil
}
