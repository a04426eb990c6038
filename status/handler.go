package status

import (
	"encoding/json"
	"html/template"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// metricsInFlight bounds concurrent scrapes: each gathers every series.
const metricsInFlight = 4

// newHandler joins the routes and the two guards around them.
func newHandler(cfg Config, loopback bool) http.Handler {
	h := handler{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("/livez", h.live)
	mux.HandleFunc("/readyz", h.ready)
	mux.Handle("/metrics", promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		ErrorLog:            zap.NewStdLog(cfg.Logger.Named("metrics")),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: metricsInFlight,
	}))
	mux.HandleFunc("/api/status", h.report)
	mux.HandleFunc("/version", h.version)
	mux.HandleFunc("/{$}", h.index)
	if cfg.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	var guarded http.Handler = readOnly(mux)
	if loopback {
		guarded = localNames(guarded, cfg.Hosts)
	}
	return secure(guarded)
}

type handler struct{ cfg Config }

func (h handler) live(w http.ResponseWriter, _ *http.Request) {
	if err := h.cfg.Health.Live(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readiness is the body of /readyz.
type readiness struct {
	Ready   bool     `json:"ready"`
	Reasons []string `json:"reasons"`
}

func (h handler) ready(w http.ResponseWriter, _ *http.Request) {
	reasons := reasonsOf(h.cfg.Health.Ready())
	code := http.StatusOK
	if len(reasons) > 0 {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, readiness{Ready: len(reasons) == 0, Reasons: reasons})
}

// reasonsOf takes errors.Join apart, one reason each. An error that wraps
// several within a sentence of its own stays one reason.
func reasonsOf(err error) []string {
	if err == nil {
		return []string{}
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // only the outermost join is a list
	if !ok {
		return []string{err.Error()}
	}
	reasons, texts := []string{}, []string{}
	for _, e := range joined.Unwrap() {
		reasons = append(reasons, reasonsOf(e)...)
		texts = append(texts, e.Error())
	}
	if strings.Join(texts, "\n") != err.Error() {
		return []string{err.Error()}
	}
	return reasons
}

func (h handler) report(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, h.cfg.Reporter.Report(time.Now()).Normal())
}

func (h handler) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, h.cfg.Build)
}

var indexPage = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>standpipe</title>
<h1>standpipe {{.Build.Version}}</h1>
<ul>
<li><a href="/api/status">/api/status</a> what is read, buffered and delivered, as JSON
<li><a href="/metrics">/metrics</a> for Prometheus
<li><a href="/livez">/livez</a> does the process turn
<li><a href="/readyz">/readyz</a> can it take work, and if not, why
<li><a href="/version">/version</a> which build this is
{{- if .Pprof}}
<li><a href="/debug/pprof/">/debug/pprof/</a> profiles
{{- end}}
</ul>
<p>On a terminal: <code>standpipe status --watch</code>
</html>
`))

func (h handler) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := indexPage.Execute(w, h.cfg); err != nil {
		h.cfg.Logger.Debug("index page not written", zap.Error(err))
	}
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, "encode the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}

// readOnly refuses every method that could mean a change.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this server only answers GET", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localNames answers only to names of this machine. A page of another site can
// make its own host name resolve to 127.0.0.1 and then read what it likes (DNS
// rebinding); the Host header gives it away.
func localNames(next http.Handler, more []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.ToLower(strings.Trim(host, "[]"))
		if net.ParseIP(host) == nil && host != "localhost" && !slices.Contains(more, host) {
			http.Error(w, "this server answers to localhost and IP addresses only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// secure sets the headers that keep a browser from doing anything with an
// answer but showing it. There are no scripts and no styles to allow.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
