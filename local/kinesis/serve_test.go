package kinesis

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// listening serves a server on loopback as the command does.
func listening(t *testing.T, s *Server, cert *tls.Certificate) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, done := s.HTTPServer(), make(chan error, 1)
	if cert != nil {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	}
	go func() {
		if cert != nil {
			done <- srv.ServeTLS(l, "", "")
			return
		}
		done <- srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
		_ = s.Close()
	})
	return l.Addr().String()
}

func TestEveryProtocolIsServed(t *testing.T) {
	cert, pem, err := SelfSigned("kinesis.example", "192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "kinesis.example", "192.0.2.7"} {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("certificate for %s: %v", name, err)
		}
	}
	for name, tc := range map[string]struct {
		secure bool
		set    func(*http.Protocols)
		major  int
	}{
		"HTTP/1.1":           {false, func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		"h2 prior knowledge": {false, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, 2},
		"HTTPS/1.1":          {true, func(p *http.Protocols) { p.SetHTTP1(true) }, 1},
		"h2 by ALPN":         {true, func(p *http.Protocols) { p.SetHTTP2(true) }, 2},
	} {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		scheme, use := "http://", (*tls.Certificate)(nil)
		if tc.secure {
			scheme, use = "https://", &cert
		}
		url := scheme + listening(t, s, use)
		var protocols http.Protocols
		tc.set(&protocols)
		transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{RootCAs: roots}}
		r, err := http.NewRequest(http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentJSON)
		r.Header.Set("X-Amz-Target", target+"ListStreams")
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if res.ProtoMajor != tc.major || res.StatusCode != 200 {
			t.Errorf("%s: %s, %s", name, res.Proto, res.Status)
		}
		res.Body.Close()
		transport.CloseIdleConnections()
	}
}

func TestShutdownEndsSubscriptions(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	tp := f.subscribe(f.consumer("s", "c"), shard0, "LATEST", "")
	tp.next()
	f.server.HangUp()
	for tp.next() != nil {
	}
	if err := tp.events.Err(); err != nil {
		t.Errorf("the end is %v", err)
	}
}

// Any page on the internet can aim a browser at 127.0.0.1. Who asks for
// signatures may answer it, as the service does.
func TestAWebPageFromElsewhereReachesNothingWithoutAKey(t *testing.T) {
	for name, test := range map[string]struct {
		cfg     Config
		allowed bool
	}{
		"open":   {Config{}, false},
		"signed": {Config{Keys: map[string]string{"id": "secret"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, test.cfg)
			for _, method := range []string{http.MethodOptions, http.MethodPost} {
				r, err := http.NewRequest(method, f.url, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				for k, v := range map[string]string{
					"Origin": "https://example.com", "Content-Type": contentJSON, "X-Amz-Target": target + "ListStreams",
					"Access-Control-Request-Method": http.MethodPost, "Access-Control-Request-Headers": "content-type,x-amz-target",
				} {
					r.Header.Set(k, v)
				}
				res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				if given := res.Header.Get("Access-Control-Allow-Origin"); (given != "") != test.allowed || (res.StatusCode == http.StatusForbidden) == test.allowed {
					t.Errorf("%s: %s, allowed origin %q, %s", method, res.Status, given, body)
				}
			}
		})
	}
}

func TestHealthAndBrowsersAreAnswered(t *testing.T) {
	f := newFixture(t, Config{})
	do := func(method, path string, header map[string]string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest(method, f.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range header {
			r.Header.Set(k, v)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(b)
	}
	if res, body := do("GET", "/_health", nil); res.StatusCode != 200 || body != `{"services":{"kinesis":"running"}}` {
		t.Errorf("health: %s %s", res.Status, body)
	}
	res, body := do("OPTIONS", "/", map[string]string{"Origin": "http://localhost:3000", "Access-Control-Request-Headers": "a,b", "Access-Control-Request-Method": "POST"})
	h := res.Header
	if res.StatusCode != 200 || body != "" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Headers") != "a,b" ||
		h.Get("Access-Control-Allow-Methods") != "POST" || h.Get("Access-Control-Max-Age") != "172800" || h.Get("x-amzn-RequestId") == "" || h.Get("x-amz-id-2") != "" {
		t.Errorf("preflight: %s %v", res.Status, h)
	}
	res, _ = do("POST", "/", map[string]string{"Origin": "http://localhost:3000", "Content-Type": contentJSON, "X-Amz-Target": target + "ListStreams"})
	if !strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "x-amzn-ErrorType") || res.Header.Get("x-amz-id-2") == "" {
		t.Errorf("a browser's call: %v", res.Header)
	}
	r, err := http.NewRequest(http.MethodPost, f.admin.URL+"/admin/trim", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://x")
	res, err = (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("an order of a web page: %s", res.Status)
	}
}

func TestSignaturesAreCheckedWhenKeysAreGiven(t *testing.T) {
	f := newFixture(t, Config{Keys: map[string]string{"AKID": "SECRET", "AKIE": "SECRET"}})
	if _, err := f.client.ListStreams(t.Context(), &api.ListStreamsInput{}); err != nil {
		t.Errorf("a right signature: %v", err)
	}
	// Another key: the SDK's signer remembers what it derived from AKID's secret.
	for secret, want := range map[[2]string]string{
		{"AKIE", "OTHER"}:    "InvalidSignatureException",
		{"NOBODY", "SECRET"}: "UnrecognizedClientException",
	} {
		_, err := f.client.ListStreams(t.Context(), &api.ListStreamsInput{}, func(o *api.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(secret[0], secret[1], "")
		})
		wantCode(t, err, want)
	}
	f.refused("ListStreams", "{}", "MissingAuthenticationTokenException", "Missing Authentication Token")
	for header, want := range map[string]string{
		"AWS4-HMAC-SHA256 Credential=a": "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 Credential=a",
		"x":                             "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=x",
	} {
		r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		e, ok := f.server.authenticate(r, nil).(*apiError)
		if !ok || e.code != "IncompleteSignatureException" || e.message != want {
			t.Errorf("%s: %v", header, e)
		}
	}
	r, err := http.NewRequest(http.MethodPost, "/?X-Amz-Algorithm=x", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "y")
	if e, ok := f.server.authenticate(r, nil).(*apiError); !ok || e.code != "InvalidSignatureException" {
		t.Errorf("both forms at once: %v", e)
	}
}

// Two servers with the same clock answer the same calls with the same bytes.
func TestADeterministicServerRepeatsItself(t *testing.T) {
	run := func() (all string) {
		now := start0
		s, err := New(Config{Now: func() time.Time { return now }, Deterministic: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, request := range goldenSession {
			op, body, _ := strings.Cut(request, " ")
			w := &wire{header: http.Header{}}
			post(s, w, jsonCodec{}, op, body)
			all += w.b.String() + w.header.Get("x-amzn-RequestId") + "\n"
			now = now.Add(time.Second)
		}
		return all
	}
	first, second := run(), run()
	if first != second || !strings.Contains(first, `"SequenceNumber":"49`) || !strings.Contains(first, `"ShardIterator":`) {
		t.Errorf("two runs differ:\n%s\n%s", first, second)
	}
}
