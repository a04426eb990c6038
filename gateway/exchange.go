package gateway

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/standpipe/standpipe/gateway/jsondoc"
)

const traceHeader = "X-Amzn-Trace-Id"

// An exchange is one request and what becomes of it. One goroutine uses it.
type exchange struct {
	id, extendedID string
	began          time.Time
	route          *Route // nil until routed
	params         map[string]string
	query          url.Values
	header         http.Header
	request        *http.Request
	context        *jsondoc.Map
	variables      *jsondoc.Map
	log            *executionLog

	// What the access log and the metrics tell.
	status      int
	length      int
	integration time.Duration
	sent        bool
	failure     string
}

// newExchange reads what is known before the body. The trace header is made
// when the client sent none.
func newExchange(req *http.Request, stage string, variables map[string]string, now time.Time) *exchange {
	x := &exchange{
		id: uuid.NewString(), extendedID: extendedID(), began: now, request: req,
		query: req.URL.Query(), header: req.Header.Clone(), variables: &jsondoc.Map{},
	}
	x.header.Set("Host", req.Host)
	if x.header.Get(traceHeader) == "" {
		x.header.Set(traceHeader, traceID(now))
	}
	for name, v := range variables {
		x.variables.Put(name, v)
	}
	ip, _, err := net.SplitHostPort(req.RemoteAddr)
	if err != nil {
		ip = req.RemoteAddr
	}
	x.context = jsondoc.MapOf(
		"accountId", account, "apiId", apiID, "deploymentId", "local", "stage", stage,
		"domainName", req.Host, "domainPrefix", firstLabel(req.Host),
		"requestId", x.id, "extendedRequestId", x.extendedID,
		"httpMethod", req.Method, "path", req.URL.Path, "protocol", req.Proto, "resourceId", "", "resourcePath", "",
		"requestTime", now.UTC().Format("02/Jan/2006:15:04:05 +0000"), "requestTimeEpoch", now.UnixMilli(),
		"xrayTraceId", x.header.Get(traceHeader),
		"identity", jsondoc.MapOf("sourceIp", ip, "userAgent", req.UserAgent(), "accountId", "", "apiKey", "", "apiKeyId", "", "caller", "", "user", "", "userArn", ""),
		"responseOverride", jsondoc.MapOf("header", &jsondoc.Map{}),
		"requestOverride", jsondoc.MapOf("header", &jsondoc.Map{}, "path", &jsondoc.Map{}, "querystring", &jsondoc.Map{}),
		"authorizer", &jsondoc.Map{}, "error", jsondoc.MapOf("message", "", "messageString", "", "responseType", ""),
		"integration", jsondoc.MapOf("status", "", "requestId", "", "latency", "", "error", ""),
	)
	return x
}

// What stands for an account and an API where there are none.
const (
	account = "000000000000"
	apiID   = "standpipe"
)

// contextNames are the variables of $context that have a meaning here; the
// access log knows more, see accessNames.
var contextNames = nameSet("accountId apiId deploymentId stage domainName domainPrefix requestId extendedRequestId httpMethod path protocol " +
	"resourceId resourcePath requestTime requestTimeEpoch xrayTraceId identity.sourceIp identity.userAgent identity.accountId identity.apiKey " +
	"identity.apiKeyId identity.caller identity.user identity.userArn error.message error.messageString error.responseType " +
	"responseOverride.status integration.status integration.requestId")

func nameSet(names string) map[string]bool {
	set := map[string]bool{}
	for _, n := range strings.Fields(names) {
		set[n] = true
	}
	return set
}

// lookup is a dotted name of $context as a text, empty when it has no value.
func (x *exchange) lookup(name string) string {
	var v any = x.context
	for part := range strings.SplitSeq(name, ".") {
		m, ok := v.(*jsondoc.Map)
		if !ok {
			return ""
		}
		v, _ = m.Get(part)
	}
	if v == nil {
		return ""
	}
	s, _ := jsondoc.Text(v, 64<<10)
	return s
}

func (x *exchange) section(name string) *jsondoc.Map {
	v, _ := x.context.Get(name)
	m, _ := v.(*jsondoc.Map)
	return m
}

// input is $input of the request template.
func (x *exchange) input(body []byte) *input {
	path, query, header := &jsondoc.Map{}, &jsondoc.Map{}, &jsondoc.Map{}
	for name, v := range x.params {
		path.Put(name, v)
	}
	for _, name := range sortedKeys(x.query) {
		query.Put(name, last(x.query[name]))
	}
	for _, name := range sortedKeys(x.header) {
		header.Put(name, last(x.header[name]))
	}
	return &input{
		body:   strings.ToValidUTF8(string(body), "\ufffd"),
		params: jsondoc.MapOf("path", path, "querystring", query, "header", header),
	}
}

// source is the value of a parameter's expression.
func (x *exchange) source(expression string, reply http.Header) string {
	if s, static := strings.CutPrefix(expression, "'"); static {
		return strings.TrimSuffix(s, "'")
	}
	for prefix, value := range map[string]func(string) string{
		"method.request.header.":       x.header.Get,
		"method.request.querystring.":  func(n string) string { return last(x.query[n]) },
		"method.request.path.":         func(n string) string { return x.params[n] },
		"integration.response.header.": reply.Get,
		"context.":                     x.lookup,
		"stageVariables.":              func(n string) string { v, _ := x.variables.Get(n); s, _ := v.(string); return s },
	} {
		if name, ok := strings.CutPrefix(expression, prefix); ok {
			return value(name)
		}
	}
	return ""
}

// last of several values is the one API Gateway maps.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func headerName(name string) string { return http.CanonicalHeaderKey(name) }

func firstLabel(host string) string {
	label, _, _ := strings.Cut(host, ".")
	return label
}

// extendedID looks like API Gateway's: 11 bytes in base64.
func extendedID() string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return base64.StdEncoding.EncodeToString(b[:])
}

// traceID is a new root of AWS X-Ray: version, time and 96 random bits.
func traceID(now time.Time) string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("Root=1-%08x-%s", now.Unix(), hex.EncodeToString(b[:]))
}

// override is $context.responseOverride.status, or the status otherwise.
func (x *exchange) override(status int) (int, error) {
	v, ok := x.section("responseOverride").Get("status")
	if !ok {
		return status, nil
	}
	s, err := jsondoc.Text(v, 100)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 200 || n > 599 {
		return 0, errors.New("$context.responseOverride.status is not a status")
	}
	return n, nil
}
