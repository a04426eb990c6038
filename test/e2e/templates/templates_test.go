package templates_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/standpipe/standpipe/gateway"
	"github.com/standpipe/standpipe/gateway/jsondoc"
	"github.com/standpipe/standpipe/gateway/vtl"
	"github.com/standpipe/standpipe/test/e2e/templates"
)

// A sample is a template and what Velocity 1.7 makes of it.
type sample struct{ Template, Output, Error string }

func samples(t *testing.T) (all []sample) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "gateway", "vtl", "testdata", "velocity-1.7.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func ours(t *testing.T, source string) (string, error) {
	t.Helper()
	read := func(text string) any {
		v, _, err := jsondoc.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tmpl, err := vtl.Parse(source)
	if err != nil {
		return "", err
	}
	return tmpl.Render(t.Context(), map[string]any{
		"s": "text", "empty": "", "n": int64(3), "z": int64(0), "d": 2.5, "yes": true, "no": false, "ko": "한국어 😀",
		"list": read(`[1,"two",{"three":3}]`), "map": read(`{"a":1,"b":{"c":[1,2]},"d":"x"}`), "words": read(`["x","y","z"]`),
	}, vtl.Limits{})
}

// againstUs are the templates of which velocityjs and Velocity 1.7 make the
// same and we do not.
var againstUs = map[string]string{
	"#macro(m)x#end":     "we refuse macros: API Gateway has none",
	"#define($x)a#end$x": "we refuse #define: #set does it",
	"$s#":                "a lone # at the end is text, as it is everywhere else; both refuse it",
	"$s.nope()":          "we refuse a method that no text has; both print it, and it would be archived",
}

// Where velocityjs differs from us, Velocity itself, which API Gateway names as
// its language, is with us. velocityjs has JavaScript's values and methods (7/2
// is 3.5, 5.0 is 5, a text has no contains), takes "" and 0 for false, clears a
// variable that is set to nothing, and prints unknown directives as nothing.
func TestWhereVelocityjsDiffersVelocityIsWithUs(t *testing.T) {
	all := samples(t)
	requests := make([]templates.Request, len(all))
	for i, s := range all {
		requests[i] = templates.Request{Engine: "velocity", Template: s.Template}
	}
	agree := 0
	for i, theirs := range templates.Render(t, requests) {
		s := all[i]
		got, err := ours(t, s.Template)
		same := err == nil && theirs.Error == "" && got == theirs.Output || err != nil && theirs.Error != ""
		if same {
			agree++
			continue
		}
		withUs := err == nil && s.Error == "" && got == s.Output || err != nil && s.Error != ""
		theyDiffer := theirs.Output != s.Output || (theirs.Error == "") != (s.Error == "")
		if !withUs && !theyDiffer && againstUs[s.Template] == "" {
			t.Errorf("%q: ours %q %v, both others %q", s.Template, got, err, s.Output)
		}
	}
	t.Logf("velocityjs agrees in %d of %d templates", agree, len(all))
	if agree < 200 {
		t.Errorf("it agrees in %d templates only: this is no comparison", agree)
	}
}

// A mapping is a template of a method and a body.
type mapping struct {
	template, payload string
	// differs says why our output is another; empty where both are equal.
	differs string
}

var mappings = []mapping{
	{"$input.json('$')", `{"value":"30","type":"Tip 3"}`, ""},
	{"$input.json('$')", "{\n \"a\" : [ 1, 2 ],\n\t\"b\": null }", ""},
	{"$input.json('$.a')", `{"a":{"b":[1,{"c":"d"}]}}`, ""},
	{"$input.json('$.a.b[1].c')", `{"a":{"b":[1,{"c":"d"}]}}`, ""},
	{"$input.json('$.a.b[0]') $input.path('$.a.b[0]')", `{"a":{"b":[1,{"c":"d"}]}}`, ""},
	{"$input.path('$.name')", `{"name":"김"}`, ""},
	{"$input.path('$').name", `{"name":"kim"}`, ""},
	{"#set($r = $input.path('$'))$r.a.b", `{"a":{"b":"x"}}`, ""},
	{"#foreach($e in $input.path('$.l'))$e.n#if($foreach.hasNext),#end#end", `{"l":[{"n":1},{"n":2},{"n":3}]}`, ""},
	{"$input.params('q') $input.params('X-Key') ($input.params('none'))", `{}`, ""},
	{"$input.params().querystring.q $input.params().header.get('X-Key')", `{}`, ""},
	{"#foreach($k in $input.params().header.keySet())#if($k == 'X-Key')$k=$input.params().header.get($k)#end#end", `{}`, ""},
	{"$util.base64Encode($input.json('$'))", `{"a":"b"}`, ""},
	{"$util.base64Encode(\"한글\") $util.base64Decode('aGk=')", `{}`, ""},
	{"$util.urlEncode('a=b&c') $util.urlDecode('a%3Db')", `{}`, ""},
	{"$context.stage $context.httpMethod", `{}`, ""},
	{"#set ( $enter = \"\n\")\n#set($json = \"$input.json('$')$enter\")\n{\"Data\": \"$util.base64Encode(\"$json\")\"}", `{"value":"30","type":"Tip 3"}`, ""},
	{"#if($input.path('$.n') > 1)many#{else}one#end", `{"n":2}`, ""},
	{"$util.urlEncode('a b')", `{}`, "Java's URLEncoder, which API Gateway has, writes a plus for a space; JavaScript's writes %20"},
	{"$util.escapeJavaScript('a\"b')", `{}`, "commons-lang, which API Gateway has, escapes quotes; theirs leaves them"},
	{"$util.escapeJavaScript('a/b')", `{}`, "commons-lang, which API Gateway has, escapes the slash; theirs leaves it"},
	{"$input.json('$.none')", `{}`, "theirs prints what JavaScript has for nothing"},
	{"$input.json('$')", `[1.0,1e5,1.10]`, "json-smart keeps doubles doubles; JavaScript has one kind of number"},
	{"$input.json('$')", `{"a":"—"}`, "json-smart writes U+2000 to U+20FF as \\uXXXX"},
	{"$input.json('$')", `{value:30}`, "json-smart takes names without quotes; JavaScript's parser does not"},
	{"$input.path('$.l')", `{"l":[{"a":"b"}]}`, "Jayway's arrays print as JSON, measured; theirs print as Velocity's own lists"},
}

func document(t *testing.T, template string) *gateway.API {
	t.Helper()
	doc := map[string]any{
		"openapi": "3.0.1", "info": map[string]any{"title": "x"},
		"paths": map[string]any{"/v1": map[string]any{"post": map[string]any{"x-amazon-apigateway-integration": map[string]any{
			"type": "aws", "httpMethod": "POST", "uri": "arn:aws:apigateway:us-east-1:kinesis:action/PutRecord",
			"requestTemplates": map[string]any{"application/json": template},
		}}}},
	}
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	api, err := gateway.Parse("x", b)
	if err != nil {
		t.Fatalf("%q: %v", template, err)
	}
	return api
}

func TestMappingsAgreeWithAnIndependentEngineOrHaveAReason(t *testing.T) {
	requests := make([]templates.Request, len(mappings))
	for i, m := range mappings {
		requests[i] = templates.Request{Engine: "mapping", Template: m.template, Payload: m.payload}
	}
	for i, theirs := range templates.Render(t, requests) {
		m := mappings[i]
		r, err := document(t, m.template).Try(t.Context(), gateway.Trial{
			Method: "POST", Stage: "PROD", Target: "/v1?q=Q", Header: map[string]string{"X-Key": "k"}, Body: m.payload, Variables: map[string]string{"v": "sv"},
		})
		if err != nil {
			t.Errorf("%q: %v", m.template, err)
			continue
		}
		if same := theirs.Error == "" && theirs.Output == r.Body; same != (m.differs == "") {
			t.Errorf("%q of %s:\n  ours %q\ntheirs %q %s\nreason %s", m.template, m.payload, r.Body, theirs.Output, theirs.Error, m.differs)
		}
	}
}
