package gateway_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/standpipe/standpipe/gateway"
)

func traps(found []gateway.Finding) (names []string) {
	for _, f := range found {
		names = append(names, string(f.Severity)+" "+f.Trap)
	}
	slices.Sort(names)
	return names
}

func TestTheTutorialsTrapsAreNamedWithTheirLines(t *testing.T) {
	found := parse(t, tutorial(t)).Check()
	want := []string{"note random-partition-key", "warning empty-partition-key", "warning first-document-only", "warning injectable", "warning long-partition-key"}
	if got := traps(found); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	lines := strings.Split(tutorial(t), "\n")
	for _, f := range found {
		line := lines[f.Line-1]
		if f.Source != line || f.Column < 1 || f.Fix == "" || strings.HasSuffix(f.Trap, "partition-key") != strings.Contains(line, "PartitionKey") && f.Trap != "injectable" {
			t.Errorf("%s points at %q", f.Trap, line)
		}
	}
}

func TestTheConsolesTrapsAreErrors(t *testing.T) {
	got := traps(parse(t, console(t)).Check())
	if !slices.Contains(got, "error failures-as-200") {
		t.Errorf("got %q", got)
	}
}

func TestEachTrapIsFound(t *testing.T) {
	for trap, change := range map[string][2]string{
		"error kinesis-content-type": {"integration.request.header.Content-Type: \"'application/x-amz-json-1.1'\"", "integration.request.header.X-A: \"'b'\""},
		"error template-fails":       {`"Data": "$util`, `"Data" "$util`},
		"error data-not-base64":      {`$util.base64Encode("$json")`, `(text)`},
		"warning no-newline":         {`$json = "$input.json('$')$enter"`, `$json = "$input.json('$')"`},
		"warning passthrough":        {"passthroughBehavior: never", "passthroughBehavior: when_no_match"},
		"warning undeclared-status":  {`"429": {`, `"428": {`},
		"warning no-credentials":     {"credentials: arn:aws:iam::000000000000:role/apigatewayToKinesis", "timeoutInMillis: 1000"},
		"note throttling-not-429":    {"#set($context.responseOverride.status = 429)", ""},
	} {
		document := strings.Replace(tutorial(t), change[0], change[1], 1)
		if trap == "warning undeclared-status" {
			document = strings.Replace(document, `"502": {description: Kinesis failed; send it again}`, "", 1)
		}
		if trap == "warning no-credentials" {
			document = strings.Replace(document, "timeoutInMillis: 29000", "", 1)
		}
		if got := traps(parse(t, document).Check()); !slices.Contains(got, trap) {
			t.Errorf("%s is not among %q", trap, got)
		}
	}
}

// A file saved on Windows is the same file: YAML takes its line ends for newlines.
func TestAFileWithCRLFHasTheSamePlaces(t *testing.T) {
	windows := strings.ReplaceAll(tutorial(t), "\n", "\r\n")
	if got, want := parse(t, windows).Check(), parse(t, tutorial(t)).Check(); !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	wrong := strings.Replace(windows, `#set($json`, `#frob($json`, 1)
	if _, err := gateway.Parse("openapi.yaml", []byte(wrong)); err == nil || !strings.HasPrefix(err.Error(), "openapi.yaml:37:13: ") {
		t.Errorf("got %v", err)
	}
}

// Kinesis refuses each record of a template that was written for the other call.
func TestATemplateForTheOtherCallMakesNoRecord(t *testing.T) {
	document := strings.Replace(tutorial(t), "action/PutRecord", "action/PutRecords", 1)
	api := parse(t, document)
	const want = "with an ordinary body the template makes no record: PutRecords wants a list, Records, and there is none"
	if found := api.Check(); !slices.ContainsFunc(found, func(f gateway.Finding) bool { return f.Message == want && f.Severity == gateway.SeverityError }) {
		t.Errorf("found %+v", found)
	}
	got, err := api.Try(t.Context(), gateway.Trial{Method: "POST", Target: "/v1", Header: map[string]string{"Content-Type": "application/json"}, Body: "{}"})
	if err != nil || got.Problem != "PutRecords wants a list, Records, and there is none" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestASafeTemplateSetsNoTrap(t *testing.T) {
	document := strings.Replace(tutorial(t), "$input.params('X-Amzn-Trace-Id')", "$util.escapeJavaScript($input.path('$.user.id'))$context.requestId", 1)
	got := traps(parse(t, document).Check())
	want := []string{"note random-partition-key", "warning first-document-only"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	document = strings.Replace(tutorial(t), "$input.params('X-Amzn-Trace-Id')", "$input.path('$.user.id')", 1)
	if got := traps(parse(t, document).Check()); !slices.Contains(got, "warning injectable") {
		t.Errorf("a field of the body is not escaped: got %q", got)
	}
}

func TestWrongFilesAreRefusedWithTheirPlaces(t *testing.T) {
	for name, c := range map[string]struct{ old, with, want string }{
		"no YAML":       {"openapi: ", "openapi: [", "openapi.yaml:"},
		"swagger":       {`openapi: "3.0.1"`, `swagger: "2.0"`, "openapi.yaml:7:1: swagger: Swagger 2.0 is not supported; begin with openapi: \"3.0.1\""},
		"version":       {`"3.0.1"`, `"3.1.0"`, `openapi.yaml:7:10: openapi: version "3.1.0"; API Gateway imports 3.0`},
		"authorizer":    {"      summary: Put", "      security: []\n      summary: Put", "openapi.yaml:14:7: paths./v1.post.security: not supported by this gateway"},
		"proxy":         {"type: aws", "type: aws_proxy", `openapi.yaml:25:15: paths./v1.post.x-amazon-apigateway-integration.type: "aws_proxy" is not supported`},
		"uri":           {"kinesis:action/PutRecord", "dynamodb:action/PutItem", "openapi.yaml:27:14: paths./v1.post.x-amazon-apigateway-integration.uri:"},
		"cache":         {"timeoutInMillis: 29000", "cacheNamespace: x", "openapi.yaml:30:9: paths./v1.post.x-amazon-apigateway-integration.cacheNamespace: not supported"},
		"time-out":      {"29000", "30000", `"30000" is no time-out of API Gateway; write 50 to 29000`},
		"header":        {`"'application/x-amz-json-1.1'"`, "application/x-amz-json-1.1", `"application/x-amz-json-1.1" is no source of a value; write a static value in single quotes`},
		"pattern":       {`'4\d{2}'`, `'4('`, "not a regular expression"},
		"status":        {`statusCode: "400"`, `statusCode: "x"`, `"x" is no status of an answer`},
		"directive":     {`#set($json`, `#frob($json`, "openapi.yaml:37:13: paths./v1.post.x-amazon-apigateway-integration.requestTemplates.application/json: template: unknown directive #frob"},
		"util":          {"$util.base64Encode", "$util.base65Encode", "openapi.yaml:39:26: paths./v1.post.x-amazon-apigateway-integration.requestTemplates.application/json: template: $util.base65Encode is not supported"},
		"context":       {"$input.params('X-Amzn-Trace-Id')", "$context.nope", "template: $context.nope is not supported"},
		"filter":        {"$input.json('$')$enter", "$input.json('$[?(@.a)]')$enter", "filters such as [?(@.a)] are not supported"},
		"no route":      {"    post:\n", "    parameters:\n", "the API has no route"},
		"two documents": {"paths:\n", "---\npaths:\n", "not one OpenAPI document"},
		"twice":         {"  title: class", "  title: class\n  title: class", "openapi.yaml:10:3: info.title: given twice"},
		"path":          {"  /v1:", "  v1:", "not a resource path of API Gateway"},
	} {
		document := strings.Replace(tutorial(t), c.old, c.with, 1)
		if _, err := gateway.Parse("openapi.yaml", []byte(document)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", name, err, c.want)
		}
	}
}

// Kinesis counts as Java does: UTF-16 units, not bytes.
func TestATrialCountsTheCharactersOfAKey(t *testing.T) {
	api := parse(t, tutorial(t))
	for key, wrong := range map[string]bool{
		strings.Repeat("가", 256): false, strings.Repeat("가", 257): true, strings.Repeat("😀", 128): false, strings.Repeat("😀", 129): true,
	} {
		got, err := api.Try(t.Context(), gateway.Trial{
			Method: "POST", Target: "/v1", Body: "{}", Header: map[string]string{"X-Amzn-Trace-Id": key},
		})
		if err != nil || (got.Problem != "") != wrong {
			t.Errorf("%d bytes: %+v %v", len(key), got, err)
		}
	}
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add(tutorial(f))
	f.Add(rich)
	f.Add("a: &b\n *b : ? [")
	f.Fuzz(func(t *testing.T, document string) {
		api, err := gateway.Parse("x", []byte(document))
		if err == nil {
			api.Check()
		} else if _, ok := err.(gateway.Problems); !ok { //nolint:errorlint // is not wrapped
			t.Fatalf("%T", err)
		}
	})
}
