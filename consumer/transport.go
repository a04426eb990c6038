package consumer

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/standpipe/standpipe/internal/httpclient"
)

// idleConnections kept for one endpoint: one for each shard of a large worker.
// A connection that is not kept costs a TLS handshake at each poll.
const idleConnections = 4096

// newHTTPClient returns the HTTP client of the data plane. The SDK's own kind
// is rebuilt on its transport, which carries the proxy, the dialer and
// AWS_CA_BUNDLE, with HTTP/2 off. Any other client (a test's, a tracer's) is
// used as it is.
func newHTTPClient(base aws.HTTPClient) aws.HTTPClient {
	var transport *http.Transport
	switch b := base.(type) {
	case nil:
		transport = awshttp.NewBuildableClient().GetTransport()
	case *awshttp.BuildableClient:
		transport = b.GetTransport()
	case httpclient.InMemory:
		return newHTTPClient(b.Base)
	default:
		return repeatable{base}
	}
	httpclient.HTTP1(transport)
	transport.MaxIdleConns = 0 // no limit of its own
	transport.MaxIdleConnsPerHost = idleConnections
	transport.MaxConnsPerHost = 0
	// Buffers are sized by Content-Length, which must be the body's own length.
	transport.DisableCompression = true
	return repeatable{&http.Client{
		Transport: transport,
		// A signed request is not valid at another address.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// repeatable sends requests that net/http may send again by itself: bodies in
// memory, and a sign that it is harmless.
type repeatable struct{ next aws.HTTPClient }

func (c repeatable) Do(req *http.Request) (*http.Response, error) {
	// Every call of this client reads. An empty list tells net/http, and only
	// net/http (nothing is sent), that it may repeat a request whose idle
	// connection turned out to be closed.
	req.Header["Idempotency-Key"] = nil
	return httpclient.InMemory{Base: c.next}.Do(req)
}
