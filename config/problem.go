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
		if p.Source != "" {
			b.WriteString("    " + p.Source + "\n    " + caret(p.Source, p.Column) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
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

// sorted orders problems by place, and drops repetitions.
func sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
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
