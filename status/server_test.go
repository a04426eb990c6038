package status_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type process struct {
	live, ready error
	report      status.Report
}

func (p *process) Live() error  { return p.live }
func (p *process) Ready() error { return p.ready }
func (p *process) Report(now time.Time) status.Report {
	p.report.Time = now
	return p.report
}

// serve runs a server until the test ends and returns its address.
func serve(t *testing.T, cfg status.Config) string {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	s, err := status.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s.Addr()
}

func do(t *testing.T, method, address, path string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func get(t *testing.T, address, path string) (*http.Response, string) {
	t.Helper()
	return do(t, http.MethodGet, address, path, nil)
}

func TestLiveStaysGreenWhileThePeersAreDown(t *testing.T) {
	p := &process{ready: errors.New("checkpoint store can't be reached")}
	address := serve(t, status.Config{Reporter: p, Health: p})
	if resp, body := get(t, address, "/livez"); resp.StatusCode != 200 || body != "ok\n" {
		t.Errorf("/livez: %d %q", resp.StatusCode, body)
	}
}

func TestLiveTurnsRedWhenTheProcessIsStuck(t *testing.T) {
	p := &process{live: errors.New("the worker loop did not turn for 2m")}
	address := serve(t, status.Config{Reporter: p, Health: p})
	if resp, body := get(t, address, "/livez"); resp.StatusCode != 503 || !strings.Contains(body, "did not turn") {
		t.Errorf("/livez: %d %q", resp.StatusCode, body)
	}
}

func TestReadyGivesEachReason(t *testing.T) {
	p := &process{}
	address := serve(t, status.Config{Reporter: p, Health: p})
	for _, c := range []struct {
		err  error
		code int
		body string
	}{
		{nil, 200, `{"ready":true,"reasons":[]}`},
		{errors.New("a"), 503, `{"ready":false,"reasons":["a"]}`},
		{errors.Join(errors.New("a"), errors.Join(errors.New("b"), errors.New("c"))), 503, `{"ready":false,"reasons":["a","b","c"]}`},
		{fmt.Errorf("sentence: %w, %w", errors.New("a"), errors.New("b")), 503, `{"ready":false,"reasons":["sentence: a, b"]}`},
	} {
		p.ready = c.err
		resp, body := get(t, address, "/readyz")
		var compact bytes.Buffer
		if err := json.Compact(&compact, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != c.code || compact.String() != c.body {
			t.Errorf("%v: %d %s, want %d %s", c.err, resp.StatusCode, &compact, c.code, c.body)
		}
	}
}

func TestReportCarriesItsSchemaAndEmptyListsAreLists(t *testing.T) {
	p := &process{report: status.Report{Stream: status.Stream{Name: "class-stream"}}}
	address := serve(t, status.Config{Reporter: p, Health: p})
	resp, body := get(t, address, "/api/status")
	if resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", resp.Header.Get("Content-Type"))
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got["schema"] != float64(status.SchemaVersion) {
		t.Errorf("schema %v", got["schema"])
	}
	for _, name := range []string{"shards", "gaps", "pendingIntents", "problems"} {
		if list, ok := got[name].([]any); !ok || len(list) != 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	if _, ok := got["freshnessSeconds"]; ok {
		t.Error("an unknown freshness is shown as known")
	}
}

func TestReportSurvivesItsJSON(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	p := &process{report: status.Report{
		FreshnessSeconds: status.SecondsOf(41500 * time.Millisecond),
		Shards: []status.Shard{{
			ID: "shardId-000000000001", State: status.ShardDelivering, Mine: true, BehindSeconds: status.SecondsOf(0),
			LastObject: &status.Object{Time: at, Key: "k", Reason: standpipe.SealAge}, Checkpoint: &standpipe.Position{Sequence: "49", Sub: 3},
		}},
	}}
	address := serve(t, status.Config{Reporter: p, Health: p})
	_, body := get(t, address, "/api/status")
	var r status.Report
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	s := r.Shards[0]
	if r.FreshnessSeconds.Duration() != 41500*time.Millisecond || s.BehindSeconds == nil || *s.BehindSeconds != 0 || s.OldestSeconds != nil ||
		!s.LastObject.Time.Equal(at) || s.LastObject.Reason != "age" || s.Checkpoint.String() != "49/3" || !s.CheckpointTime.IsZero() {
		t.Errorf("report came back as %+v from %s", r, body)
	}
}

func TestMetricsOfEveryPackageAndTheProcessAreServed(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "standpipe_read_records_total", Help: "Records read."})
	registry.MustRegister(c)
	c.Add(7)
	p := &process{}
	address := serve(t, status.Config{Registry: registry, Reporter: p, Health: p, Build: status.Build{Version: "v1.2.3"}})
	_, body := get(t, address, "/metrics")
	for _, want := range []string{"standpipe_read_records_total 7", `standpipe_build_info{commit="",go="",version="v1.2.3"} 1`, "go_goroutines ", "process_start_time_seconds "} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in /metrics", want)
		}
	}
	resp, body := do(t, http.MethodGet, address, "/metrics", func(r *http.Request) { r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0") })
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("OpenMetrics: %s", resp.Header.Get("Content-Type"))
	}
}

func TestProcessMetricsRegisteredBeforeAreNoError(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := &process{}
	for range 2 {
		s, err := status.New(status.Config{Addr: "127.0.0.1:0", Registry: registry, Reporter: p, Health: p})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNothingButLookingIsAllowed(t *testing.T) {
	p := &process{}
	address := serve(t, status.Config{Reporter: p, Health: p})
	for _, path := range []string{"/", "/livez", "/readyz", "/metrics", "/api/status", "/version", "/nowhere"} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			resp, _ := do(t, method, address, path, nil)
			if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow %q", method, path, resp.StatusCode, resp.Header.Get("Allow"))
			}
		}
		resp, _ := do(t, http.MethodHead, address, path, nil)
		want := 200
		if path == "/nowhere" {
			want = 404
		}
		if resp.StatusCode != want {
			t.Errorf("HEAD %s: %d", path, resp.StatusCode)
		}
		for name, value := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
			if resp.Header.Get(name) != value {
				t.Errorf("%s: %s is %q", path, name, resp.Header.Get(name))
			}
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: a browser is allowed too much: %v", path, resp.Header)
		}
	}
}

func TestIndexLinksOnlyToWhatIsThere(t *testing.T) {
	p := &process{}
	for _, profiles := range []bool{false, true} {
		address := serve(t, status.Config{Reporter: p, Health: p, Pprof: profiles, Build: status.Build{Version: "<v1>"}})
		_, body := get(t, address, "/")
		if !strings.Contains(body, "standpipe &lt;v1&gt;") {
			t.Errorf("index: %s", body)
		}
		links := strings.Split(body, `href="`)[1:]
		if len(links) < 5 {
			t.Errorf("%d links", len(links))
		}
		for _, l := range links {
			path, _, _ := strings.Cut(l, `"`)
			if resp, _ := get(t, address, path); resp.StatusCode != 200 {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
		}
		if resp, _ := get(t, address, "/debug/pprof/"); (resp.StatusCode == 200) != profiles {
			t.Errorf("pprof enabled %v: %d", profiles, resp.StatusCode)
		}
	}
}

func TestAPageOfAnotherSiteCantReadLoopback(t *testing.T) {
	p := &process{}
	address := serve(t, status.Config{Reporter: p, Health: p, Hosts: []string{"ops.example"}})
	for host, code := range map[string]int{
		"evil.example": 421, "localhost.evil.example": 421, "evil.example:9410": 421,
		"localhost:9410": 200, "LOCALHOST": 200, "127.0.0.1": 200, "[::1]:9410": 200, "ops.example": 200,
	} {
		resp, _ := do(t, http.MethodGet, address, "/api/status", func(r *http.Request) { r.Host = host })
		if resp.StatusCode != code {
			t.Errorf("Host %s: %d, want %d", host, resp.StatusCode, code)
		}
	}
}

func TestTakenPortIsOneErrorThatNamesTheSetting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &process{}
	_, err = status.New(status.Config{Addr: l.Addr().String(), Reporter: p, Health: p})
	want := "listen on " + l.Addr().String() + " for the status page: another process has this port " +
		"(stop it or choose another with Standpipe.StatusAddress or --status-addr)"
	if err == nil || err.Error() != want || standpipe.ClassOf(err) != standpipe.Fatal {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestAnAddressWithoutHostIsLoopback(t *testing.T) {
	p := &process{}
	address := serve(t, status.Config{Addr: ":0", Reporter: p, Health: p})
	if !strings.HasPrefix(address, "127.0.0.1:") {
		t.Errorf("listens on %s", address)
	}
	if _, err := status.New(status.Config{Addr: "9410", Reporter: p, Health: p}); err == nil || !strings.Contains(err.Error(), "host:port") {
		t.Errorf("error %v", err)
	}
}

// slow holds a report until it is released.
type slow struct {
	process
	asked, release chan struct{}
}

func (s *slow) Report(time.Time) status.Report {
	close(s.asked)
	<-s.release
	return status.Report{}
}

func TestAnswersUnderWayFinishWhenTheServerStops(t *testing.T) {
	p := &slow{asked: make(chan struct{}), release: make(chan struct{})}
	s, err := status.New(status.Config{Addr: "127.0.0.1:0", Reporter: p, Health: p})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	answer := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + s.Addr() + "/api/status")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		answer <- err
	}()
	<-p.asked
	cancel()
	for { // the port is given back first, while the answer is still held
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			break
		}
		c.Close()
	}
	close(p.release)
	if err := <-answer; err != nil {
		t.Errorf("answer: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}
