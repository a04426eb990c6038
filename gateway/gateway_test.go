package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/klauspost/compress/gzip"

	"github.com/standpipe/standpipe/gateway"
)

// console is the API as one clicks it together: everything is a 200.
func console(t testing.TB) string {
	t.Helper()
	api := tutorial(t)
	_, after, _ := strings.Cut(api, "        responses:\n          '2")
	return strings.Replace(api, "        responses:\n          '2"+after, "        responses:\n          default: {statusCode: \"200\"}\n", 1)
}

const throttle = `{"operation":"PutRecord","error":"ProvisionedThroughputExceededException","message":"Rate exceeded"}`

func TestARefusalOfKinesisIsNeverA200(t *testing.T) {
	for _, c := range []struct {
		name, fault string
		headers     []string
		status      int
		kind        string
	}{
		{"throttled", throttle, nil, 429, "ProvisionedThroughputExceededException"},
		{"limit", `{"operation":"PutRecord","error":"LimitExceededException","message":"no"}`, nil, 429, "LimitExceededException"},
		{"internal", `{"operation":"PutRecord","error":"InternalFailure"}`, nil, 502, "InternalFailure"},
		{"not found", `{"operation":"PutRecord","error":"ResourceNotFoundException","message":"no"}`, nil, 400, "ResourceNotFoundException"},
		{"key of 300 characters", "", []string{"X-Amzn-Trace-Id", strings.Repeat("x", 300)}, 400, "ValidationException"},
		{"empty key", "", []string{"X-Amzn-Trace-Id", `","PartitionKey":"`}, 400, "ValidationException"},
		{"broken JSON", "", []string{"X-Amzn-Trace-Id", `"`}, 400, "SerializationException"},
	} {
		for api, document := range map[string]string{"the file's": tutorial(t), "the console's": console(t)} {
			r := start(t, document, nil)
			if c.fault != "" {
				r.order("/admin/fault", c.fault)
			}
			a := r.post(`{}`, c.headers...)
			if a.status != c.status || !strings.HasSuffix(field(t, a.body, "__type"), c.kind) || len(r.records()) != 0 {
				t.Errorf("%s, %s: %d %s, want %d %s", c.name, api, a.status, a.body, c.status, c.kind)
			}
		}
	}
}

func TestAsInTutorialEverythingIsA200(t *testing.T) {
	for _, document := range []string{tutorial(t), console(t)} {
		r := start(t, document, func(c *gateway.Config) { c.Failures = gateway.AsInTutorial })
		r.order("/admin/fault", throttle)
		if a := r.post(`{}`); a.status != 200 || field(t, a.body, "__type") != "ProvisionedThroughputExceededException" {
			t.Errorf("%+v", a)
		}
	}
}

func TestWhatAPIGatewayAnswersItself(t *testing.T) {
	r := start(t, tutorial(t), nil)
	root := strings.TrimSuffix(r.url, "/PROD")
	type want struct {
		status     int
		body, kind string
	}
	check := func(name string, a answer, w want) {
		t.Helper()
		if a.status != w.status || a.body != w.body || a.header.Get("x-amzn-ErrorType") != w.kind || a.header.Get("Content-Type") != "application/json" || a.header.Get("x-amzn-RequestId") == "" {
			t.Errorf("%s: %d %s %v", name, a.status, a.body, a.header)
		}
	}
	missing := want{403, `{"message":"Missing Authentication Token"}`, "MissingAuthenticationTokenException"}
	check("another path", r.do("POST", "/v2", "{}"), missing)
	check("a longer path", r.do("POST", "/v1/x", "{}"), missing)
	check("another method", r.do("GET", "/v1", ""), missing)
	r.url = root
	check("no stage", r.do("POST", "/v1", "{}"), missing)
	check("half a stage", r.do("POST", "/PRODX/v1", "{}"), missing)
	r.url = root + "/PROD"
	check("a form", r.post("a=b", "Content-Type", "application/x-www-form-urlencoded"), want{415, `{"message":"Unsupported Media Type"}`, "UnsupportedMediaTypeException"})
	check("long headers", r.post("{}", "X-Long", strings.Repeat("x", 11000)), want{431, `{"message":"Request Header Fields Too Large"}`, "RequestHeaderFieldsTooLargeException"})
	check("a body of more than 10 MiB", r.post(`"`+strings.Repeat("x", gateway.BodyMax)+`"`), want{413, `{"message":"Request Too Long"}`, "RequestEntityTooLargeException"})
	if n := len(r.records()); n != 0 {
		t.Errorf("%d records", n)
	}
}

// A body of 10 MiB is a request to API Gateway and too much for a record.
func TestABodyOf10MiBIsKinesisToRefuse(t *testing.T) {
	r := start(t, tutorial(t), nil)
	a := r.post(`"` + strings.Repeat("x", gateway.BodyMax-2) + `"`)
	if a.status != 400 || field(t, a.body, "__type") != "ValidationException" {
		t.Errorf("%d %.200s", a.status, a.body)
	}
	if a := r.post(`"` + strings.Repeat("x", 1<<19) + `"`); a.status != 200 {
		t.Errorf("%d %.200s", a.status, a.body)
	}
}

// A body within the limit can take sixty times its bytes when it is read: one is
// more than all requests together may have.
func TestABodyOfAMillionObjectsIsNotRead(t *testing.T) {
	r := start(t, tutorial(t), nil)
	many := func(n int) string { return "[" + strings.Repeat("{},", n) + "1]" }
	if a := r.post(many(1 << 20)); a.status != 413 {
		t.Errorf("%d %.200s", a.status, a.body)
	}
	// Whatever fits into a record is read.
	if a := r.post(many(1<<20/3 - 100)); a.status != 200 {
		t.Errorf("%d %.200s", a.status, a.body)
	}
	if n := r.metric("standpipe_gateway_in_flight_bytes", ""); n != 0 {
		t.Errorf("%v bytes left", n)
	}
}

// Thirty clients announce 10 MiB each, are asked for them, and send nothing.
func TestAnAnnouncedBodyHoldsUpNobody(t *testing.T) {
	r := start(t, tutorial(t), nil)
	host, _, _ := strings.Cut(strings.TrimPrefix(r.url, "http://"), "/")
	for range 30 {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /PROD/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", gateway.BodyMax)
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil || !strings.Contains(line, " 100 ") {
			t.Fatalf("%q %v", line, err)
		}
	}
	if a := r.post(`{}`); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

func TestWhatDoesNotFitBesideOthersIsToldToWait(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	backend := &script{answer: func(n int, c gateway.Call) (gateway.Reply, error) {
		if n == 1 {
			close(entered)
			<-release
		}
		return stored(n, c)
	}}
	r := start(t, tutorial(t), func(c *gateway.Config) { c.Backend = backend })
	half := "[" + strings.Repeat("{},", 300_000) + "1]" // 135 MB when read
	first := make(chan answer, 1)
	go func() { first <- r.post(half) }()
	<-entered
	if a := r.post(half); a.status != 429 || a.body != `{"message":"Too Many Requests"}` {
		t.Errorf("%d %.200s", a.status, a.body)
	}
	if a := r.post("{}"); a.status != 200 {
		t.Errorf("%+v", a)
	}
	close(release)
	if a := <-first; a.status != 200 {
		t.Errorf("%d %.200s", a.status, a.body)
	}
	if a := r.post(half); a.status != 200 {
		t.Errorf("%d %.200s", a.status, a.body)
	}
}

func TestAContentTypeThatIsAbsentIsJSON(t *testing.T) {
	r := start(t, tutorial(t), nil)
	for _, media := range []string{"", "application/json; charset=utf-8", "Application/JSON"} {
		if a := r.post(`{}`, "Content-Type", media); a.status != 200 {
			t.Errorf("%q: %+v", media, a)
		}
	}
}

func TestAPassedBodyIsKinesisToRefuse(t *testing.T) {
	api := strings.Replace(tutorial(t), "passthroughBehavior: never", "passthroughBehavior: when_no_match", 1)
	r := start(t, api, nil)
	if a := r.post(`a=b`, "Content-Type", "application/x-www-form-urlencoded"); a.status != 400 || field(t, a.body, "__type") != "SerializationException" {
		t.Errorf("%+v", a)
	}
}

func TestASlowKinesisIsA504(t *testing.T) {
	api := strings.Replace(tutorial(t), "timeoutInMillis: 29000", "timeoutInMillis: 50", 1)
	r := start(t, api, nil)
	r.order("/admin/fault", `{"operation":"PutRecord","delay":"20s"}`)
	if a := r.post(`{}`); a.status != 504 || a.body != `{"message": "Endpoint request timed out"}` {
		t.Errorf("%+v", a)
	}
}

func TestALostConnectionIsA504(t *testing.T) {
	r := start(t, tutorial(t), nil)
	r.order("/admin/fault", `{"operation":"PutRecord","drop":"after"}`)
	if a := r.post(`{}`); a.status != 504 || a.body != `{"message": "Network error communicating with endpoint"}` {
		t.Errorf("%+v", a)
	}
	// Nothing was repeated.
	if n := len(r.records()); n != 1 {
		t.Errorf("%d records", n)
	}
}

// net/http takes these two headers for leave to send a request again.
func TestNoHeaderOfACallerMakesACallBeRepeated(t *testing.T) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		var calls atomic.Int64
		kinesis := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if calls.Add(1) > 1 { // stored; the answer is lost, on a connection that was used before
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(w, `{"SequenceNumber":"1","ShardId":"s"}`)
		}))
		transport := &http.Transport{}
		backend := before(kinesis.URL, transport)
		c := put("a")
		c.Header = http.Header{name: {"of the caller"}}
		if _, err := backend.Do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := backend.Do(t.Context(), c); err == nil || calls.Load() != 2 {
			t.Errorf("%s: error %v, %d calls for 2", name, err, calls.Load())
		}
		transport.CloseIdleConnections()
		kinesis.Close()
	}
}

func TestACompressedAnswerIsRead(t *testing.T) {
	const said = `{"SequenceNumber":"1","ShardId":"s"}`
	kinesis := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			_, _ = io.WriteString(w, said)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, said)
		_ = z.Close()
	}))
	defer kinesis.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := put("a")
	c.Header = http.Header{"Accept-Encoding": {"gzip"}}
	if r, err := before(kinesis.URL, transport).Do(t.Context(), c); err != nil || string(r.Body) != said {
		t.Errorf("%q %v", r.Body, err)
	}
}

// before is the backend before that endpoint.
func before(url string, transport *http.Transport) *gateway.Kinesis {
	return gateway.NewKinesis(awskinesis.New(awskinesis.Options{
		Region: "r", BaseEndpoint: &url, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}))
}

func TestAnEndlessTemplateIsA500(t *testing.T) {
	loop := "#foreach($a in [1..1000])#foreach($b in [1..1000])#foreach($c in [1..1000])#end#end#end"
	api := strings.Replace(tutorial(t), "{\n                \"Data\"", loop+"\n            {\n                \"Data\"", 1)
	r := start(t, api, nil)
	if a := r.post(`{}`); a.status != 500 || a.body != `{"message": "Internal server error"}` {
		t.Errorf("%+v", a)
	}
	if n := r.metric("standpipe_gateway_failures_total", "template"); n != 1 {
		t.Errorf("%v", n)
	}
}

func TestTwoDocumentsInABodyAreCounted(t *testing.T) {
	r := start(t, tutorial(t), nil)
	r.post("{\"a\":1}\n{\"b\":2}")
	r.post("{\"a\":1}\n")
	if n := r.metric("standpipe_gateway_dropped_documents_total", ""); n != 1 {
		t.Errorf("%v", n)
	}
}

const rich = `{
	"openapi": "3.0.1", "info": {"title": "x", "version": "1"},
	"paths": {
		"/u/{id}": {"post": {"responses": {"200": {"description": "x"}}, "x-amazon-apigateway-integration": {
			"type": "aws", "httpMethod": "POST", "uri": "arn:aws:apigateway:us-east-1:kinesis:action/PutRecord",
			"requestParameters": {"integration.request.header.Content-Type": "'application/x-amz-json-1.1'"},
			"requestTemplates": {"application/json": "#set($all = $input.params())#set($q = {})\n{\"StreamName\":\"$stageVariables.stream\",\"PartitionKey\":\"$util.escapeJavaScript($input.params('id')).replaceAll(\"\\\\'\",\"'\")\",\"Data\":\"$util.base64Encode(\"$context.httpMethod $context.resourcePath $context.stage $input.path('$.user.name') $input.json('$.user') $all.querystring.q#foreach($k in $all.header.keySet())#if($k == 'X-Mine') $all.header.get($k)#end#end $input.json('$.none') $util.urlEncode('a b') $util.parseJson('{x:[1]}').x[0]\")\"}"},
			"responses": {"default": {"statusCode": 201, "responseParameters": {"method.response.header.X-Shard": "integration.response.header.x-amzn-RequestId", "method.response.header.X-Static": "'s'"},
				"responseTemplates": {"application/json": "#set($context.responseOverride.header.X-Made = \"$context.integration.status\")shard $input.path('$.ShardId')"}}}}}},
		"/u/fixed": {"x-amazon-apigateway-any-method": {"responses": {}, "x-amazon-apigateway-integration": {
			"type": "AWS", "httpMethod": "POST", "uri": "arn:aws:apigateway:us-east-1:kinesis:action/PutRecords",
			"requestParameters": {"integration.request.header.Content-Type": "'application/x-amz-json-1.1'"},
			"requestTemplates": {"application/json": "{\"StreamName\":\"class-stream\",\"Records\":[#foreach($e in $input.path('$'))#set($t=$util.base64Encode(\"$e\"))\n{\"Data\":\"$t\",\"PartitionKey\":\"$foreach.index\"}#if($foreach.hasNext),#end#end]}"},
			"responses": {"default": {"statusCode": 200}}}}},
		"/{proxy+}": {"get": {"responses": {}, "x-amazon-apigateway-integration": {
			"type": "aws", "httpMethod": "POST", "uri": "arn:aws:apigateway:us-east-1:kinesis:action/PutRecord",
			"requestParameters": {"integration.request.header.Content-Type": "'application/x-amz-json-1.1'"},
			"requestTemplates": {"application/json": "{\"StreamName\":\"class-stream\",\"PartitionKey\":\"p\",\"Data\":\"$util.base64Encode($input.params('proxy'))\"}"},
			"responses": {"default": {"statusCode": 200}}}}}
	}}`

func withStream(c *gateway.Config) { c.Variables = map[string]string{"stream": stream} }

func TestTemplatesSeeTheRequestAndTheAnswer(t *testing.T) {
	r := start(t, rich, withStream)
	a := r.do("POST", "/u/it's%201?q=1&q=2", `{"user":{"name":"kim","n":[1,2.50]}}`, "x-mine", "m")
	if a.status != 201 || !strings.HasPrefix(a.body, "shard shardId-") || a.header.Get("X-Shard") == "" || a.header.Get("X-Static") != "s" || a.header.Get("X-Made") != "200" {
		t.Fatalf("%+v", a)
	}
	rec := r.records()[0]
	want := `POST /u/{id} PROD kim {"name":"kim","n":[1,2.5]} 2 m "" a+b 1`
	if *rec.PartitionKey != "it's 1" || string(rec.Data) != want {
		t.Errorf("key %s\n got %s\nwant %s", *rec.PartitionKey, rec.Data, want)
	}
}

func TestAFixedPathWinsOverAParameterOverAGreedyOne(t *testing.T) {
	r := start(t, rich, withStream)
	if a := r.do("POST", "/u/fixed", `[1,{"a":"b"}]`); a.status != 200 || !strings.Contains(a.body, `"FailedRecordCount":0`) {
		t.Fatalf("%+v", a)
	}
	if a := r.do("GET", "/u/x/y", ""); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	got := map[string]bool{}
	for _, rec := range r.records() {
		got[string(rec.Data)] = true
	}
	if len(got) != 3 || !got["1"] || !got["{a=b}"] || !got["u/x/y"] {
		t.Errorf("%v", got)
	}
}

func TestPutRecordsWithAFailedEntryIsNoSuccess(t *testing.T) {
	for code, status := range map[string]int{"": 429, "InternalFailure": 502} {
		r := start(t, rich, withStream)
		r.order("/admin/fault", fmt.Sprintf(`{"operation":"PutRecords","records":[1],"code":%q}`, code))
		a := r.do("POST", "/u/fixed", `[1,2,3]`)
		if a.status != status || !strings.Contains(a.body, `"FailedRecordCount":1`) || len(r.records()) != 2 {
			t.Errorf("%q: %+v", code, a)
		}
		if n := r.metric("standpipe_gateway_corrected_total", ""); n != 1 {
			t.Errorf("%v corrected", n)
		}
	}
}

// Whatever answers in Kinesis's place has stored nothing.
func TestASuccessThatNamesNoRecordIsNone(t *testing.T) {
	for path, bodies := range map[string][]string{
		"/u/x":     {``, `{}`, `<html>welcome</html>`, `{"ErrorCode":"x"}`},
		"/u/fixed": {``, `{}`, `{"FailedRecordCount":0,"Records":[{}]}`, `{"FailedRecordCount":0,"Records":[{"ErrorCode":"InternalFailure"}]}`},
	} {
		for _, body := range bodies {
			backend := &script{answer: func(int, gateway.Call) (gateway.Reply, error) {
				return gateway.Reply{Status: 200, Body: []byte(body)}, nil
			}}
			r := start(t, rich, func(c *gateway.Config) { withStream(c); c.Backend = backend })
			if a := r.do("POST", path, `[{"user":{}}]`); a.status != 502 {
				t.Errorf("%s: %q: %+v", path, body, a)
			}
		}
	}
}

func TestAStageVariableThatIsMissingIsToldAtTheStart(t *testing.T) {
	_, err := gateway.New(gateway.Config{API: parse(t, rich), Backend: gateway.NewBatcher(nil, 1, nil)})
	if err == nil || !strings.Contains(err.Error(), "stage variable stream") {
		t.Errorf("%v", err)
	}
}

func TestTheExecutionLogHasAPIGatewaysLinesInItsOrder(t *testing.T) {
	order := []string{
		"Starting execution for request: ", "HTTP Method: POST, Resource Path: /v1", "Method request path: {}", "Method request query string: {}",
		"Method request headers: {", `Method request body before transformations: {"secret":"�[2J"}\n`, "Endpoint request URI: https://kinesis.ap-northeast-2.amazonaws.com/?Action=PutRecord",
		"Endpoint request headers: {Content-Type=application/x-amz-json-1.1}", "Endpoint request body after transformations: ", "Sending request to https://kinesis.",
		"Received response. Status: 200, Integration latency: ", "Endpoint response headers: {", `Endpoint response body before transformations: {"ShardId"`,
		`Method response body after transformations: {"ShardId"`, "Method response headers: {", "Successfully completed execution", "Method completed with status: 200",
	}
	short := []int{0, 1, 9, 10, 15, 16}
	for trace, want := range map[bool][]string{true: order, false: pick(order, short)} {
		var log, access bytes.Buffer
		r := start(t, tutorial(t), func(c *gateway.Config) {
			c.Execution, c.Level, c.DataTrace, c.Access = &log, gateway.LevelInfo, trace, &access
		})
		a := r.post("{\"secret\":\"\x1b[2J\"}\n", "Authorization", "Bearer hidden")
		r.http.CloseIdleConnections()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != len(want) {
			t.Fatalf("trace %v: %d lines:\n%s", trace, len(lines), log.String())
		}
		for i, line := range lines {
			if _, text, _ := strings.Cut(line, " ("+a.header.Get("x-amzn-RequestId")+") "); !strings.HasPrefix(text, want[i]) {
				t.Errorf("line %d is %q, want %q", i, line, want[i])
			}
		}
		if strings.Contains(log.String(), "hidden") || strings.Contains(log.String(), "\x1b") || !trace && strings.Contains(log.String(), "secret") {
			t.Errorf("the log tells too much:\n%s", log.String())
		}
		if !strings.HasPrefix(access.String(), `{"requestId":"`+a.header.Get("x-amzn-RequestId")) || !strings.Contains(access.String(), `"status":"200"`) || !strings.Contains(access.String(), `"ip":"127.0.0.1"`) {
			t.Errorf("access log %s", access.String())
		}
	}
}

func pick(all []string, which []int) (some []string) {
	for _, i := range which {
		some = append(some, all[i])
	}
	return some
}

func TestAccessFormatsAreChecked(t *testing.T) {
	for line, want := range map[string]string{
		"$context.status": "needs $context.requestId", "$context.requestId $context.nope": "$context.nope is not a variable", "$context.requestId $context.identity.sourceIp": "",
	} {
		_, err := gateway.ParseAccessFormat(line)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestMetricsCountWhatHappens(t *testing.T) {
	r := start(t, tutorial(t), nil)
	r.post("{}")
	r.do(http.MethodGet, "/nope", "")
	r.order("/admin/fault", throttle)
	r.post("{}")
	r.http.CloseIdleConnections()
	for label, want := range map[string]float64{"200": 1, "403": 1, "429": 1} {
		if n := r.metric("standpipe_gateway_requests_total", label); n != want {
			t.Errorf("%s: %v", label, n)
		}
	}
	if n := r.metric("standpipe_gateway_integration_duration_seconds", ""); n != 2 {
		t.Errorf("%v calls", n)
	}
	if n := r.metric("standpipe_gateway_in_flight_bytes", ""); n != 0 {
		t.Errorf("%v bytes left", n)
	}
}
