package produce

import (
	"fmt"
	"iter"
)

// LineMax is the longest line read, in bytes: the largest record Kinesis takes
// (10 MiB, PutRecord API).
const LineMax = 10 << 20

// A Record is one line on its way. It owns its bytes.
type Record struct {
	// Source and Line say where it came from: a file name and a line counted from 1.
	Source string
	Line   int64
	Data   []byte
	Key    string
}

// size is what counts against the limits of Kinesis: data and key.
func (r Record) size() int { return len(r.Data) + len(r.Key) }

// A Rejection is a record that will never be stored, and why. As an error of a
// Source it costs that record only.
type Rejection struct {
	Source string `json:"source"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
}

func (r *Rejection) Error() string { return fmt.Sprintf("%s:%d: %s", r.Source, r.Line, r.Reason) }

// reject says why r is not sent.
func (r Record) reject(format string, args ...any) *Rejection {
	return &Rejection{Source: r.Source, Line: r.Line, Reason: fmt.Sprintf(format, args...)}
}

// A Source gives records in order. A *Rejection is counted and passed over; any
// other error is the last thing it gives.
type Source = iter.Seq2[Record, error]
