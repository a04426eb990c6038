package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"testing"
)

// The reference page is the fields' comments, defaults and rules, so it cannot
// say something else than the code does.
func TestReferenceIsCurrent(t *testing.T) {
	comments := fieldComments(t, "config.go", "standpipe.go")
	var b strings.Builder
	b.WriteString(referenceHead)
	for _, s := range sections() {
		if s.path != "" {
			fmt.Fprintf(&b, "\n## %s\n", s.path)
		} else {
			b.WriteString("\n## The document\n")
		}
		b.WriteString("\n| Field | Value | Default | Meaning |\n|---|---|---|---|\n")
		for _, f := range fieldsOf(s.kind) {
			comment := comments[s.kind.Name()+"."+f.Name]
			if comment == "" {
				t.Errorf("%s.%s has no comment", s.kind.Name(), f.Name)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, valueOf(f), defaultOf(s.path, f), comment)
		}
	}
	b.WriteString(refusalTables())
	golden(t, "reference.md", b.String())
}

const referenceHead = `# Configuration reference

One YAML document per delivery stream. Everything above ` + "`Standpipe`" + ` has Firehose's names, units,
defaults and limits (API version 2015-08-04). Unknown keys, keys given twice, anchors and a second
document are errors. ` + "`${NAME}`" + ` inside a value is replaced from the environment, ` + "`$${`" + ` is the
text ` + "`${`" + `; a variable that is not set is an error. Sizes are written with a binary unit (` + "`256MiB`" + `),
lengths of time with theirs (` + "`90s`" + `).

This page is made from the source: ` + "`go test ./config -update`" + `.
`

// fieldComments reads the comments of struct fields, by "Type.Field".
func fieldComments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if body, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range body.Fields.List {
					for _, id := range f.Names {
						text := strings.Join(strings.Fields(f.Doc.Text()), " ")
						comments[spec.Name.Name+"."+id.Name] = strings.ReplaceAll(text, "|", `\|`)
					}
				}
			}
			return false
		})
	}
	return comments
}

// valueOf says what may be written.
func valueOf(f reflect.StructField) string {
	rule := f.Tag.Get("rule")
	switch {
	case strings.Contains(rule, ".."):
		least, most, _ := strings.Cut(rule, "..")
		return least + " to " + most
	case rule != "":
		return "`" + strings.ReplaceAll(rule, "|", "`, `") + "`"
	case f.Tag.Get("length") != "":
		least, most, _ := strings.Cut(f.Tag.Get("length"), "..")
		return "text, " + least + " to " + most + " characters"
	}
	switch f.Type.Kind() {
	case reflect.Bool:
		return "`true`, `false`"
	case reflect.Slice:
		return "list"
	case reflect.Struct:
		if f.Type != reflect.TypeFor[Start]() {
			return "section"
		}
	}
	return "text"
}

// defaultOf says what holds when the field is absent.
func defaultOf(path string, f reflect.StructField) string {
	v := reflect.ValueOf(Default()).Elem()
	if path != "" {
		for name := range strings.SplitSeq(path, ".") {
			if strings.HasSuffix(name, "[]") {
				return ""
			}
			v = v.FieldByName(name)
		}
	}
	text, isScalar := scalarText(v.FieldByIndex(f.Index))
	if !isScalar || text == `""` {
		return ""
	}
	return "`" + strings.Trim(text, `"`) + "`"
}

// refusalTables lists what Firehose has and standpipe has not.
func refusalTables() string {
	var b strings.Builder
	b.WriteString("\n## Firehose fields that are refused\n\n| Field | Why | Instead |\n|---|---|---|\n")
	for _, key := range sortedKeys(refusedKeys) {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, refusedKeys[key].message, refusedKeys[key].fix)
	}
	for _, key := range sortedKeys(refusedValues) {
		for _, value := range sortedKeys(refusedValues[key]) {
			r := refusedValues[key][value]
			fmt.Fprintf(&b, "| `%s: %s` | %s | %s |\n", key, value, r.message, r.fix)
		}
	}
	for _, kind := range sortedKeys(refusedProcessors) {
		fmt.Fprintf(&b, "| processor `%s` | %s | remove the processor |\n", kind, refusedProcessors[kind])
	}
	b.WriteString("\n## Firehose fields without effect\n\nThey are accepted and named in a warning.\n\n| Field | Why |\n|---|---|\n")
	for _, key := range sortedKeys(unusedKeys) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", key, unusedKeys[key])
	}
	return b.String()
}
