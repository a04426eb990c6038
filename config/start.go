package config

import (
	"strings"
	"time"
)

// A Start is where a shard without a checkpoint begins.
type Start struct {
	At   StartAt
	Time time.Time // set for AtTimestamp only
}

// StartAt is the kind of a Start, in Kinesis's own words (ShardIteratorType).
type StartAt string

// The kinds of start.
const (
	TrimHorizon StartAt = "TRIM_HORIZON"
	Latest      StartAt = "LATEST"
	AtTimestamp StartAt = "AT_TIMESTAMP"
)

// String writes the start as a file has it.
func (s Start) String() string {
	if s.At == AtTimestamp {
		return s.Time.Format(time.RFC3339Nano)
	}
	return string(s.At)
}

// MarshalText implements encoding.TextMarshaler.
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads TRIM_HORIZON, LATEST or a time with a zone (RFC 3339).
func (s *Start) UnmarshalText(text []byte) error {
	switch at := StartAt(text); at {
	case TrimHorizon, Latest:
		*s = Start{At: at}
		return nil
	}
	t, err := time.Parse(time.RFC3339, string(text))
	if err == nil {
		*s = Start{At: AtTimestamp, Time: t}
		return nil
	}
	fix := "write TRIM_HORIZON, LATEST or a time such as 2026-11-20T00:00:00+09:00"
	for _, at := range []StartAt{TrimHorizon, Latest} {
		if strings.EqualFold(strings.ReplaceAll(string(text), "-", "_"), string(at)) {
			fix = "write " + string(at)
		}
	}
	if _, err := time.Parse("2006-01-02T15:04:05", string(text)); err == nil {
		fix = "write the zone too: " + string(text) + "Z for UTC, " + string(text) + "+09:00 for nine hours ahead of it"
	}
	return &wrong{quote(string(text)) + " is not a starting position", fix}
}
