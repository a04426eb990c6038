package sink

import (
	"errors"
	"fmt"

	"github.com/standpipe/standpipe"
)

// Outcome gives one of the outcomes a caller tells apart (ErrNoUpload,
// ErrNotFound, ErrExists) what was being done, a cause if there is one, and its
// class: what is gone or absent is NotFound, what exists is Fenced, so that
// nobody repeats either by mistake. Backends use it.
func Outcome(op string, outcome, cause error) error {
	class := standpipe.NotFound
	if errors.Is(outcome, ErrExists) {
		class = standpipe.Fenced
	}
	if cause != nil {
		outcome = fmt.Errorf("%w: %w", outcome, cause)
	}
	return &standpipe.Error{Class: class, Op: op, Err: outcome}
}
