package vtl

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An Error is a fault of a template, with its place. Line and Column count from
// 1; Column counts characters.
type Error struct {
	Line, Column int
	Message      string
	// Err is what a host object said, or nil.
	Err error
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// A Template is parsed text.
type Template struct {
	source string
	root   block
	refs   []*reference
}

// A Use is one reference of a template: $input.params('x') has the name input
// and the path [params]. Argument is its first argument where that is a plain
// text, and the next two are its place.
type Use struct {
	Name         string
	Path         []string
	Argument     string
	HasArgument  bool // a plain text was given
	Line, Column int
}

// Uses are all references, those within strings too, in no particular order.
func (t *Template) Uses() []Use {
	uses := make([]Use, 0, len(t.refs))
	for _, r := range t.refs {
		u := Use{Name: r.name}
		u.Line, u.Column = position(t.source, r.pos)
		for _, p := range r.parts {
			u.Path = append(u.Path, p.name)
			if len(p.args) > 0 && !u.HasArgument {
				u.Argument, u.HasArgument = plain(p.args[0])
			}
		}
		uses = append(uses, u)
	}
	return uses
}

// plain is the text of a string without references in it.
func plain(e expr) (string, bool) {
	switch e := e.(type) {
	case literal:
		s, ok := e.value.(string)
		return s, ok
	case *interpolated:
		if len(e.body) == 0 {
			return "", true
		}
		if t, ok := e.body[0].(text); ok && len(e.body) == 1 {
			return string(t), true
		}
	}
	return "", false
}

// position is the place of a byte offset.
func position(source string, offset int) (line, column int) {
	before := source[:min(max(offset, 0), len(source))]
	line = 1 + strings.Count(before, "\n")
	return line, 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}
