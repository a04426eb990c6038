package harness

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// A Tripwire stands before an S3 server and tells when the n-th writing
// request comes through, so that a process can be killed exactly between two
// steps: a random moment rarely falls into the few milliseconds that matter.
type Tripwire struct {
	Endpoint string

	mu      sync.Mutex
	left    int
	answer  bool // trip after the server did it, before the client hears of it
	tripped chan struct{}
}

// NewTripwire starts a proxy for the server at the endpoint. Host is passed
// on, because the signature covers it.
func NewTripwire(t testing.TB, endpoint string) *Tripwire {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatalf("parse endpoint: %v", err)
	}
	w := &Tripwire{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	server := httptest.NewServer(http.HandlerFunc(func(res http.ResponseWriter, req *http.Request) {
		tripped, answer := w.step(req.Method)
		switch {
		case tripped == nil:
			proxy.ServeHTTP(res, req)
		case answer:
			// Whatever the server says goes nowhere.
			proxy.ServeHTTP(httptest.NewRecorder(), req)
			hold(tripped, req)
		default:
			hold(tripped, req)
		}
	}))
	t.Cleanup(server.Close)
	w.Endpoint = server.URL
	return w
}

// Arm returns a channel that is closed by the n-th writing request from now:
// before the server sees it, or after it has done what was asked. n 0 disarms.
func (w *Tripwire) Arm(n int, answer bool) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left, w.answer, w.tripped = n, answer, make(chan struct{})
	return w.tripped
}

// step counts a request and returns the channel to close if this is the one.
func (w *Tripwire) step(method string) (tripped chan struct{}, answer bool) {
	if method == http.MethodGet || method == http.MethodHead {
		return nil, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left == 0 {
		return nil, false
	}
	if w.left--; w.left > 0 {
		return nil, false
	}
	return w.tripped, w.answer
}

// hold reports and keeps the client waiting until it is dead. net/http notices
// that only while it reads ahead, which it does once the body was read.
func hold(tripped chan struct{}, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	close(tripped)
	<-req.Context().Done()
}
