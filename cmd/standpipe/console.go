package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// A console is where a command reads and writes. Its methods may be called
// from several goroutines; stdout has one writer at a time.
type console struct {
	stdin  io.Reader
	stdout io.Writer
	// stdoutTTY and stderrTTY say that a person watches.
	stdoutTTY, stderrTTY bool
	// colour is never on without a terminal, nor under NO_COLOR (no-color.org).
	colour bool

	mu     sync.Mutex
	stderr io.Writer
}

func newConsole(stdin io.Reader, stdout, stderr io.Writer) *console {
	c := &console{stdin: stdin, stdout: stdout, stderr: stderr, stdoutTTY: isTerminal(stdout), stderrTTY: isTerminal(stderr)}
	c.colour = c.stdoutTTY && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return c
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// note writes one line to standard error.
func (c *console) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fmt.Fprintf(c.stderr, format+"\n", args...)
}

// fail shows err, if any, and returns its exit code.
func (c *console) fail(err error) int {
	if err != nil {
		c.note("standpipe: %v", err)
	}
	return exitCode(err)
}

// writeJSON writes v as one indented document.
func (c *console) writeJSON(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// bold and red dress s for a terminal.
func (c *console) bold(s string) string { return c.dress("1", s) }
func (c *console) red(s string) string  { return c.dress("31", s) }

func (c *console) dress(sgr, s string) string {
	if !c.colour || s == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// A cell is one field of a table.
type cell struct {
	text  string
	right bool // numbers stand to the right
	dress func(string) string
}

// writeTable writes rows in columns as wide as their longest cell. Escapes are
// added after padding, so they don't count.
func writeTable(w io.Writer, rows [][]cell) error {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text))
			text := c.text
			if c.dress != nil {
				text = c.dress(text)
			}
			if c.right {
				text = pad + text
			} else {
				text += pad
			}
			line.WriteString(text)
			if i < len(row)-1 {
				line.WriteString("  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
