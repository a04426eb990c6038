package safeyaml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/standpipe/standpipe/internal/safeyaml"
)

func TestNestingIsBoundedBeforeTheParserSeesIt(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		ok   bool
	}{
		"brackets within the levels": {strings.Repeat("[", 8) + strings.Repeat("]", 8), true},
		"brackets":                   {strings.Repeat("[", 9) + strings.Repeat("]", 9), false},
		"braces":                     {strings.Repeat("{a: ", 9) + "b" + strings.Repeat("}", 9), false},
		"a thousand dashes":          {strings.Repeat("- ", 1000) + "a", false},
		"one dash on each line":      {strings.Repeat("- a\n", 1000), true},
		"names given twice":          {"a: 1\na: 2\n", true},
	} {
		file, err := safeyaml.Parse(test.text, 8)
		if (err == nil) != test.ok || (file == nil) == test.ok {
			t.Errorf("%s: %v", name, err)
		}
		if _, placed := errors.AsType[yaml.Error](err); !test.ok && !placed {
			t.Errorf("%s: the error has no place: %v", name, err)
		}
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	for _, seed := range []string{"", "a: b", "- [a, {b: c}]", "&a *a", "? ", "|\n x", "%YAML", "{{", "a: !!binary x", "\t", "- - - -"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := safeyaml.Parse(text, 16)
		if err == nil && file == nil {
			t.Error("neither a file nor an error")
		}
		if e, ok := errors.AsType[yaml.Error](err); ok {
			if line, column := safeyaml.Place(e.GetToken()); line < 1 || column < 1 {
				t.Errorf("place %d:%d", line, column)
			}
		}
	})
}
