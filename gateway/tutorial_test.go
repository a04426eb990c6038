package gateway_test

import (
	"encoding/base64"
	"regexp"
	"strings"
	"testing"
)

// outputs is the table of what the tutorial's template makes of a body: the
// Data of the record, without the newline that ends each. It was measured with
// Velocity 1.7, Jayway JsonPath 2.0 and json-smart 2.2.
var outputs = []struct{ body, data string }{
	{`{"value":"30","type":"Tip 3"}`, `{"value":"30","type":"Tip 3"}`},
	{"{\n  \"value\" : \"3 0\",\r\n\t\"type\": [ 1, 2 ]\n}", `{"value":"3 0","type":[1,2]}`},
	{`{"b":1,"a":2,"b":3}`, `{"b":3,"a":2}`},
	{`[1,2.0,1.10,1e5,1E400,123456789012345678901234567890]`, `[1,2.0,1.1,100000.0,null,123456789012345678901234567890]`},
	{`{"t":"한국어 😀 — ’ € é /"}`, `{"t":"한국어 😀 \u2014 \u2019 \u20AC é /"}`},
	{"{\"c\":\"\u007f\u009f\u00a0\"}", `{"c":"\u007F\u009F` + "\u00a0" + `"}`},
	{`{value:30,'t':'x'}`, `{"value":30,"t":"x"}`},
	{`hello`, `"hello"`},
	{"{\"a\":1}\n{\"b\":2}", `{"a":1}`},
	{``, `{}`},
	{`{"vtl":"$input.body #set($x = 1) #end"}`, `{"vtl":"$input.body #set($x = 1) #end"}`},
}

func TestTheTutorialsTemplateGivesWhatAPIGatewayGives(t *testing.T) {
	for _, o := range outputs {
		r := start(t, tutorial(t), nil)
		a := r.post(o.body)
		if a.status != 200 {
			t.Errorf("%q: %d %s", o.body, a.status, a.body)
			continue
		}
		records := r.records()
		if len(records) != 1 || string(records[0].Data) != o.data+"\n" {
			t.Errorf("%q:\n got %d records, the first %q\nwant %q", o.body, len(records), records[0].Data, o.data+"\n")
		}
	}
}

func TestBodiesWithoutADocumentFailBeforeKinesis(t *testing.T) {
	r := start(t, tutorial(t), nil)
	for body, want := range map[string]string{
		`{"a":`: `{"message":"Could not parse request body into json: unexpected end of the text at position 5"}`,
		`null`:  `{"message":"Could not parse request body into json: null is no document"}`,
	} {
		if a := r.post(body); a.status != 400 || a.body != want || a.header.Get("x-amzn-ErrorType") != "BadRequestException" {
			t.Errorf("%q: %d %s %v", body, a.status, a.body, a.header)
		}
	}
	if n := r.metric("standpipe_gateway_failures_total", "body_not_json"); n != 2 || len(r.records()) != 0 {
		t.Errorf("%v failures, records %v", n, r.records())
	}
}

// The Data of the tutorial's first line, as its author saw it.
func TestDataIsBase64AsInTheTutorial(t *testing.T) {
	r := start(t, tutorial(t), nil)
	r.post(`{"value":"30","type":"Tip 3"}`)
	if got := base64.StdEncoding.EncodeToString(r.records()[0].Data); got != "eyJ2YWx1ZSI6IjMwIiwidHlwZSI6IlRpcCAzIn0K" {
		t.Errorf("got %s", got)
	}
}

func TestATemplateWithCRLFAppendsCRLF(t *testing.T) {
	// As a quoted text, for YAML turns the line ends of a block into newlines.
	api := strings.Replace(tutorial(t), `          application/json: |
            #set ( $enter = "
            ")
            #set($json = "$input.json('$')$enter")
            {
                "Data": "$util.base64Encode("$json")",
                "PartitionKey": "$input.params('X-Amzn-Trace-Id')",
                "StreamName": "class-stream"
            }
`, `          application/json: "#set ( $enter = \"\r\n\")\r\n#set($json = \"$input.json('$')$enter\")\r\n{\r\n\"Data\": \"$util.base64Encode(\"$json\")\",\r\n\"PartitionKey\": \"k\",\r\n\"StreamName\": \"class-stream\"\r\n}"
`, 1)
	r := start(t, api, nil)
	if a := r.post(`{}`); a.status != 200 {
		t.Fatal(a)
	}
	if got := base64.StdEncoding.EncodeToString(r.records()[0].Data); got != "e30NCg==" {
		t.Errorf("got %s", got)
	}
}

var traceRoot = regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`)

func TestASuccessLooksLikeAPIGateways(t *testing.T) {
	r := start(t, tutorial(t), nil)
	a := r.post(`{"value":"30","type":"Tip 3"}`)
	if a.status != 200 || field(t, a.body, "ShardId") == "" || field(t, a.body, "SequenceNumber") == "" || strings.Contains(a.body, "EncryptionType") {
		t.Errorf("%d %s", a.status, a.body)
	}
	for name, want := range map[string]string{
		"Content-Type": `^application/json$`, "x-amzn-RequestId": `^[0-9a-f-]{36}$`, "x-amz-apigw-id": `^[A-Za-z0-9+/]{15}=$`, "X-Amzn-Trace-Id": traceRoot.String(),
	} {
		if got := a.header.Get(name); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTheTraceHeaderIsMadeWhenAbsentAndKeptWhenThere(t *testing.T) {
	r := start(t, tutorial(t), nil)
	made := r.post(`{}`)
	given := r.post(`{}`, "X-Amzn-Trace-Id", "Root=1-mine")
	override := r.do("POST", "/v1?X-Amzn-Trace-Id=from-the-query", `{}`, "X-Amzn-Trace-Id", "Root=1-other")
	keys := map[string]bool{}
	for _, rec := range r.records() {
		keys[*rec.PartitionKey] = true
	}
	if made.header.Get("X-Amzn-Trace-Id") == "" || !keys[made.header.Get("X-Amzn-Trace-Id")] || !keys["Root=1-mine"] || !keys["from-the-query"] || len(keys) != 3 {
		t.Errorf("keys %v, answers %v %v %v", keys, made, given, override)
	}
}

// The trap of the template: the header is not escaped.
func TestTheTutorialsHeaderCanBeInjected(t *testing.T) {
	r := start(t, tutorial(t), nil)
	for range 5 {
		if a := r.post(`{}`, "X-Amzn-Trace-Id", `x","ExplicitHashKey":"0`); a.status != 200 || field(t, a.body, "ShardId") != "shardId-000000000000" {
			t.Errorf("%+v", a)
		}
	}
}
