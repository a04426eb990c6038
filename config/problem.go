package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Problem is one thing that is wrong in a file, or worth knowing about it.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1; Column counts characters.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Path is the field, "Standpipe.Checkpoint.Type", or empty for the document.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Fix is what to write instead, or empty.
	Fix string `json:"fix,omitempty"`
	// Source is the line as it stands in the file, control characters replaced so
	// that a file cannot drive a terminal. Empty where no line is to blame.
	Source string `json:"source,omitempty"`
}

// String is the problem in one line: file:line:col: path: message; fix.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	if p.Fix == "" {
		return b.String() + p.Message
	}
	return b.String() + strings.TrimSuffix(p.Message, ".") + "; " + p.Fix
}

// Problems are all that is wrong in a file, in the order of their places. As an
// error they are never empty.
type Problems []Problem

// Error has one problem per line, each followed by its source line and a caret.
func (ps Problems) Error() string {
	var b strings.Builder
	_ = ps.Render(&b)
	return strings.TrimSuffix(b.String(), "\n")
}

// Render writes what Error says, ending in a newline. The error is the writer's.
func (ps Problems) Render(w io.Writer) error {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String() + "\n")
		if source, column := window(p.Source, p.Column); source != "" {
			b.WriteString("    " + source + "\n    " + caret(source, column) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// windowMax is the length in characters up to which a source line is shown whole.
const windowMax = 160

// window cuts a long line to what surrounds a column.
func window(source string, column int) (string, int) {
	runes := []rune(source)
	if len(runes) <= windowMax {
		return source, column
	}
	from := max(0, min(column-1-windowMax/2, len(runes)-windowMax))
	to := from + windowMax
	shown := string(runes[from:to])
	if to < len(runes) {
		shown += "…"
	}
	if from > 0 {
		shown, column = "…"+shown, column+1
	}
	return shown, column - from
}

// caret points at a column of the line above it; tabs are kept so that both
// lines are wide alike.
func caret(source string, column int) string {
	var b strings.Builder
	for _, r := range source {
		if column--; column < 1 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String() + "^"
}

// problemsMax is how many problems of one file are shown. It bounds what a file
// that is no configuration at all can make us print.
const problemsMax = 100

// sorted orders problems by place, drops repetitions, and what is over problemsMax.
func sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	ps = slices.Compact(ps)
	if over := len(ps) - problemsMax; over > 0 {
		last := ps[problemsMax-1]
		ps = append(ps[:problemsMax:problemsMax], Problem{
			File: last.File, Line: last.Line, Column: last.Column,
			Message: fmt.Sprintf("%d more problems from here on", over),
			Fix:     "correct those above first, and check that this is the right file",
		})
	}
	return ps
}

// A wrong says what is wrong with a value, before its place is known.
type wrong struct{ message, fix string }

func (w *wrong) Error() string { return w.message + "; " + w.fix }

// quoteMax bounds how much of a value a message repeats, in characters.
const quoteMax = 60

// quote repeats a value in a message, shortened and printable.
func quote(value string) string {
	if utf8.RuneCountInString(value) > quoteMax {
		value = string([]rune(value)[:quoteMax]) + "…"
	}
	return fmt.Sprintf("%q", value)
}

// A place is where a field stands in the file.
type place struct{ line, column int }

// places holds, by path, where the value of each given field stands.
type places map[string]place
