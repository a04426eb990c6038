package httpclient_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe/internal/httpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sent struct{ req *http.Request }

func (s *sent) Do(r *http.Request) (*http.Response, error) {
	s.req = r
	return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
}

// closing is a body as the SDK makes it: opaque, and useless once closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestBodiesCanBeReadAfterTheSDKClosedItsWrapper(t *testing.T) {
	wrapper := &closing{Reader: strings.NewReader("payload")}
	req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", wrapper)
	req.ContentLength = 7
	var base sent
	resp, err := httpclient.InMemory{Base: &base}.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if !wrapper.closed {
		t.Error("the SDK's wrapper was not closed")
	}
	for range 2 {
		body, err := base.req.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(body); string(got) != "payload" {
			t.Errorf("body %q", got)
		}
	}
	if base.req.Body == io.ReadCloser(wrapper) {
		t.Error("the wrapper itself was sent")
	}
	if req.Body != io.ReadCloser(wrapper) {
		t.Error("the caller's request was changed")
	}
}

func TestABodyShorterThanItSaysIsAnErrorAndNotSent(t *testing.T) {
	req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", &closing{Reader: strings.NewReader("pay")})
	req.ContentLength = 7
	var base sent
	resp, err := httpclient.InMemory{Base: &base}.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || base.req != nil {
		t.Errorf("error %v, sent %v", err, base.req != nil)
	}
}

// The server prefers HTTP/2, as AWS does, and the transport went through the
// SDK, which asks for HTTP/2.
func TestHTTP1StaysAtHTTP1WithAServerThatOffersMore(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for _, tr := range []*http.Transport{
		awshttp.NewBuildableClient().GetTransport(),
		awshttp.NewBuildableClient().WithTransportOptions(httpclient.HTTP1).GetTransport(),
		{},
	} {
		httpclient.HTTP1(tr)
		tr.TLSClientConfig.RootCAs = srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		resp, err := (&http.Client{Transport: tr}).Get(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		if proto, _ := io.ReadAll(resp.Body); string(proto) != "HTTP/1.1" {
			t.Errorf("protocol %s", proto)
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
	}
}
