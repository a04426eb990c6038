package main

import (
	"errors"
	"fmt"
)

// The exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1   // it did not work, the error says why
	exitUsage       = 2   // flags or configuration are wrong; nothing was done
	exitRejected    = 3   // it worked, but some records were rejected
	exitIncomplete  = 3   // verify, compare, replay: not everything could be judged or mended
	exitDifferent   = 1   // compare, as cmp and diff have it
	exitInterrupted = 130 // stopped by Ctrl-C or SIGTERM before it was done
)

// exitCodes documents them in the help text.
const exitCodes = `Exit codes: 0 ok, 1 failed, 2 wrong flags or configuration, 3 incomplete (records rejected, or not
everything could be judged or mended), 130 interrupted.`

// errInterrupted ends a command that was asked to stop.
var errInterrupted = &exitError{code: exitInterrupted, err: errors.New("interrupted")}

// An exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage marks err as a fault of the command line or the configuration.
func usage(err error) error { return &exitError{code: exitUsage, err: err} }

// usagef is usage of a new error.
func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// exitCode is the code for err.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailed
}

// undecided is err as it leaves a command whose exit code 1 is a verdict: whatever
// kept it from having one is not that.
func undecided(err error) error {
	if _, decided := errors.AsType[*exitError](err); err == nil || decided {
		return err
	}
	return &exitError{code: exitIncomplete, err: err}
}
