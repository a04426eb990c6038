package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong in an OpenAPI file. Its fields are those
// of config.Problem, so that both are shown alike.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1; Column counts characters.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Path is the field, "paths./v1.post", or empty for the document.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Fix is what to write instead, or empty.
	Fix string `json:"fix,omitempty"`
	// Source is the line as it stands in the file, control characters replaced.
	Source string `json:"source,omitempty"`
}

// String is the problem in one line.
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		s += p.Path + ": "
	}
	if p.Fix == "" {
		return s + p.Message
	}
	return s + p.Message + "; " + p.Fix
}

// Problems are all that is wrong in a file, in the order of their places. As an
// error they are never empty.
type Problems []Problem

// Error has one problem per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problemsMax bounds what a file that is no API at all can make us print.
const problemsMax = 100

func sorted(ps Problems) Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	ps = slices.Compact(ps)
	return ps[:min(len(ps), problemsMax)]
}
