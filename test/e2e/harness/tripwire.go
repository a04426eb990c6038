package harness

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
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

// Arm returns a channel that is closed by the n-th writing request from now:
// before the server sees it, or after it has done what was asked. n 0 disarms.
func (w *Tripwire) Arm(n int, answered bool) <-chan struct{} {
	w.mu.Lock()
	for i, c := range w.catches {
		if c == w.armed {
			w.catches = append(w.catches[:i:i], w.catches[i+1:]...)
			break
		}
	}
	w.armed = nil
	w.mu.Unlock()
	if n == 0 {
		return nil
	}
	c := w.Catch(func(c Call) bool {
		if c.writes() {
			n--
		}
		return n == 0
	}, answered)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = c
	return c.Held
}

// Watch calls seen for every call that was answered, after it was; from
// several goroutines. nil ends it.
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
		answer := &statusWriter{ResponseWriter: res, status: http.StatusOK}
		server.ServeHTTP(answer, req)
		w.report(call, answer.status)
		return
	}
	// net/http notices a dead client only while it reads ahead, which it does
	// once the body was read.
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	c.serve(res, req, server, body)
}

// serve holds the request. What was released reaches the server even if its
// client has gone: it is on its way.
func (c *Catch) serve(res http.ResponseWriter, req *http.Request, server http.Handler, body []byte) {
	defer close(c.finished)
	ask := func() {
		again := req.Clone(context.WithoutCancel(req.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, again)
		c.answer = recorder
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
