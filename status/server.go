package status

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/listen"
)

// DefaultAddr is where the server listens when nobody says otherwise.
const DefaultAddr = "127.0.0.1:9410"

// The limits of a connection. A report of 10,000 shards is about 4 MB and
// leaves within writeTimeout on any link a probe would use.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 60 * time.Second
	headerMax     = 16 << 10
	// stopTimeout is how long Run waits for answers under way.
	stopTimeout = 3 * time.Second
)

// A Reporter makes reports. It must be safe for concurrent use and fast: it
// reads memory, it asks nobody.
type Reporter interface {
	Report(now time.Time) Report
}

// Health answers the two probes. Both must be safe for concurrent use and
// return at once, from what is already known: a probe that calls S3 turns an
// outage of S3 into many.
type Health interface {
	// Live is an error only when this process is stuck and a restart would
	// help. Never because a peer is down.
	Live() error
	// Ready is an error while the process can't take work: the settings are
	// wrong, the checkpoint store can't be reached. Joined errors become
	// separate reasons.
	Ready() error
}

// Config is what a Server needs.
type Config struct {
	// Addr is host:port; empty means DefaultAddr. An address without a host
	// (":9410") means loopback, not every interface: for that say 0.0.0.0.
	Addr string
	// Hosts are further host names to answer to while Addr is loopback, for a
	// reverse proxy on the same machine that keeps the name it was asked by.
	Hosts []string
	// Registry holds the metrics of all packages; New adds those of the Go
	// runtime, the process and the build. Nil means a registry of its own.
	Registry *prometheus.Registry
	Reporter Reporter
	Health   Health
	// Build is served at /version and as a metric.
	Build Build
	// Pprof serves /debug/pprof/. A profile can be at most writeTimeout long.
	Pprof bool
	// Logger may be nil.
	Logger *zap.Logger
}

// A Server is bound and serves once Run is called.
type Server struct {
	listener net.Listener
	http     *http.Server
	log      *zap.Logger
}

// New binds the address of cfg, so that a taken port is an error at start and
// not later. The error is a standpipe.Error whose hint names the setting. Call
// Run to serve, or Close to give the port back.
func New(cfg Config) (*Server, error) {
	if cfg.Reporter == nil || cfg.Health == nil {
		return nil, errors.New("status server: Reporter and Health must be given")
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	if err := registerProcess(cfg.Registry, cfg.Build); err != nil {
		return nil, err
	}
	l, err := bind(cfg.Addr)
	if err != nil {
		return nil, err
	}
	loopback := isLoopback(l.Addr())
	if !loopback {
		cfg.Logger.Warn("status page can be reached from outside this machine, without a password",
			zap.String("address", l.Addr().String()))
	}
	return &Server{listener: l, log: cfg.Logger, http: &http.Server{
		Handler:           newHandler(cfg, loopback),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerMax,
		ErrorLog:          zap.NewStdLog(cfg.Logger.Named("status")),
	}}, nil
}

func bind(addr string) (net.Listener, error) {
	if addr == "" {
		addr = DefaultAddr
	}
	refuse := func(err error, hint string) error {
		return &standpipe.Error{Class: standpipe.Fatal, Op: "listen on " + addr + " for the status page", Err: err, Hint: hint}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, refuse(err, "Standpipe.StatusAddress and --status-addr take host:port, like "+DefaultAddr)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, refuse(errors.New("another process has this port"),
			"stop it or choose another with Standpipe.StatusAddress or --status-addr")
	case err != nil:
		return nil, refuse(err, "choose another address with Standpipe.StatusAddress or --status-addr")
	}
	return l, nil
}

func isLoopback(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// Addr is the address in use, with the port the system chose for port 0.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, lets answers under way finish for at most
// stopTimeout, and returns nil. Call it once. End ctx after everything else has
// stopped: a probe that finds nobody while batches drain gets the task killed.
func (s *Server) Run(ctx context.Context) error {
	s.log.Info("status page is up", zap.String("address", s.Addr()))
	err := listen.HTTP(ctx, s.http, s.listener, stopTimeout)
	if errors.Is(err, listen.ErrCut) {
		s.log.Warn("status page left answers unfinished")
		return nil
	}
	return err
}

// Close gives the port back when Run is not going to be called.
func (s *Server) Close() error { return s.listener.Close() }
