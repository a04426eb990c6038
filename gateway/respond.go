package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// respond maps what Kinesis answered.
func (g *Gateway) respond(x *exchange, reply Reply) (*answer, *fault) {
	res := x.route.Integration.response(reply.Status, g.cfg.Failures)
	if res == nil {
		x.log.failed("Execution failed due to configuration error: No match for output mapping and no default endpoint response mapping configured. Endpoint Response Status Code: %d", reply.Status)
		return nil, noMapping.because(fmt.Errorf("no response of the file is for status %d", reply.Status))
	}
	a := &answer{res.Status, http.Header{"Content-Type": {"application/json"}}, reply.Body}
	if t := res.template(x.header.Get("Accept")); t != nil {
		out, err := x.render(t, &input{body: strings.ToValidUTF8(string(reply.Body), "\ufffd")})
		if err != nil {
			return nil, x.badTemplate(t, err)
		}
		a.body = []byte(out)
	}
	for _, p := range res.Parameters {
		if v := x.source(p.Source, reply.Header); v != "" {
			a.header.Set(p.Name, v)
		}
	}
	overrides, _ := x.section("responseOverride").Get("header")
	setHeaders(a.header, overrides)
	var err error
	if a.status, err = x.override(a.status); err != nil {
		return nil, internal.because(err)
	}
	if g.cfg.Failures == Mapped && a.status < 300 {
		g.correct(x, reply, a)
	}
	x.log.data("Method response body after transformations: ", string(a.body))
	x.log.data("Method response headers: ", pairs(a.header))
	return a, nil
}

// always is the one response of an API that was clicked together in the
// console, as the tutorial does it.
var always = &Response{Status: http.StatusOK}

// response is the first whose pattern matches the whole status, or the default.
// AsInTutorial it is the default, if that is a success.
func (in *Integration) response(status int, failures Failures) *Response {
	var otherwise *Response
	for _, r := range in.Responses {
		switch {
		case r.Pattern == nil:
			otherwise = r
		case failures == Mapped && r.Pattern.MatchString(strconv.Itoa(status)):
			return r
		}
	}
	if failures == AsInTutorial && (otherwise == nil || otherwise.Status >= 300) {
		return always
	}
	return otherwise
}

// template is the one the client accepts, or application/json, or the only one.
func (r *Response) template(accept string) *Template {
	if t, ok := r.Templates[strings.ToLower(accept)]; ok {
		return t
	}
	if t, ok := r.Templates["application/json"]; ok {
		return t
	}
	for _, t := range r.Templates {
		if len(r.Templates) == 1 {
			return t
		}
	}
	return nil
}

// correct keeps a refusal from looking like a success.
func (g *Gateway) correct(x *exchange, reply Reply, a *answer) {
	status := refusal(x.route.Integration.Action, reply)
	if status == 0 {
		return
	}
	g.metrics.corrected.Inc()
	g.log.Warn("the API answers a refusal of Kinesis with a success; corrected", zap.String("requestId", x.id),
		zap.String("error", errorType(reply)), zap.Int("asked", a.status), zap.Int("status", status),
		zap.String("hint", "add responses for 4\\d{2} and 5\\d{2} to the integration, or give --failures as-in-tutorial"))
	a.status = status
}

const throttled = "ProvisionedThroughputExceededException"

// refusal is the status for what Kinesis did not store, or did not say it has,
// or 0 when it has all.
func refusal(action string, r Reply) int {
	if r.Status >= 200 && r.Status < 300 {
		if action == "PutRecords" {
			return partial(r)
		}
		var one result
		if json.Unmarshal(r.Body, &one) != nil || one.SequenceNumber == "" {
			return http.StatusBadGateway // not Kinesis's: a proxy's page, another service
		}
		return 0
	}
	switch errorType(r) {
	case throttled, "LimitExceededException", "KMSThrottlingException", "ThrottlingException":
		return http.StatusTooManyRequests
	}
	if r.Status >= 500 {
		return http.StatusBadGateway
	}
	return http.StatusBadRequest
}

// partial looks for entries that were not stored; the body names them.
func partial(r Reply) int {
	out, ok := readEntries(r)
	if !ok || len(out.Records) == 0 {
		return http.StatusBadGateway
	}
	status := 0
	for _, e := range out.Records {
		switch {
		case e.ErrorCode == throttled:
			status = http.StatusTooManyRequests
		case e.ErrorCode != "" || e.lost():
			return http.StatusBadGateway
		}
	}
	if status == 0 && out.FailedRecordCount > 0 {
		return http.StatusBadGateway
	}
	return status
}

// errorType is the name of Kinesis's error, without its namespace, or empty.
func errorType(r Reply) string {
	var e struct {
		Type string `json:"__type"`
	}
	if r.Status < 300 || json.Unmarshal(r.Body, &e) != nil {
		return ""
	}
	return e.Type[strings.LastIndexByte(e.Type, '#')+1:]
}
