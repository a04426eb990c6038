package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe/gateway/jsondoc"
	"github.com/standpipe/standpipe/gateway/vtl"
)

// A fault is an answer that API Gateway gives itself.
type fault struct {
	status  int
	kind    string // the x-amzn-ErrorType
	message string
	reason  string // for the metric and the log
	detail  error  // for the log, may be nil
}

var (
	noRoute       = fault{403, "MissingAuthenticationTokenException", "Missing Authentication Token", failedRoute, nil}
	headersTooBig = fault{431, "RequestHeaderFieldsTooLargeException", "Request Header Fields Too Large", failedHeaders, nil}
	bodyTooBig    = fault{413, "RequestEntityTooLargeException", "Request Too Long", failedBody, nil}
	tooBusy       = fault{429, "TooManyRequestsException", "Too Many Requests", failedBusy, nil}
	wrongType     = fault{415, "UnsupportedMediaTypeException", "Unsupported Media Type", failedMediaType, nil}
	timedOut      = fault{504, "InternalServerErrorException", "Endpoint request timed out", failedTimeout, nil}
	noNetwork     = fault{504, "InternalServerErrorException", "Network error communicating with endpoint", failedNetwork, nil}
	internal      = fault{500, "InternalServerErrorException", "Internal server error", failedTemplate, nil}
	noMapping     = fault{500, "InternalServerErrorException", "Internal server error", failedMapping, nil}
)

// because is the fault with what the operator should read.
func (f fault) because(err error) *fault {
	f.detail = err
	return &f
}

// body is in API Gateway's writing, which puts a space into the messages of 5xx.
func (f fault) body() []byte {
	message, err := json.Marshal(f.message)
	if err != nil {
		message = []byte(`""`)
	}
	if f.status >= 500 {
		return []byte(`{"message": ` + string(message) + `}`)
	}
	return []byte(`{"message":` + string(message) + `}`)
}

// An answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	x := newExchange(req, g.cfg.Stage, g.cfg.Variables, time.Now())
	if g.execution != nil {
		x.log = &executionLog{id: x.id, level: g.cfg.Level, trace: g.cfg.DataTrace, now: time.Now}
	}
	a, f := g.exchange(w, x)
	if f != nil {
		a = g.refuse(x, f)
	}
	if a == nil { // nobody is there to hear one
		g.finish(x)
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	for name, values := range a.header {
		h[name] = values
	}
	h.Set("x-amzn-RequestId", x.id)
	h.Set("x-amz-apigw-id", x.extendedID)
	h.Set(traceHeader, x.header.Get(traceHeader))
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	x.status, x.length = a.status, len(a.body)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that is gone has asked for no answer
	g.finish(x)
}

// refuse turns a fault into an answer and tells the logs.
func (g *Gateway) refuse(x *exchange, f *fault) *answer {
	x.failure = f.reason
	fields := []zap.Field{zap.String("reason", f.reason), zap.Int("status", f.status), zap.String("requestId", x.id)}
	if f.detail != nil {
		fields = append(fields, zap.Error(f.detail))
	}
	if x.route != nil {
		fields = append(fields, zap.String("route", x.route.Method+" "+x.route.Path))
	}
	g.log.Warn("request failed", fields...)
	if f.status == 0 {
		return nil
	}
	e := x.section("error")
	e.Put("message", f.message)
	e.Put("messageString", strconv.Quote(f.message))
	return &answer{f.status, http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {f.kind}}, f.body()}
}

// exchange takes a request through all its states.
func (g *Gateway) exchange(w http.ResponseWriter, x *exchange) (*answer, *fault) {
	if headerBytes(x.request) > headerMax {
		return nil, headersTooBig.because(nil)
	}
	path, inStage := strings.CutPrefix(x.request.URL.Path, "/"+g.cfg.Stage)
	if inStage && (path == "" || path[0] == '/') {
		x.route, x.params = g.cfg.API.match(x.request.Method, path)
	}
	if x.route == nil {
		return nil, noRoute.because(nil)
	}
	x.context.Put("resourcePath", x.route.Path)
	room := &room{g: g, from: http.MaxBytesReader(w, x.request.Body, BodyMax)}
	if !room.take(smallBody) {
		return nil, tooBusy.because(nil)
	}
	defer room.leave()
	body, f := room.body()
	if f != nil {
		return nil, f
	}
	read := footprint(body)
	if read > inFlightMax {
		return nil, bodyTooBig.because(nil)
	}
	if !room.take(read) {
		return nil, tooBusy.because(nil)
	}
	x.begin(body)
	call, f := g.transform(x, body)
	if f != nil {
		return nil, f
	}
	reply, f := g.send(x, call)
	if f != nil {
		return nil, f
	}
	return g.respond(x, reply)
}

// headerBytes counts as API Gateway does: the request line and all headers.
func headerBytes(req *http.Request) int {
	n := len(req.Method) + len(req.RequestURI) + len(req.Proto) + len("Host: ") + len(req.Host)
	for name, values := range req.Header {
		for _, v := range values {
			n += len(name) + len(v) + len(": \r\n")
		}
	}
	return n
}

// A room is what one request has of the memory for all. It grows with what came
// of the body, not with what was announced: a client that sends nothing holds
// nothing.
type room struct {
	g     *Gateway
	from  io.Reader
	taken int64
}

func (r *room) take(n int64) bool {
	ok := r.g.reserve(n)
	if ok {
		r.taken += n
	}
	return ok
}

func (r *room) leave() { r.g.release(r.taken) }

var errFull = errors.New("there is no room for the body")

// Read implements io.Reader.
func (r *room) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if !r.take(int64(n)) {
		return 0, errFull
	}
	return n, err
}

func (r *room) body() ([]byte, *fault) {
	body, err := io.ReadAll(r)
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		return nil, bodyTooBig.because(nil)
	case errors.Is(err, errFull):
		return nil, tooBusy.because(nil)
	case err != nil:
		return nil, &fault{reason: failedClient, detail: err}
	}
	return body, nil
}

// footprint is about what a body takes once it is read as JSON, beyond its own
// bytes: sixty times those when it is all small objects.
func footprint(body []byte) int64 {
	const object, list, item = 400, 100, 50
	n := object*bytes.Count(body, []byte{'{'}) + list*bytes.Count(body, []byte{'['}) + item*bytes.Count(body, []byte{','})
	return int64(n)
}

// begin writes the first lines of the execution log.
func (x *exchange) begin(body []byte) {
	x.log.info("Starting execution for request: %s", x.id)
	x.log.info("HTTP Method: %s, Resource Path: %s", x.request.Method, x.route.Path)
	x.log.data("Method request path: ", single(x.params))
	x.log.data("Method request query string: ", pairs(x.query))
	x.log.data("Method request headers: ", pairs(x.header))
	x.log.data("Method request body before transformations: ", string(body))
}

// transform makes the call to Kinesis.
func (g *Gateway) transform(x *exchange, body []byte) (Call, *fault) {
	in := x.route.Integration
	call := Call{Action: in.Action, Region: in.Region, Header: http.Header{}, Body: body}
	t, f := in.template(x.header.Get("Content-Type"))
	if f != nil {
		x.log.failed("Execution failed due to configuration error: Unsupported Media Type")
		return call, f
	}
	if t != nil {
		source := x.input(body)
		out, err := x.render(t, source)
		if err != nil {
			return call, x.badTemplate(t, err)
		}
		if source.rest != "" {
			g.metrics.extra.Inc()
			g.log.Warn("only the first JSON document of a body is used", zap.String("requestId", x.id), zap.String("route", x.route.Path), zap.Int("droppedBytes", len(source.rest)))
		}
		call.Body = []byte(out)
	}
	for _, p := range in.Parameters {
		if v := x.source(p.Source, nil); v != "" {
			call.Header.Set(p.Name, v)
		}
	}
	overrides, _ := x.section("requestOverride").Get("header")
	setHeaders(call.Header, overrides)
	if call.Header.Get("Content-Type") == "" {
		call.Header.Set("Content-Type", "application/json")
	}
	return call, nil
}

// template is the one for a media type, or nil when the body passes as it is.
func (in *Integration) template(contentType string) (*Template, *fault) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(strings.ToLower(contentType), ";")
	}
	if contentType == "" {
		media = "application/json"
	}
	if t, ok := in.Templates[strings.TrimSpace(media)]; ok {
		return t, nil
	}
	if in.Passthrough == Never || in.Passthrough == WhenNoTemplates && len(in.Templates) > 0 {
		return nil, wrongType.because(nil)
	}
	return nil, nil
}

// renderMax bounds the time of one template.
const renderMax = 5 * time.Second

// render renders a template for an exchange.
func (x *exchange) render(t *Template, source *input) (string, error) {
	// A client that leaves changes nothing: what it sent is carried out.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.request.Context()), renderMax)
	defer cancel()
	return t.parsed.Render(ctx, map[string]any{
		"input": source, "util": util{}, "context": x.context, "stageVariables": x.variables,
	}, vtl.Limits{})
}

// badTemplate says whose fault it is: the body's or the template's.
func (x *exchange) badTemplate(t *Template, err error) *fault {
	if b, ok := errors.AsType[*bodyError](err); ok {
		x.log.failed("Execution failed: %s", b)
		return &fault{http.StatusBadRequest, "BadRequestException", b.Error(), failedJSON, b}
	}
	x.log.failed("Execution failed due to configuration error: Unable to transform request")
	if e, ok := errors.AsType[*vtl.Error](err); ok {
		at := t.place(e.Line, e.Column)
		err = fmt.Errorf("%s:%d:%d: template: %s", t.file, at.line, at.column, e.Message)
	}
	return internal.because(err)
}

func setHeaders(to http.Header, overrides any) {
	m, ok := overrides.(*jsondoc.Map)
	if !ok {
		return
	}
	for _, name := range m.Keys() {
		v, _ := m.Get(name)
		if s, err := jsondoc.Text(v, headerMax); err == nil && name != "" {
			to.Set(name, s)
		}
	}
}

// send makes the call, within the integration's time.
func (g *Gateway) send(x *exchange, call Call) (Reply, *fault) {
	in := x.route.Integration
	x.log.data("Endpoint request URI: ", fmt.Sprintf("https://kinesis.%s.amazonaws.com/?Action=%s", in.Region, in.Action))
	x.log.data("Endpoint request headers: ", pairs(call.Header))
	x.log.data("Endpoint request body after transformations: ", string(call.Body))
	x.log.info("Sending request to https://kinesis.%s.amazonaws.com/?Action=%s", in.Region, in.Action)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.request.Context()), in.Timeout)
	defer cancel()
	began := time.Now()
	reply, err := g.backend.Do(ctx, call)
	x.integration, x.sent = time.Since(began), true
	if err != nil && ctx.Err() != nil {
		x.log.failed("Execution failed due to a timeout error")
		return reply, timedOut.because(fmt.Errorf("no answer of Kinesis within %v; the record may be stored", in.Timeout))
	}
	if err != nil {
		x.log.failed("Execution failed due to configuration error: There was an internal error while executing your request")
		return reply, noNetwork.because(err)
	}
	section := x.section("integration")
	section.Put("status", int64(reply.Status))
	section.Put("requestId", reply.Header.Get("x-amzn-RequestId"))
	x.log.info("Received response. Status: %d, Integration latency: %d ms", reply.Status, x.integration.Milliseconds())
	x.log.data("Endpoint response headers: ", pairs(reply.Header))
	x.log.data("Endpoint response body before transformations: ", string(reply.Body))
	return reply, nil
}

// finish tells logs and metrics, after the answer.
func (g *Gateway) finish(x *exchange) {
	took := time.Since(x.began)
	g.metrics.finished(x, took)
	if x.log != nil {
		if x.status != 0 && x.failure == "" {
			x.log.info("Successfully completed execution")
		}
		x.log.info("Method completed with status: %d", x.status)
		if x.log.lines.Len() > 0 {
			g.logFailed(g.execution.write(x.log.lines.String()))
		}
	}
	if g.access != nil {
		g.logFailed(g.access.write(g.cfg.AccessFormat.render(func(name string) string { return x.accessValue(name, took) })))
	}
}

func (g *Gateway) logFailed(err error) {
	if err != nil {
		g.log.Error("a log line was not written", zap.Error(err))
	}
}

// accessValue is a variable of the access log.
func (x *exchange) accessValue(name string, took time.Duration) string {
	switch name {
	case "status":
		return strconv.Itoa(x.status)
	case "responseLength":
		return strconv.Itoa(x.length)
	case "responseLatency":
		return strconv.FormatInt(took.Milliseconds(), 10)
	case "integrationLatency", "integration.latency":
		if !x.sent {
			return ""
		}
		return strconv.FormatInt(x.integration.Milliseconds(), 10)
	case "integrationStatus", "integration.integrationStatus":
		name = "integration.status"
	}
	return x.lookup(name)
}
