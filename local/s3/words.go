//go:build !nolocal

package s3

import (
	"bytes"
	"io"
	"sync"
)

// wordsMax is how much of the child's output is kept for an error, in bytes.
const wordsMax = 2 << 10

// words takes everything the child prints, whatever the log says to it: os/exec
// stops reading at the first error or short count, and a child that prints into
// a pipe nobody reads is killed by SIGPIPE. The end of it is kept, because the
// reason of an unwanted end is there.
type words struct {
	log io.Writer // nil: none

	mu   sync.Mutex
	last []byte
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.last = append(w.last, p...)
	w.last = w.last[max(0, len(w.last)-wordsMax):]
	w.mu.Unlock()
	if w.log != nil {
		// A log that fails has nobody to tell.
		_, _ = w.log.Write(p)
	}
	return len(p), nil
}

// end is what was printed last.
func (w *words) end() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(w.last))
}
