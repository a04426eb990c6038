package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// Print writes the settings in force as a document that Parse reads back to the
// same settings, each line with where it comes from: "# line 12" or "# default".
// Text that is empty and sections without content are left out.
func (c *Config) Print(w io.Writer) error {
	p := printer{places: c.places}
	p.section(reflect.ValueOf(c).Elem(), "", "", "")
	_, err := io.WriteString(w, p.out.String())
	return err
}

// String is what Print writes.
func (c *Config) String() string {
	var b strings.Builder
	_ = c.Print(&b)
	return b.String()
}

type printer struct {
	out    strings.Builder
	places places
}

// section writes the fields of v. first replaces the indent of the first line:
// the dash of a list entry.
func (p *printer) section(v reflect.Value, path, first, indent string) {
	for _, f := range fieldsOf(v.Type()) {
		lead := indent
		if first != "" {
			lead, first = first, ""
		}
		p.field(v.FieldByIndex(f.Index), join(path, f.Name), lead, indent, f.Name)
	}
}

func (p *printer) field(v reflect.Value, path, lead, indent, name string) {
	switch text, isScalar := scalarText(v); {
	case isScalar && v.Kind() == reflect.String && text == `""`:
	case isScalar:
		fmt.Fprintf(&p.out, "%s%s: %s  # %s\n", lead, name, text, p.origin(path))
	case v.Kind() == reflect.Slice && v.Len() > 0:
		fmt.Fprintf(&p.out, "%s%s:\n", lead, name)
		for i := range v.Len() {
			p.section(v.Index(i), fmt.Sprintf("%s[%d]", path, i), indent+"  - ", indent+"    ")
		}
	case v.Kind() == reflect.Struct && hasContent(v):
		fmt.Fprintf(&p.out, "%s%s:\n", lead, name)
		p.section(v, path, "", indent+"  ")
	}
}

func (p *printer) origin(path string) string {
	if at, ok := p.places[path]; ok {
		return fmt.Sprintf("line %d", at.line)
	}
	return "default"
}

// hasContent reports whether section would write a line.
func hasContent(v reflect.Value) bool {
	for _, f := range fieldsOf(v.Type()) {
		switch text, isScalar := scalarText(v.FieldByIndex(f.Index)); {
		case isScalar && text != `""`:
			return true
		case !isScalar && f.Type.Kind() == reflect.Struct && hasContent(v.FieldByIndex(f.Index)):
			return true
		case !isScalar && f.Type.Kind() == reflect.Slice && v.FieldByIndex(f.Index).Len() > 0:
			return true
		}
	}
	return false
}

// plain is text that no YAML reader takes for anything but itself.
var plain = regexp.MustCompile(`^(\./|/|[A-Za-z])[A-Za-z0-9./_+:-]*[A-Za-z0-9/]$`)

// scalarText writes a value as YAML. Text that could be misread is quoted as in
// JSON, which is YAML.
func scalarText(v reflect.Value) (text string, isScalar bool) {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		b, _ := m.MarshalText() // the three types of this package never fail
		return string(b), true
	}
	switch v.Kind() {
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.String:
		s := strings.ReplaceAll(v.String(), "${", "$${")
		if plain.MatchString(s) && !strings.Contains(s, ": ") && !reserved[strings.ToLower(s)] {
			return s, true
		}
		return jsonQuote(s), true
	}
	return "", false
}

// reserved are the words that YAML 1.1 or 1.2 readers take for no text.
var reserved = map[string]bool{
	"true": true, "false": true, "yes": true, "no": true, "on": true, "off": true, "null": true,
}

// jsonQuote escapes what a double-quoted scalar has to.
func jsonQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f || r == '\ufeff' || r == 0x85 || r == 0x2028 || r == 0x2029:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
