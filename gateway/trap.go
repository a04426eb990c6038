package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Severity says what a trap costs.
type Severity string

// The severities, worst first.
const (
	SeverityError   Severity = "error"   // records are lost or cannot be sent
	SeverityWarning Severity = "warning" // some records are, or a caller can do harm
	SeverityNote    Severity = "note"    // worth knowing
)

// A Finding is a trap that a valid API sets.
type Finding struct {
	Severity Severity `json:"severity"`
	Trap     string   `json:"trap"`
	Problem
}

// The traps, by the names of the documentation.
const (
	trapFailures200 = "failures-as-200"
	trapThrottling  = "throttling-not-429"
	trapMediaType   = "kinesis-content-type"
	trapRender      = "template-fails"
	trapBase64      = "data-not-base64"
	trapNewline     = "no-newline"
	trapCRLF        = "crlf"
	trapEmptyKey    = "empty-partition-key"
	trapLongKey     = "long-partition-key"
	trapInjection   = "injectable"
	trapDocuments   = "first-document-only"
	trapRandomKey   = "random-partition-key"
	trapPassthrough = "passthrough"
	trapStatus      = "undeclared-status"
	trapRole        = "no-credentials"
)

// Check looks for the known traps of such APIs. It does not read templates, it
// tries them: with no headers, with hostile ones, with two documents. Nothing
// is sent anywhere.
func (a *API) Check() []Finding {
	c := &checker{api: a}
	for _, route := range a.Routes {
		c.integration(route)
		for _, name := range sortedKeys(route.Integration.Templates) {
			p := &probe{route: route, template: route.Integration.Templates[name]}
			c.path = strings.TrimPrefix("paths."+route.Path+"."+strings.ToLower(route.Method), ".")
			c.template(p)
		}
	}
	slices.SortStableFunc(c.found, func(x, y Finding) int { return x.Line - y.Line })
	return c.found
}

type checker struct {
	api   *API
	path  string
	found []Finding
}

func (c *checker) add(s Severity, trap string, at place, message, fix string) {
	r := &reader{file: c.api.file, lines: c.api.lines}
	c.found = append(c.found, Finding{s, trap, r.describe(at, c.path, fix, message)})
}

// integration looks at what surrounds the templates.
func (c *checker) integration(route *Route) {
	in := route.Integration
	c.path = "paths." + route.Path + "." + strings.ToLower(route.Method)
	c.responses(in)
	if !slices.ContainsFunc(in.Parameters, func(p Parameter) bool {
		return strings.EqualFold(p.Name, "Content-Type") && p.Source == "'application/x-amz-json-1.1'"
	}) {
		c.add(SeverityError, trapMediaType, in.at, "Kinesis is called without its content type and answers 404",
			`add to requestParameters: integration.request.header.Content-Type: "'application/x-amz-json-1.1'"`)
	}
	if in.Passthrough == WhenNoMatch {
		c.add(SeverityWarning, trapPassthrough, in.at, "a body of another type, such as curl's without -H, goes to Kinesis as it is and is refused there",
			"write passthroughBehavior: never; the caller then gets a 415")
	}
	if in.Credentials == "" {
		c.add(SeverityWarning, trapRole, in.at, "no role is named: on AWS the integration may call nothing",
			"add credentials: with the ARN of a role that may kinesis:"+in.Action+" on the one stream")
	}
	for _, r := range in.Responses {
		if !slices.Contains(route.Statuses, r.Status) {
			c.add(SeverityWarning, trapStatus, r.at, "status "+strconv.Itoa(r.Status)+" is no response of the method; AWS refuses the import",
				`add "`+strconv.Itoa(r.Status)+`" to responses of the method`)
		}
	}
}

const throttleBody = `{"__type":"` + throttled + `","message":"Rate exceeded for shard"}`

// responses tries what a refusal of Kinesis becomes.
func (c *checker) responses(in *Integration) {
	seen := map[*Response]bool{}
	for _, status := range []int{400, 500} {
		r := in.response(status, Mapped)
		answered, at := 500, in.at
		if r != nil {
			answered, at = mapped(in, r, status), r.at
		}
		switch {
		case answered < 300 && !seen[r]:
			c.add(SeverityError, trapFailures200, at, "refusals of Kinesis are answered "+strconv.Itoa(answered)+": the caller cannot see that its record is lost",
				`add responses '4\d{2}': {statusCode: "400"} and '5\d{2}': {statusCode: "502"}`)
			seen[r] = true
		case status == 400 && answered >= 300 && answered != http.StatusTooManyRequests:
			c.add(SeverityNote, trapThrottling, at, "throttling is answered "+strconv.Itoa(answered)+", so a caller does not know that repeating helps",
				"set $context.responseOverride.status = 429 when __type contains ProvisionedThroughputExceeded")
		}
	}
}

// mapped is the status a throttled call gets.
func mapped(in *Integration, r *Response, status int) int {
	p := &probe{route: &Route{Integration: in}}
	x := p.exchange(nil, "")
	if t := r.template(""); t != nil {
		if _, err := x.render(t, &input{body: throttleBody}); err != nil {
			return 500
		}
	}
	answered, err := x.override(r.Status)
	if err != nil {
		return status
	}
	return answered
}

// A probe renders one template as often as it takes.
type probe struct {
	route    *Route
	template *Template
}

// usual are bodies to try until one makes a record: an object, a list, and the
// list in an object.
var usual = []string{`{"value":"30","type":"Tip 3"}`, `[{"value":"30","type":"Tip 3"}]`, `{"records":[{"value":"30","data":"30"}]}`}

// plain and hostile are values a caller may send.
const (
	plain   = "a-plain-value"
	hostile = `x","ExplicitHashKey":"0`
)

// template tries a request template.
func (c *checker) template(p *probe) {
	var first sent
	var body string
	var err error
	for _, body = range usual {
		if first, err = p.try(body, p.everyParam(plain)); err == nil {
			break
		}
	}
	at := p.template.at
	if err != nil {
		c.add(SeverityError, trapRender, at, "with an ordinary body the template makes no record: "+err.Error(), "try it: standpipe gateway render -c FILE -d BODY")
		return
	}
	switch {
	case !first.decoded:
		c.add(SeverityError, trapBase64, at, "Data is not base64", `write "Data": "$util.base64Encode($input.json('$'))"`)
	case strings.Contains(p.template.Text, "\r"):
		c.add(SeverityWarning, trapCRLF, at, "the template has CRLF line ends, which become part of what it appends to each record", "save it with LF line ends and paste it again")
	case !strings.HasSuffix(first.data, "\n"):
		c.add(SeverityWarning, trapNewline, at, "records do not end with a newline and run together in the object", `append one to what is encoded: #set($enter = "NEWLINE") and "$json$enter"`)
	}
	if two, err := p.try(body+"\n"+`{"second":true}`, p.everyParam(plain)); err == nil && !strings.Contains(two.data, "second") {
		c.add(SeverityWarning, trapDocuments, p.use("json", "path"), "only the first JSON document of a body is kept; of NDJSON all other lines are lost without an error",
			"send one document per request, or an array through PutRecords")
	}
	c.key(p, body, first)
	c.injection(p, body)
}

// key tries what becomes of the partition key.
func (c *checker) key(p *probe, body string, usually sent) {
	at := p.keyPlace()
	if none, err := p.try(body, nil); err == nil && none.key == "" {
		c.add(SeverityWarning, trapEmptyKey, at, "the partition key is empty when the request has no such header, as in the console's Test; Kinesis refuses the record",
			`write "PartitionKey": "$context.requestId"`)
	}
	if long, err := p.try(body, p.everyParam(strings.Repeat("x", 300))); err == nil && len(long.key) > 256 {
		c.add(SeverityWarning, trapLongKey, at, "a caller can make the partition key longer than 256 characters; Kinesis refuses the record",
			`write "PartitionKey": "$context.requestId"`)
	}
	other, err := p.try(body, p.everyParam(plain+"2"))
	if err == nil && other.key != usually.key && usually.key != "" && !strings.Contains(body, usually.key) {
		c.add(SeverityNote, trapRandomKey, at, "the key is another for each request: records of one user go to different shards and are not in order",
			"if order matters, key by a field: $util.escapeJavaScript($input.path('$.user_id'))")
	}
}

// injection tries values that end the text they stand in.
func (c *checker) injection(p *probe, body string) {
	for _, u := range p.template.parsed.Uses() {
		if u.Name != "input" || len(u.Path) == 0 || !u.HasArgument {
			continue
		}
		b, params := body, p.everyParam(plain)
		switch u.Path[0] {
		case "params":
			params[u.Argument] = hostile
		case "path", "json":
			var ok bool
			if b, ok = nest(u.Argument, hostile); !ok {
				continue
			}
		}
		s, err := p.try(b, params)
		if err != nil || s.explicit == "0" {
			c.add(SeverityWarning, trapInjection, p.template.place(u.Line, u.Column), "what the caller sends can end the text it stands in and add fields, such as ExplicitHashKey: all records to one shard",
				"wrap it: $util.escapeJavaScript($input."+u.Path[0]+"(…)), or use $context.requestId")
		}
	}
}

// nest makes a body with a value at a plain path such as $.user.id.
func nest(path, value string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "$.")
	if !ok || strings.ContainsAny(rest, "[]*()") {
		return "", false
	}
	var v any = value
	names := strings.Split(rest, ".")
	for _, name := range slices.Backward(names) {
		v = map[string]any{name: v}
	}
	b, err := json.Marshal(v)
	return string(b), err == nil
}

// everyParam gives each parameter the template names the same value.
func (p *probe) everyParam(value string) map[string]string {
	params := map[string]string{}
	for _, u := range p.template.parsed.Uses() {
		if u.Name == "input" && u.HasArgument && len(u.Path) > 0 && u.Path[0] == "params" {
			params[u.Argument] = value
		}
	}
	return params
}

// use is the place of the first call of one of the methods of $input.
func (p *probe) use(methods ...string) place {
	best := place{}
	for _, u := range p.template.parsed.Uses() {
		if u.Name == "input" && len(u.Path) > 0 && slices.Contains(methods, u.Path[0]) && (best.line == 0 || u.Line < best.line) {
			best = p.template.place(u.Line, u.Column)
		}
	}
	if best.line == 0 {
		return p.template.at
	}
	return best
}

// keyPlace is where the template writes the key.
func (p *probe) keyPlace() place {
	before, _, found := strings.Cut(p.template.Text, "PartitionKey")
	if !found {
		return p.template.at
	}
	line := strings.Count(before, "\n")
	return p.template.place(1+line, 1+len(before)-(strings.LastIndexByte(before, '\n')+1))
}

// sent is what a template makes of a request, in the words of Kinesis.
type sent struct {
	data, key, explicit string
	decoded             bool
}

// try renders a body with headers of these names. The error says why there is
// no record.
func (p *probe) try(body string, params map[string]string) (s sent, err error) {
	x := p.exchange(params, body)
	out, err := x.render(p.template, x.input([]byte(body)))
	if err != nil {
		return s, err
	}
	var call struct {
		record
		Records []record
	}
	if err := json.Unmarshal([]byte(out), &call); err != nil {
		return s, err
	}
	r := call.record
	if p.route.Integration.Action == "PutRecords" && len(call.Records) == 0 {
		return s, errNoRecords
	}
	if len(call.Records) > 0 {
		r = call.Records[0]
	}
	for to, from := range map[*string]*string{&s.data: r.Data, &s.key: r.PartitionKey, &s.explicit: r.ExplicitHashKey} {
		if from != nil {
			*to = *from
		}
	}
	if b, err := base64.StdEncoding.DecodeString(s.data); err == nil && r.Data != nil {
		s.data, s.decoded = string(b), true
	}
	return s, nil
}

// errNoRecords is of a template for PutRecord at PutRecords.
var errNoRecords = errors.New("PutRecords wants a list, Records, and there is none")

// exchange is one without a connection. A request in the console has no headers
// at all, not even the trace.
func (p *probe) exchange(params map[string]string, body string) *exchange {
	req := &http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/" + p.route.Path}, Header: http.Header{}, Host: "check", Proto: "HTTP/1.1",
		RemoteAddr: "127.0.0.1:1", ContentLength: int64(len(body)),
	}
	x := newExchange(req, "check", nil, time.Unix(0, 0))
	x.route, x.header = p.route, http.Header{}
	for name, v := range params {
		x.header.Set(name, v)
	}
	return x
}
