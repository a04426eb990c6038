// Package httpclient is what every AWS client of the project wants from
// net/http and the SDK does not give by itself: HTTP/1.1, and request bodies
// that net/http can see are in memory.
//
// It imports nothing of ours, so that the reader, the sinks and the command
// line can share it and stay apart.
package httpclient

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
)

// HTTP1 holds a transport to HTTP/1.1: measured, a GetRecords call over HTTP/2
// takes half as much processor time again to nearly twice as much, and one
// HTTP/2 connection is the bottleneck of parallel uploads. A transport that is
// in use must not be changed; give it a clone.
func HTTP1(t *http.Transport) {
	// All four are needed: a transport that comes out of the SDK has h2 in its
	// ALPN list already.
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = nil
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	t.TLSClientConfig.NextProtos = []string{"http/1.1"}
}

// bodyMax bounds the bytes copied for one request: 10 MiB of Kinesis data is
// 13.4 MiB in base64, the keys and the JSON around them fit in the rest. Longer
// bodies pass as they are.
const bodyMax = 16 << 20

// InMemory sends the requests of the AWS SDK with bodies that net/http knows
// to be in memory.
//
// The SDK wraps each request body and closes the wrapper as soon as Do returns.
// net/http then can't see that the body has no more bytes and probes for its
// end; when the answer comes first, as it does on loopback, the probe meets a
// closed body and the transport drops the connection under the response
// ("use of closed network connection"). A plain bytes.Reader is never probed,
// and head and body leave in one write. Safe for concurrent use.
type InMemory struct {
	Base interface {
		Do(*http.Request) (*http.Response, error)
	}
}

// Do sends one request. The request given is not changed; its body is closed.
func (c InMemory) Do(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody || req.ContentLength <= 0 || req.ContentLength > bodyMax {
		return c.Base.Do(req)
	}
	body := make([]byte, req.ContentLength)
	_, err := io.ReadFull(req.Body, body)
	if cerr := req.Body.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("read the request body of %s %s: %w", req.Method, req.URL.Host, err)
	}
	out := req.WithContext(req.Context()) // a shallow copy
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body, _ = out.GetBody()
	return c.Base.Do(out)
}
