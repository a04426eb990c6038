package awsclient

import (
	"net/http"

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
