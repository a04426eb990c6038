//go:build !nolocal

package s3

import "os"

// Signal sends s to the child.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Kept is what is remembered of a server that said that, in small pieces.
func Kept(said string) string {
	var w lastWords
	for len(said) > 0 {
		n := min(7, len(said))
		_, _ = w.Write([]byte(said[:n]))
		said = said[n:]
	}
	return w.String()
}
