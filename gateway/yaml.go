package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/standpipe/standpipe/internal/safeyaml"
)

// fileBytesMax is what API Gateway imports at most.
const fileBytesMax = 6 << 20

// nestingMax is well above the depth of a schema a person writes.
const nestingMax = 40

// A place counts lines and characters from 1.
type place struct{ line, column int }

// A reader walks one file, YAML or JSON, and notes every problem on the way.
type reader struct {
	file     string
	lines    []string
	problems Problems
}

func (r *reader) problem(at place, path, fix, format string, args ...any) {
	r.problems = append(r.problems, r.describe(at, path, fix, fmt.Sprintf(format, args...)))
}

func (r *reader) describe(at place, path, fix, message string) Problem {
	p := Problem{File: r.file, Line: at.line, Column: at.column, Path: path, Message: message, Fix: fix}
	if at.line >= 1 && at.line <= len(r.lines) {
		p.Source = printable(r.lines[at.line-1])
	}
	return p
}

// printable replaces what could drive a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' || c == 0x7f {
			return utf8.RuneError
		}
		return c
	}, s)
}

// tree parses a document into its root mapping. When there is none the problem
// is noted and ok is false.
func (r *reader) tree(data []byte) (root *ast.MappingNode, ok bool) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > fileBytesMax:
		r.problem(place{1, 1}, "", "name the API's own file", "the file has more than %d MiB", fileBytesMax>>20)
		return nil, false
	case !utf8.Valid(data):
		r.problem(place{1, 1}, "", "save the file as UTF-8", "the file is not UTF-8 text")
		return nil, false
	}
	// To YAML CRLF is a newline; the parser miscounts the lines of blocks by it.
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	r.lines = strings.Split(text, "\n")
	file, err := safeyaml.Parse(text, nestingMax)
	if err != nil {
		at, message := place{1, 1}, err.Error()
		if ye, ok := errors.AsType[yaml.Error](err); ok {
			message = ye.GetMessage()
			at = placeOf(ye.GetToken())
		}
		r.problem(at, "", "correct it at or before this place", "neither YAML nor JSON: %s", message)
		return nil, false
	}
	if len(file.Docs) > 0 && file.Docs[0].Body != nil {
		root, ok = asMapping(file.Docs[0].Body)
	}
	if !ok || len(file.Docs) != 1 {
		r.problem(place{1, 1}, "", `begin with openapi: "3.0.1"`, "the file is not one OpenAPI document")
		return nil, false
	}
	return root, true
}

func placeOf(t *token.Token) place {
	line, column := safeyaml.Place(t)
	return place{line, column}
}

func asMapping(n ast.Node) (*ast.MappingNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n, true
	case *ast.MappingValueNode:
		return ast.Mapping(n.Start, false, n), true
	}
	return nil, false
}

// A field is one entry of a mapping.
type field struct {
	name  string
	path  string
	at    place // of the name
	value ast.Node
}

// fields are the entries of a mapping in order. What is no mapping, is given
// twice, or points elsewhere is a problem.
func (r *reader) fields(n ast.Node, path string) (all []field) {
	m, ok := asMapping(n)
	if !ok {
		r.problem(placeOf(n.GetToken()), path, "write its fields below it", "not a mapping")
		return nil
	}
	seen := map[string]bool{}
	for _, entry := range m.Values {
		name := ""
		if entry.Key.GetToken() != nil {
			name = entry.Key.GetToken().Value
		}
		f := field{name: name, path: strings.TrimPrefix(path+"."+name, "."), at: placeOf(entry.Key.GetToken()), value: entry.Value}
		switch {
		case seen[name]:
			r.problem(f.at, f.path, "remove one of them", "given twice")
		case indirect(entry.Value) || name == "<<" || name == "$ref":
			r.problem(f.at, f.path, "write the value out", "references are not followed here")
		default:
			seen[name] = true
			all = append(all, f)
		}
	}
	return all
}

func indirect(n ast.Node) bool {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return true
	}
	return false
}

// text is a scalar as it was meant: 2\d{2}, 200 and "200" alike.
func (r *reader) text(f field) (s string, ok bool) {
	switch n := f.value.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	r.problem(f.at, f.path, "write a text", "not a text")
	return "", false
}

// textAt is where a text begins: in a block the line after its indicator. inset
// is how many characters each of its lines is indented.
func textAt(f field, lines []string) (at place, block bool, inset int) {
	n, literal := f.value.(*ast.LiteralNode)
	if !literal || n.Start == nil || !strings.HasPrefix(n.Start.Value, "|") {
		return placeOf(f.value.GetToken()), false, 0
	}
	first := placeOf(n.Start).line // the indicator's, so the text's is the next
	if first < len(lines) {
		inset = len(lines[first]) - len(strings.TrimLeft(lines[first], " "))
	}
	return place{first + 1, inset + 1}, true, inset
}
