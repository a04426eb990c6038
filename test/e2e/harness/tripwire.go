package harness

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// A Tripwire stands before a server and holds single requests, so that a
// process can be stopped or killed exactly between two steps: a random moment
// rarely falls into the few milliseconds that matter.
type Tripwire struct {
	Endpoint string

	mu      sync.Mutex
	catches []*Catch
	armed   *Catch
	watch   func(c Call, status int)
}

// A Catch is a trap for one request.
type Catch struct {
	// Held is closed when the request is held.
	Held <-chan struct{}

	match    func(Call) bool
	answered bool
	held     chan struct{}
	release  chan struct{}
	free     func() // closes release, once
	finished chan struct{}
	answer   *httptest.ResponseRecorder // written before finished is closed
}

// NewTripwire starts a proxy for the server at the endpoint.
func NewTripwire(t testing.TB, endpoint string) *Tripwire {
	t.Helper()
	w := &Tripwire{}
	w.Endpoint = newWire(t, endpoint, w.through)
	return w
}

// Catch holds the first request that match accepts: before the server sees it
// or, answered, after it did what was asked and before the client hears of it.
// A request that is never released goes nowhere when its client dies.
func (w *Tripwire) Catch(match func(Call) bool, answered bool) *Catch {
	held, release := make(chan struct{}), make(chan struct{})
	c := &Catch{
		Held: held, match: match, answered: answered, held: held,
		release: release, free: sync.OnceFunc(func() { close(release) }), finished: make(chan struct{}),
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catches = append(w.catches, c)
	return c
}

// Nth is Catch for the n-th request from now that match accepts.
func (w *Tripwire) Nth(n int, match func(Call) bool, answered bool) *Catch {
	return w.Catch(func(c Call) bool {
		if match(c) {
			n--
		}
		return n == 0
	}, answered)
}

// Forget takes a trap away that nothing has run into. A request that it holds
// stays held.
func (w *Tripwire) Forget(c *Catch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catches = slices.DeleteFunc(w.catches, func(x *Catch) bool { return x == c })
}

// Arm returns a channel that is closed by the n-th writing request from now:
// before the server sees it, or after it has done what was asked. n 0 disarms.
func (w *Tripwire) Arm(n int, answered bool) <-chan struct{} {
	w.mu.Lock()
	armed := w.armed
	w.armed = nil
	w.mu.Unlock()
	w.Forget(armed)
	if n == 0 {
		return nil
	}
	c := w.Nth(n, Call.writes, answered)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = c
	return c.Held
}

// Watch calls seen for every call that the server answered, after it did; from
// several goroutines. nil ends it. While somebody watches, a call that has
// arrived whole reaches the server and is seen even if its client dies: what
// was done must not be missed.
func (w *Tripwire) Watch(seen func(c Call, status int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch = seen
}

func (w *Tripwire) report(c Call, status int) {
	w.mu.Lock()
	seen := w.watch
	w.mu.Unlock()
	if seen != nil {
		seen(c, status)
	}
}

// A statusWriter remembers what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the proxy flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// take returns the catch that the call has run into, once.
func (w *Tripwire) take(call Call) *Catch {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.catches {
		if c.match(call) {
			w.catches = append(w.catches[:i:i], w.catches[i+1:]...)
			return c
		}
	}
	return nil
}

func (w *Tripwire) through(res http.ResponseWriter, req *http.Request, server http.Handler) {
	call, err := newCall(req)
	if err != nil {
		return // the client is gone
	}
	c := w.take(call)
	if c == nil {
		w.pass(call, res, req, server)
		return
	}
	// net/http notices a dead client only while it reads ahead, which it does
	// once the body was read.
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	c.serve(res, req, server, body, func(status int) { w.report(call, status) })
}

// pass lets the request through.
func (w *Tripwire) pass(call Call, res http.ResponseWriter, req *http.Request, server http.Handler) {
	answer := &statusWriter{ResponseWriter: res, status: http.StatusOK}
	if w.watched() {
		req = req.WithContext(context.WithoutCancel(req.Context()))
	}
	// The proxy panics when the client is gone before it has the whole answer.
	defer func() { w.report(call, answer.status) }()
	server.ServeHTTP(answer, req)
}

func (w *Tripwire) watched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watch != nil
}

// serve holds the request. What was released reaches the server even if its
// client has gone: it is on its way.
func (c *Catch) serve(res http.ResponseWriter, req *http.Request, server http.Handler, body []byte, report func(status int)) {
	defer close(c.finished)
	ask := func() {
		again := req.Clone(context.WithoutCancel(req.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, again)
		c.answer = recorder
		report(recorder.Code)
	}
	if c.answered {
		ask()
	}
	close(c.held)
	select {
	case <-c.release:
	case <-req.Context().Done():
		return
	}
	if !c.answered {
		ask()
	}
	relay(res, c.answer)
}

// Release lets the held request go on to the server, or its answer to the
// client.
func (c *Catch) Release() { c.free() }

// Answer waits until the server has answered the request and returns what it
// said; 0 if the client died before the request was released.
func (c *Catch) Answer(ctx context.Context) (status int, body string, err error) {
	select {
	case <-c.finished:
	case <-ctx.Done():
		return 0, "", context.Cause(ctx)
	}
	if c.answer == nil {
		return 0, "", nil
	}
	return c.answer.Code, c.answer.Body.String(), nil
}
