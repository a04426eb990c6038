package awsclient

import (
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"github.com/standpipe/standpipe/internal/httpclient"
)

// newHTTPClient returns the SDK's own buildable client, which LoadDefaultConfig
// can still give a CA bundle (AWS_CA_BUNDLE), held to HTTP/1.1. Answers are
// never decompressed on the way: the readers above look at the bytes themselves.
func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(httpclient.HTTP1, func(t *http.Transport) {
		t.DisableCompression = true
	})
}

// connectionsMax is how many idle connections to one host are kept by who sends
// many calls at once: as many as calls under way on a small machine.
const connectionsMax = 256

// ManyConnections returns the settings with a client that keeps a connection
// for each of many calls at once. The SDK's keeps ten and opens the others anew
// for every call.
func ManyConnections(cfg aws.Config) aws.Config {
	base := newHTTPClient()
	if in, ok := cfg.HTTPClient.(httpclient.InMemory); ok {
		if b, ok := in.Base.(*awshttp.BuildableClient); ok {
			base = b
		}
	}
	cfg.HTTPClient = httpclient.InMemory{Base: base.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = connectionsMax, connectionsMax
	})}
	return cfg
}
