//go:build !nolocal

package s3

import (
	"io"
	"regexp"
	"strings"
	"sync"
)

// wordsMax bounds what is kept of the server's output.
const wordsMax = 2 << 10

// dying begins the report of a Go program that dies, or our child's own.
var dying = regexp.MustCompile(`(?m)^(panic: |fatal error: |SIG[A-Z]+: |` + failure + `)`)

// lastWords passes the server's output on and keeps what tells why it ended: the
// beginning of a report of its death. What it says while it serves is chatter.
type lastWords struct {
	next io.Writer // may be nil

	mu    sync.Mutex
	text  []byte
	dying bool
}

// Write takes everything, whatever the log says to it: os/exec stops reading at
// the first error or short count, and a child that prints into a pipe nobody
// reads is killed by SIGPIPE.
func (w *lastWords) Write(p []byte) (int, error) {
	w.keep(p)
	if w.next != nil {
		// A log that fails has nobody to tell.
		_, _ = w.next.Write(p)
	}
	return len(p), nil
}

func (w *lastWords) keep(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if at := dying.FindIndex(w.text); at != nil && !w.dying {
		w.text, w.dying = w.text[at[0]:], true
	}
	switch extra := len(w.text) - wordsMax; {
	case extra <= 0:
	case w.dying:
		w.text = w.text[:wordsMax]
	default:
		w.text = w.text[extra:]
	}
}

// String is the report; empty if there was none.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dying {
		return ""
	}
	return strings.TrimSpace(string(w.text))
}
