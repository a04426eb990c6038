package consumer

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// idleConnections kept for one endpoint: one for each shard of a large worker.
// A connection that is not kept costs a TLS handshake at each poll.
const idleConnections = 4096

// newHTTPClient returns the HTTP client of the data plane. The SDK's own kind
// is rebuilt on its transport, which carries the proxy, the dialer and
// AWS_CA_BUNDLE, with HTTP/2 off: measured, a GetRecords call over HTTP/2
// takes half as much CPU again to nearly twice as much.
// Any other client (a test's, a tracer's) is used as it is. Both get the
// request's body in memory, see inMemory.
func newHTTPClient(base aws.HTTPClient) aws.HTTPClient {
	var transport *http.Transport
	switch b := base.(type) {
	case nil:
		transport = awshttp.NewBuildableClient().GetTransport()
	case *awshttp.BuildableClient:
		transport = b.GetTransport()
	default:
		return inMemory{base}
	}
	// All four are needed: a transport that comes out of the SDK has h2 in its
	// ALPN list already.
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(true)
	transport.ForceAttemptHTTP2 = false
	transport.TLSNextProto = nil
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}

	transport.MaxIdleConns = 0 // no limit of its own
	transport.MaxIdleConnsPerHost = idleConnections
	transport.MaxConnsPerHost = 0
	// Buffers are sized by Content-Length, which must be the body's own length.
	transport.DisableCompression = true
	return inMemory{&http.Client{
		Transport: transport,
		// A signed request is not valid at another address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// inMemory hands the request's body to net/http as a plain bytes.Reader. The
// SDK wraps it so that net/http must probe it for its end while the SDK closes
// it as soon as the head of the answer is there; the lost race closes the
// connection under the answer's body ("use of closed network connection"). It
// also saves a write: head and body leave together.
type inMemory struct{ next aws.HTTPClient }

func (c inMemory) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
		req.Body.Close()
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	// Every call of this client reads. An empty list tells net/http, and only
	// net/http (nothing is sent), that it may repeat a request whose idle
	// connection turned out to be closed.
	req.Header["Idempotency-Key"] = nil
	return c.next.Do(req)
}
