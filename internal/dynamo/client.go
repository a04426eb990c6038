package dynamo

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/standpipe/standpipe/internal/httpclient"
)

// idleConnections kept to the table's endpoint: as many as shards may commit at
// the same time. A connection that is not kept costs a TLS handshake.
const idleConnections = 256

// newClient returns a client that tries each call once: caller owns the repeats.
func newClient(settings aws.Config) *dynamodb.Client {
	return dynamodb.NewFromConfig(settings, func(o *dynamodb.Options) {
		o.HTTPClient = newHTTPClient(o.HTTPClient)
		o.Retryer = aws.NopRetryer{}
		o.RetryMaxAttempts = 1
		o.ClientLogMode = 0 // never bodies
	})
}

// inMemory is httpclient.InMemory with a way to close what is idle.
type inMemory struct {
	httpclient.InMemory
	transport *http.Transport
}

func (c inMemory) CloseIdleConnections() { c.transport.CloseIdleConnections() }

// newHTTPClient builds an HTTP/1.1 client on the transport of the SDK's own
// kind, which carries the proxy and AWS_CA_BUNDLE. Any other is used as it is.
func newHTTPClient(base aws.HTTPClient) aws.HTTPClient {
	var transport *http.Transport
	switch b := base.(type) {
	case nil:
		transport = awshttp.NewBuildableClient().GetTransport()
	case *awshttp.BuildableClient:
		transport = b.GetTransport()
	case httpclient.InMemory:
		if next, ok := b.Base.(aws.HTTPClient); ok {
			return newHTTPClient(next)
		}
		return b
	default:
		return httpclient.InMemory{Base: base}
	}
	httpclient.HTTP1(transport)
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, idleConnections
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return inMemory{httpclient.InMemory{Base: client}, transport}
}
