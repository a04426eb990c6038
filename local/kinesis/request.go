package kinesis

import (
	"encoding/json"
	"fmt"
	"math"
)

// An instant is a time in a request or an answer, in ms; on the wire seconds
// with a fraction. Milliseconds are understood too.
type instant int64

func (t instant) MarshalJSON() ([]byte, error) { return appendSeconds(nil, int64(t)), nil }

func (t *instant) UnmarshalJSON(b []byte) error {
	var s float64
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	return t.set(s)
}

// set takes seconds with a fraction, or milliseconds.
func (t *instant) set(s float64) error {
	if math.IsNaN(s) || math.Abs(s) > 1e15 {
		return fmt.Errorf("time %v is out of range", s)
	}
	*t = instant(fromSeconds(s))
	return nil
}

// appendSeconds appends ms as seconds with three decimals.
func appendSeconds(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = appendUint(b, uint64(ms/1000))
	return appendDigits(append(b, '.'), uint64(ms%1000), 3)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
