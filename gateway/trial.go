package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf16"
)

// A Trial is a request that is only transformed.
type Trial struct {
	Method    string
	Stage     string
	Target    string // path without the stage, with its query
	Header    map[string]string
	Body      string
	Variables map[string]string
}

// A TrialRecord is one record of what Kinesis would be sent.
type TrialRecord struct {
	Data            string `json:"data"` // decoded
	PartitionKey    string `json:"partitionKey"`
	ExplicitHashKey string `json:"explicitHashKey,omitempty"`
}

// A TrialResult is what Kinesis would be sent.
type TrialResult struct {
	Action  string            `json:"action"`
	Header  map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Records []TrialRecord     `json:"records"`
	// Problem says why Kinesis would not understand it, or is empty.
	Problem string `json:"problem,omitempty"`
}

// Try transforms a request and sends nothing.
func (a *API) Try(ctx context.Context, t Trial) (*TrialResult, error) {
	req, err := http.NewRequestWithContext(ctx, t.Method, "http://127.0.0.1/"+strings.TrimPrefix(t.Target, "/"), io.NopCloser(strings.NewReader(t.Body)))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.RemoteAddr = "127.0.0.1:0"
	for name, v := range t.Header {
		req.Header.Set(name, v)
	}
	g, err := New(Config{API: a, Backend: &Kinesis{}, Variables: t.Variables})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	x := newExchange(req, t.Stage, t.Variables, time.Now())
	if x.route, x.params = a.match(t.Method, req.URL.Path); x.route == nil {
		return nil, fmt.Errorf("the API has no %s %s", t.Method, req.URL.Path)
	}
	x.context.Put("resourcePath", x.route.Path)
	call, f := g.transform(x, []byte(t.Body))
	if f != nil {
		detail := f.detail
		if detail == nil {
			detail = errors.New(f.message)
		}
		return nil, fmt.Errorf("a caller would get %d: %w", f.status, detail)
	}
	r := &TrialResult{Action: call.Action, Header: map[string]string{}, Body: string(call.Body), Records: []TrialRecord{}}
	for _, name := range sortedKeys(call.Header) {
		r.Header[name] = call.Header.Get(name)
	}
	r.read()
	return r, nil
}

// read looks at the records of what was made.
func (r *TrialResult) read() {
	var in struct {
		record
		Records []record
	}
	if err := json.Unmarshal([]byte(r.Body), &in); err != nil {
		r.Problem = "it is not JSON: " + err.Error()
		return
	}
	records := in.Records
	if r.Action == "PutRecord" {
		records = []record{in.record}
	}
	if len(records) == 0 {
		r.Problem = errNoRecords.Error()
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	for _, rec := range records {
		data, err := base64.StdEncoding.DecodeString(text(rec.Data))
		switch {
		case rec.Data == nil || err != nil:
			r.Problem = "Data is missing or not base64"
		case text(rec.PartitionKey) == "":
			r.Problem = "the partition key is empty"
		case len(utf16.Encode([]rune(text(rec.PartitionKey)))) > 256:
			r.Problem = "the partition key has more than 256 characters"
		}
		r.Records = append(r.Records, TrialRecord{string(data), text(rec.PartitionKey), text(rec.ExplicitHashKey)})
	}
}
