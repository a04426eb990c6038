package produce

import (
	"context"
)

// A Target stores records.
type Target interface {
	// Send tries to store all of batch once, and never again by itself. It
	// returns one error for each record, nil for a stored one, or a single
	// error when nothing is known of any. A *Refusal says that the record
	// itself is at fault; standpipe.ClassOf says of every other error whether
	// a repeat may help. Send keeps no reference to batch. Safe for concurrent use.
	Send(ctx context.Context, batch []Record) ([]error, error)
	// Limits are the most records and bytes (data and keys) of one Send. A
	// record longer than bytes is sent alone.
	Limits() (records, bytes int)
	// String names the target for people: "stream class-stream".
	String() string
}

// A Refusal is the target's word that it will never take this content.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }
