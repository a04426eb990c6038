package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// A decoder walks one document once and notes every problem on the way.
type decoder struct {
	file     string
	lines    []string
	env      func(string) (string, bool)
	places   places
	problems Problems
	warnings Problems
}

func (d *decoder) problem(at place, path, message, fix string) {
	d.problems = append(d.problems, d.describe(at, path, message, fix))
}

func (d *decoder) warn(at place, path, message, fix string) {
	d.warnings = append(d.warnings, d.describe(at, path, message, fix))
}

func (d *decoder) describe(at place, path, message, fix string) Problem {
	return Problem{
		File: d.file, Line: at.line, Column: at.column,
		Path: path, Message: message, Fix: fix, Source: d.line(at.line),
	}
}

func (d *decoder) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return utf8.RuneError
		}
		return r
	}, d.lines[n-1])
}

// value decodes n into v, which the struct tags of its field describe. at is the
// place of the key, where a missing value is reported.
func (d *decoder) value(n ast.Node, v reflect.Value, path string, tag reflect.StructTag, at place) {
	if fix := indirection(n); fix != "" {
		d.problem(placeOf(n.GetToken()), path, noIndirection, fix)
		return
	}
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.scalar(n, v, path, tag, at)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if m, ok := asMapping(n); ok {
			d.mapping(m, v, path)
		} else {
			d.mismatch(n, path, "a mapping", "write its fields below it, indented", at)
		}
	case reflect.Slice:
		d.sequence(n, v, path, at)
	default:
		d.scalar(n, v, path, tag, at)
	}
}

// mapping decodes the entries of m into the fields of v of the same names.
func (d *decoder) mapping(m *ast.MappingNode, v reflect.Value, path string) {
	seen := map[string]place{}
	for _, entry := range m.Values {
		at, name := placeOf(entry.Key.GetToken()), keyName(entry.Key)
		full := join(path, name)
		if first, twice := seen[name]; twice {
			d.problem(at, full, fmt.Sprintf("given twice, first in line %d", first.line), "remove one of them")
			continue
		}
		seen[name] = at
		if _, merge := entry.Key.(*ast.MergeKeyNode); merge {
			d.problem(at, path, noIndirection, "write the values out")
			continue
		}
		field, ok := fieldOf(v.Type(), name)
		if !ok {
			d.stranger(entry.Value, v.Type(), path, name, at)
			continue
		}
		d.places[full] = at
		if _, struct_ := asMapping(entry.Value); !struct_ && !isNull(entry.Value) {
			d.places[full] = placeOf(entry.Value.GetToken())
		}
		d.value(entry.Value, v.FieldByIndex(field.Index), full, field.Tag, at)
	}
	d.required(v.Type(), path)
}

// required notes the fields of a mapping that must be there and are not.
func (d *decoder) required(t reflect.Type, path string) {
	for _, f := range fieldsOf(t) {
		if _, required := f.Tag.Lookup("required"); !required {
			continue
		}
		full := join(path, f.Name)
		if _, given := d.places[full]; !given {
			d.missing(path, full, "missing: Member must not be null", "write "+f.Name+":")
		}
	}
}

// missing notes a field that is not there, at the section that should have it.
// The document as a whole has no line to show.
func (d *decoder) missing(section, path, message, fix string) {
	p := d.describe(d.places[section], path, message, fix)
	if section == "" {
		p.Source = ""
	}
	d.problems = append(d.problems, p)
}

// sequence decodes a list of mappings.
func (d *decoder) sequence(n ast.Node, v reflect.Value, path string, at place) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.mismatch(n, path, "a list", "write each entry on a line that begins with a dash", at)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, entry := range seq.Values {
		full := fmt.Sprintf("%s[%d]", path, i)
		d.places[full] = placeOf(entry.GetToken())
		if m, ok := asMapping(entry); ok && len(m.Values) > 0 {
			d.places[full] = placeOf(m.Values[0].Key.GetToken())
		}
		d.value(entry, v.Index(i), full, "", d.places[full])
	}
}

// mismatch notes a node of the wrong kind.
func (d *decoder) mismatch(n ast.Node, path, want, fix string, at place) {
	if isNull(n) {
		d.problem(at, path, "has no value", "write one, or remove the key")
		return
	}
	d.problem(placeOf(n.GetToken()), path, "is "+kindOf(n)+", must be "+want, fix)
}

// scalar decodes a single value and holds it against the rules in tag.
func (d *decoder) scalar(n ast.Node, v reflect.Value, path string, tag reflect.StructTag, at place) {
	text, ok := d.text(n, v, path, at)
	if !ok {
		return
	}
	here := placeOf(n.GetToken())
	if w := setScalar(v, text); w != nil {
		d.problem(here, path, w.message, w.fix)
		return
	}
	if r, refused := refusedValues[indexes.ReplaceAllString(path, "")][text]; refused {
		d.problem(here, path, r.message, r.fix)
		return
	}
	if w := obey(v, tag, strings.HasPrefix(path, "Standpipe.")); w != nil {
		d.problem(here, path, w.message, w.fix)
	}
}

// text is a scalar as the file has it, with ${NAME} put in. It refuses scalars
// of a type that does not fit v, because YAML's own guesses (yes, 08, 1_000)
// surprise people.
func (d *decoder) text(n ast.Node, v reflect.Value, path string, at place) (string, bool) {
	want := wantedKind(v)
	text, isText := stringOf(n)
	switch {
	case isText && strings.Contains(text, "${"):
		return d.expand(text, path, placeOf(n.GetToken()))
	case isText && (want == "text" || want == "a value" || isPlain(n)):
		return text, true
	case isText:
		d.mismatch(n, path, want, "write it without quotes", at)
	case want == "text" && isLiteral(n):
		d.mismatch(n, path, want, "put it in quotes: "+strconv.Quote(n.GetToken().Value), at)
	case isLiteral(n):
		return n.GetToken().Value, true
	default:
		d.mismatch(n, path, want, "write a single value", at)
	}
	return "", false
}

// wantedKind names what fits v. Sizes, durations and starts judge their own text.
func wantedKind(v reflect.Value) string {
	if _, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return "a value"
	}
	switch v.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	}
	return "text"
}

// setScalar converts text into v.
func setScalar(v reflect.Value, text string) *wrong {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err.(*wrong) //nolint:errorlint // the three types of this package return nothing else
		}
		return nil
	}
	switch v.Kind() {
	case reflect.Int:
		n, w := wholeNumber(text)
		v.SetInt(int64(n))
		return w
	case reflect.Bool:
		if text != "true" && text != "false" {
			return &wrong{quote(text) + " is neither true nor false", "write " + boolMeant(text)}
		}
		v.SetBool(text == "true")
	default:
		v.SetString(text)
	}
	return nil
}

// wholeNumber reads a decimal number that cannot be misread: no leading zero, no
// underscore, no base, no fraction.
func wholeNumber(text string) (int, *wrong) {
	n, err := strconv.Atoi(text)
	if err == nil && strconv.Itoa(n) == text {
		return n, nil
	}
	if clean := strings.TrimLeft(strings.NewReplacer("_", "", ",", "", "+", "").Replace(text), "0"); clean != "" {
		if m, err := strconv.Atoi(clean); err == nil && m > 0 {
			return 0, &wrong{quote(text) + " is not a plain decimal number", "write " + strconv.Itoa(m)}
		}
	}
	return 0, &wrong{quote(text) + " is not a whole number", "write digits only"}
}

func boolMeant(text string) string {
	switch strings.ToLower(text) {
	case "yes", "on", "y", "true", "1":
		return "true"
	case "no", "off", "n", "false", "0":
		return "false"
	}
	return "true or false"
}

const noIndirection = "anchors, aliases, merges and tags are not read"

// indirection returns what to do about a node that stands for another one, or
// changes its type: refusing them keeps what is read equal to what is seen.
func indirection(n ast.Node) string {
	switch n := n.(type) {
	case *ast.AliasNode:
		return "write the value out"
	case *ast.AnchorNode:
		if n.Name != nil {
			return "remove &" + n.Name.GetToken().Value
		}
		return "remove it"
	case *ast.TagNode:
		return "remove " + n.GetToken().Value
	}
	return ""
}

func asMapping(n ast.Node) (*ast.MappingNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n, true
	case *ast.MappingValueNode:
		return ast.Mapping(n.GetToken(), false, n), true
	}
	return nil, false
}

func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return null || n == nil
}

// isLiteral reports a scalar that YAML takes for something else than text.
func isLiteral(n ast.Node) bool {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

func stringOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		if n.Value != nil {
			return n.Value.Value, true
		}
	}
	return "", false
}

// isPlain reports text without quotes, such as yes or 08.
func isPlain(n ast.Node) bool {
	t := n.GetToken().Type
	return t != token.SingleQuoteType && t != token.DoubleQuoteType
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.NullNode:
		return "nothing"
	}
	return "something else"
}

func keyName(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return key.GetToken().Value
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
