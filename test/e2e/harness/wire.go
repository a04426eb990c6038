package harness

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// newWire starts an HTTP proxy before the server at the endpoint and returns
// its address. through is called for each request and decides what becomes of
// it; the handler it is given passes the request on. Host is passed on too,
// because the signature covers it.
func newWire(t testing.TB, endpoint string, through func(w http.ResponseWriter, r *http.Request, server http.Handler)) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatalf("parse endpoint: %v", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		// A client that was killed or cut off is no news; who is alive sees a 502.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { through(w, r, proxy) }))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		proxy.Transport.(*http.Transport).CloseIdleConnections()
	})
	return server.URL
}

// relay gives a client the answer that was recorded for it.
func relay(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the client may be gone
}

// callBody is the most that is read of a call before it is passed on. Calls of
// the JSON services are smaller; parts of objects stream through.
const callBody = 1 << 20

// A Call is a request as the wire sees it.
type Call struct {
	Method    string
	Path      string
	Query     url.Values
	Operation string // of X-Amz-Target, such as UpdateItem; empty for S3
	Body      []byte // of JSON services; nil for S3
}

// newCall takes a request apart, and puts its body back.
func newCall(r *http.Request) (Call, error) {
	c := Call{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query()}
	target := r.Header.Get("X-Amz-Target")
	if target == "" {
		return c, nil
	}
	c.Operation = target[strings.LastIndexByte(target, '.')+1:]
	if r.ContentLength > callBody {
		return c, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return c, err
	}
	c.Body = body
	r.Body = io.NopCloser(bytes.NewReader(body))
	return c, nil
}

// writes says whether the call could change something.
func (c Call) writes() bool {
	switch {
	case c.Operation != "":
		return strings.HasSuffix(c.Operation, "Item") && c.Operation != "GetItem"
	default:
		return c.Method != http.MethodGet && c.Method != http.MethodHead
	}
}
