package produce

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/standpipe/standpipe"
)

// answerMax bounds what is read of an answer: an error body is a few hundred bytes.
const answerMax = 64 << 10

// A Post is a URL as a target: each record is the body of one POST.
type Post struct {
	client *http.Client
	url    string
}

// OpenPost checks the URL. It sends nothing yet.
func OpenPost(rawURL string, base http.RoundTripper) (*Post, error) {
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("--url %s: not an address like http://127.0.0.1:8080/PROD/v1", rawURL)
	}
	return &Post{url: rawURL, client: &http.Client{
		Transport: base,
		// A redirect would turn the POST into a GET and count as stored.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Limits are one record of any size that LineMax allows.
func (p *Post) Limits() (records, bytes int) { return 1, LineMax }

func (p *Post) String() string { return p.url }

// Send posts the one record of batch.
func (p *Post) Send(ctx context.Context, batch []Record) ([]error, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(batch[0].Data))
	if err != nil {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "post to " + p.url, Err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "standpipe-produce")
	resp, err := p.client.Do(req)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return nil, err
		}
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, &standpipe.Error{Class: standpipe.Retryable, Op: "post to " + p.url, Err: err, Hint: "is the address right and the server up?"}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err != nil {
		return nil, &standpipe.Error{Class: standpipe.Retryable, Op: "read the answer of " + p.url, Err: err}
	}
	if err := p.judge(resp, body); err != nil {
		return nil, err
	}
	return []error{nil}, nil
}

// judge reads an answer. API Gateway with a single integration response gives
// 200 to everything, Kinesis's errors included, and Kinesis gives it to a
// PutRecords that stored nothing: there the body tells.
func (p *Post) judge(resp *http.Response, body []byte) error {
	kind := errorType(body)
	status := resp.StatusCode
	if status >= 200 && status < 300 && kind == "" {
		return nil
	}
	said := fmt.Errorf("status %d: %s", status, excerpt(body))
	failed := func(class standpipe.Class, hint string) error {
		return &standpipe.Error{Class: class, Op: "post to " + p.url, Err: said, Hint: hint, After: retryAfter(resp.Header)}
	}
	switch {
	case strings.Contains(kind, "ThroughputExceeded") || strings.Contains(kind, "LimitExceeded") || strings.Contains(kind, "Throttling"):
		return failed(standpipe.Throttled, "")
	case kind == "InternalFailure" || kind == "ServiceUnavailable":
		return failed(standpipe.Retryable, "")
	case status == http.StatusTooManyRequests:
		return failed(standpipe.Throttled, "")
	case status == http.StatusRequestTimeout || status >= 500:
		return failed(standpipe.Retryable, "")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return failed(standpipe.Denied, "the server refuses this caller")
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return failed(standpipe.NotFound, "is the path right? API Gateway addresses hold the stage: /PROD/v1")
	case status >= 300 && status < 400:
		return failed(standpipe.Fatal, "the server redirects to "+resp.Header.Get("Location")+"; give that address")
	case strings.Contains(kind, "ResourceNotFound") || strings.Contains(kind, "AccessDenied"):
		return failed(standpipe.Fatal, "the server can't reach its stream")
	}
	return &Refusal{Reason: said.Error()}
}

// errorType is the "__type" of a Kinesis error, without its namespace, or empty.
// An answer to PutRecords has none: there the entry that failed tells.
func errorType(body []byte) string {
	var e struct {
		Type              string `json:"__type"`
		FailedRecordCount int
		Records           []struct{ ErrorCode string }
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	if e.Type == "" && e.FailedRecordCount > 0 {
		for _, r := range e.Records {
			e.Type = cmp.Or(e.Type, r.ErrorCode)
		}
		return cmp.Or(e.Type, "InternalFailure")
	}
	return e.Type[strings.LastIndexByte(e.Type, '#')+1:]
}

// excerpt is the beginning of an answer on one line, for an error,
// without what could steer a terminal.
func excerpt(body []byte) string {
	const most = 200
	printable := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	s := strings.Join(strings.Fields(strings.Map(printable, strings.ToValidUTF8(string(body), "?"))), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Second
}
