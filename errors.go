package standpipe

import (
	"errors"
	"fmt"
	"time"
)

// A Class says what a caller should do about an error. Each dependency has one
// function that classifies its errors; everyone else asks ClassOf.
type Class string

// The classes.
const (
	// Retryable: the same call may succeed later (time-out, 5xx, connection).
	Retryable Class = "retryable"
	// Throttled: as Retryable, and the peer asked for less.
	Throttled Class = "throttled"
	// Denied: the peer refused by policy or credentials. An operator may heal
	// it while we run, so it is retried slowly and shown loudly; nothing is dropped.
	Denied Class = "denied"
	// Fenced: somebody else owns what we tried to write. Never retried.
	Fenced Class = "fenced"
	// NotFound: the thing is not there: stream, shard, bucket, object.
	NotFound Class = "not_found"
	// Fatal: repeating cannot help; a person must change something.
	Fatal Class = "fatal"
)

// An Error is an error with its class and, where a person can do something, a
// hint that names the setting or the command.
type Error struct {
	Class Class
	// Op says what was being done and to what: "put object s3://b/k".
	Op string
	// Hint is a sentence for the operator, or empty.
	Hint string
	// After is the least time to wait before a repeat, zero when unknown.
	After time.Duration
	Err   error
}

func (e *Error) Error() string {
	s := e.Op
	if e.Err != nil {
		s = fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of the first Error in err's chain. An error that
// was never classified is Retryable: holding and repeating loses nothing,
// giving up might.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Retryable
}
