package awsclient

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// bodyMax bounds the bytes copied for one request: 10 MiB of Kinesis data is
// 13.4 MiB in base64, the keys and the JSON around them fit in the rest. Longer
// bodies pass as they are.
const bodyMax = 16 << 20

// An HTTPClient sends the requests of the AWS SDK with bodies that net/http
// knows to be in memory.
//
// The SDK wraps each request body and closes the wrapper as soon as Do returns.
// net/http then can't see that the body has no more bytes and probes for its
// end; when the answer comes first, as it does on loopback, the probe meets a
// closed body and the transport drops the connection under the response
// ("use of closed network connection"). A plain bytes.Reader is never probed,
// and head and body leave in one write. Safe for concurrent use.
type HTTPClient struct {
	Base interface {
		Do(*http.Request) (*http.Response, error)
	}
}

// Do sends one request. The request given is not changed; its body is closed.
func (c HTTPClient) Do(req *http.Request) (*http.Response, error) {
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
	out := req.Clone(req.Context())
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.Body, _ = out.GetBody()
	return c.Base.Do(out)
}

// newHTTPClient returns the SDK's own buildable client, which LoadDefaultConfig
// can still give a CA bundle (AWS_CA_BUNDLE), held to HTTP/1.1. Answers are
// never decompressed on the way: the readers above look at the bytes themselves.
func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ForceAttemptHTTP2 = false
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP1(true)
		if t.TLSClientConfig != nil {
			t.TLSClientConfig.NextProtos = []string{"http/1.1"}
		}
		t.DisableCompression = true
	})
}
