package vtl_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/standpipe/standpipe/gateway/jsondoc"
	"github.com/standpipe/standpipe/gateway/vtl"
)

// A sample is a template and what Velocity 1.7 made of it with variables().
type sample struct {
	Template string `json:"template"`
	Output   string `json:"output"`
	Error    string `json:"error"`
}

func samples(t testing.TB) (all []sample) {
	t.Helper()
	b, err := os.ReadFile("testdata/velocity-1.7.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil || len(all) < 100 {
		t.Fatalf("%d samples, %v", len(all), err)
	}
	return all
}

func document(t testing.TB, text string) any {
	t.Helper()
	v, _, err := jsondoc.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// variables are those the samples were rendered with.
func variables(t testing.TB) map[string]any {
	return map[string]any{
		"s": "text", "empty": "", "n": int64(3), "z": int64(0), "d": 2.5, "yes": true, "no": false, "ko": "한국어 😀",
		"list": document(t, `[1,"two",{"three":3}]`), "map": document(t, `{"a":1,"b":{"c":[1,2]},"d":"x"}`), "words": document(t, `["x","y","z"]`),
	}
}

// differs are the samples that we do not render as Velocity does.
var differs = map[string]string{
	// More than Velocity takes.
	"$s$":              "a lone dollar at the end is text, as it is everywhere else",
	"$s#":              "a lone # at the end is text, as it is everywhere else",
	"$":                "a lone dollar at the end is text, as it is everywhere else",
	"#":                "a lone # at the end is text, as it is everywhere else",
	"#set($x=5-3)$x":   "the difference of two numbers needs no spaces",
	"$s.substring($n)": "Velocity was given a Long, which finds no method of an int; an index is an index",
	"$map.entrySet()":  "entries print as maps",
	"$s.split('e')":    "Java prints an array's address",

	// Less: each is an error with a place, because as text it would be archived.
	"$s.nope()":          "a method that does not exist is printed as text",
	"#foo($s)":           "a directive that does not exist is printed as text",
	"#macro(m)x#end":     "macros are Velocity's, not API Gateway's",
	"#evaluate('$s')":    "evaluates what a caller may have sent",
	"#define($x)a#end$x": "rarely used; #set does it",
}

func TestTemplatesRenderAsVelocityDoes(t *testing.T) {
	for _, s := range samples(t) {
		got, err := render(t, s.Template)
		same := err == nil && s.Error == "" && got == s.Output || err != nil && s.Error != ""
		if reason, known := differs[s.Template]; known && reason != "" {
			if same {
				t.Errorf("%q is said to differ and does not", s.Template)
			}
			continue
		}
		if !same {
			t.Errorf("%q:\n got %q, %v\nwant %q, error %q", s.Template, got, err, s.Output, s.Error)
		}
		if e, placed := errors.AsType[*vtl.Error](err); err != nil && (!placed || e.Line < 1 || e.Column < 1) {
			t.Errorf("%q: an error without a place: %v", s.Template, err)
		}
	}
}

func render(t testing.TB, source string) (string, error) {
	t.Helper()
	tmpl, err := vtl.Parse(source)
	if err != nil {
		return "", err
	}
	return tmpl.Render(t.Context(), variables(t), vtl.Limits{})
}
