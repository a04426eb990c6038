package consumer

import (
	"bytes"
	"iter"
)

// Lines yields the lines of one user record: data is cut at every '\n', one
// '\r' before the cut is dropped, and so are lines that are empty then. A last
// fragment without '\n' is a line like the others. Nothing else is looked at:
// NUL bytes, invalid UTF-8 and a lone '\r' inside a line pass through.
//
// The lines alias data and exclude their newline; whoever writes them ends
// each in exactly one '\n'. No allocation.
func Lines(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			line := data
			if i := bytes.IndexByte(data, '\n'); i >= 0 {
				line, data = data[:i], data[i+1:]
			} else {
				data = nil
			}
			if n := len(line); n > 0 && line[n-1] == '\r' {
				line = line[:n-1]
			}
			if len(line) > 0 && !yield(line) {
				return
			}
		}
	}
}
