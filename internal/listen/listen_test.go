package listen_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// long is a goodbye that no test reaches unless something is wrong; it is below
// the five seconds after which net/http gives a silent connection up by itself.
const long = 4 * time.Second

// A server that runs; stop ends it and returns what HTTP did.
type server struct {
	addr string
	stop func() error
}

func serve(t *testing.T, srv *http.Server, goodbye time.Duration) server {
	t.Helper()
	l, err := listen.TCP(t.Context(), "--addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- listen.HTTP(ctx, srv, l, goodbye) }()
	stopped := false
	s := server{addr: l.Addr().String(), stop: func() error {
		stopped = true
		cancel()
		return <-done
	}}
	t.Cleanup(func() {
		if !stopped {
			_ = s.stop()
		}
	})
	return s
}

func TestConnectionsThatAskedNothingDoNotDelayAStop(t *testing.T) {
	for name, said := range map[string]string{"silent": "", "half a header": "GET / HTTP/1.1\r\nHo"} {
		t.Run(name, func(t *testing.T) {
			accepted := make(chan struct{})
			s := serve(t, &http.Server{ReadHeaderTimeout: time.Minute, ConnState: func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					close(accepted)
				}
			}}, long)
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, said); err != nil {
				t.Fatal(err)
			}
			<-accepted
			if err := s.stop(); err != nil {
				t.Fatalf("the stop waited for a connection on which nothing was asked: %v", err)
			}
		})
	}
}

// Over each protocol: HTTP/2 tells the states of its connections by other ways.
func TestARequestUnderWayIsAnsweredBeforeTheStop(t *testing.T) {
	for name, set := range map[string]func(*http.Protocols){
		"HTTP/1.1":                    func(p *http.Protocols) { p.SetHTTP1(true) },
		"HTTP/2 with prior knowledge": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) },
		"HTTP/2 with TLS":             func(p *http.Protocols) { p.SetHTTP2(true) },
	} {
		t.Run(name, func(t *testing.T) {
			var protocols http.Protocols
			set(&protocols)
			asked := make(chan struct{})
			// It lasts longer than a silent connection may.
			handler := func(w http.ResponseWriter, r *http.Request) {
				close(asked)
				timer := time.NewTimer(time.Second)
				defer timer.Stop()
				select {
				case <-timer.C:
					_, _ = io.WriteString(w, "answer")
				case <-r.Context().Done():
				}
			}
			srv := &http.Server{Handler: http.HandlerFunc(handler), Protocols: &protocols}
			scheme, client := "http", &http.Transport{Protocols: &protocols}
			if protocols.HTTP2() {
				lender := httptest.NewTLSServer(nil) // of a certificate
				defer lender.Close()
				srv.TLSConfig = &tls.Config{Certificates: lender.TLS.Certificates, MinVersion: tls.VersionTLS12}
				client.TLSClientConfig = lender.Client().Transport.(*http.Transport).TLSClientConfig
				scheme = "https"
			}
			s := serve(t, srv, time.Minute)
			defer client.CloseIdleConnections()
			got := make(chan string, 1)
			go func() { got <- get(client, scheme+"://"+s.addr) }()
			<-asked
			if err := s.stop(); err != nil {
				t.Fatal(err)
			}
			if text := <-got; text != "answer" {
				t.Fatalf("the request under way got %q", text)
			}
		})
	}
}

func get(rt http.RoundTripper, url string) string {
	resp, err := (&http.Client{Transport: rt}).Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func TestWhatOutlastsTheGoodbyeIsCutAndSaid(t *testing.T) {
	asked := make(chan struct{})
	s := serve(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})}, time.Millisecond)
	client := &http.Transport{}
	defer client.CloseIdleConnections()
	got := make(chan string, 1)
	go func() { got <- get(client, "http://"+s.addr) }()
	<-asked
	if err := s.stop(); !errors.Is(err, listen.ErrCut) {
		t.Fatalf("got %v, want %v", err, listen.ErrCut)
	}
	<-got
}

func TestAListenerThatFailsIsTold(t *testing.T) {
	l, err := listen.TCP(t.Context(), "--addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err = listen.HTTP(t.Context(), &http.Server{}, l, long)
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !errors.Is(err, net.ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestAPortThatIsTakenNamesTheFlag(t *testing.T) {
	l, err := listen.TCP(t.Context(), "--addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = listen.TCP(t.Context(), "--kinesis-addr", l.Addr().String())
	if e, ok := errors.AsType[*standpipe.Error](err); !ok || !strings.Contains(e.Hint, "--kinesis-addr") {
		t.Fatalf("got %v", err)
	}
}

func TestAnAddressWithoutAHostIsLoopback(t *testing.T) {
	l, err := listen.TCP(t.Context(), "--addr", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if host, _, err := net.SplitHostPort(l.Addr().String()); err != nil || host != "127.0.0.1" {
		t.Fatalf("it listens on %s", l.Addr())
	}
}

func TestOnlyPagesOfThisMachineAreNotForeign(t *testing.T) {
	for origin, foreign := range map[string]bool{
		"":                                 false, // a program
		"http://localhost:3000":            false,
		"http://127.0.0.1":                 false,
		"https://[::1]:8443":               false,
		"https://example.com":              true,
		"http://localhost.example.com":     true,
		"http://127.0.0.1.example.com":     true,
		"http://192.168.1.7":               true,
		"null":                             true,
		"http://[broken":                   true,
		"http://localhost@example.com":     true,
		"chrome-extension://abcdefghijklm": true,
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", nil)
		r.Header.Set("Origin", origin)
		if listen.ForeignPage(r) != foreign {
			t.Errorf("%q: foreign %v, want %v", origin, !foreign, foreign)
		}
	}
}
