package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/standpipe/standpipe/internal/listen"
)

// The limits of API Gateway.
const (
	// BodyMax is the largest body of a request.
	BodyMax = 10 << 20
	// headerMax bounds the request line and all headers.
	headerMax = 10240
)

// The limits of a connection.
const (
	headerTimeout = 10 * time.Second
	// readTimeout lets 10 MiB come at 350 KB/s.
	readTimeout  = 30 * time.Second
	writeTimeout = readTimeout + timeoutMax + 10*time.Second
	idleTimeout  = 2 * time.Minute
	// stopTimeout lets the slowest request end that may have begun.
	stopTimeout = timeoutMax + 5*time.Second
	// inFlightMax bounds the bodies of all requests at once, and what becomes of
	// them as JSON; a request costs a few times its body.
	inFlightMax = 256 << 20
	// smallBody is what a request is counted as beside its body.
	smallBody = 4 << 10
)

// Failures says what a caller sees when Kinesis refuses.
type Failures string

// The two behaviours.
const (
	// Mapped answers as the file says, but never with a 2xx.
	Mapped Failures = "mapped"
	// AsInTutorial answers everything with a 200, as an API does that was clicked
	// together in the console. Only the body tells.
	AsInTutorial Failures = "as-in-tutorial"
)

// Config is what a Gateway needs.
type Config struct {
	API     *API
	Backend Backend
	// Stage is the first part of every path.
	Stage string
	// Variables are those of the stage.
	Variables map[string]string
	// Failures is Mapped if empty.
	Failures Failures
	// Batch gathers records into PutRecords when it is above 0: the first waits
	// so long for others.
	Batch time.Duration
	// Execution gets the execution log, in API Gateway's words; nil means none.
	// Without DataTrace it holds no headers and no bodies.
	Execution io.Writer
	Level     Level
	DataTrace bool
	// Access gets the access log; nil means none.
	Access       io.Writer
	AccessFormat *AccessFormat
	// Goodbye is how long requests under way may take when Serve ends; 0 is as
	// long as one can take.
	Goodbye time.Duration
	// Registerer may be nil; Logger too. The logger never gets a payload.
	Registerer prometheus.Registerer
	Logger     *zap.Logger
}

// A Gateway answers requests. Serve ends it.
type Gateway struct {
	cfg       Config
	backend   Backend
	batcher   *Batcher // nil when records are not gathered
	metrics   *metrics
	log       *zap.Logger
	execution *logWriter
	access    *logWriter
	inFlight  atomic.Int64
}

// New checks what is only known now. The errors name the flag that mends them.
func New(cfg Config) (*Gateway, error) {
	if cfg.API == nil || cfg.Backend == nil {
		return nil, errors.New("gateway: API and Backend must be given")
	}
	if err := cfg.API.Require(cfg.Variables); err != nil {
		return nil, fmt.Errorf("%w: give --variable NAME=VALUE", err)
	}
	if cfg.Failures == "" {
		cfg.Failures = Mapped
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	g := &Gateway{cfg: cfg, backend: cfg.Backend, metrics: newMetrics(cfg.Registerer), log: sampled(cfg.Logger)}
	if cfg.Execution != nil && cfg.Level != LevelOff {
		g.execution = &logWriter{w: cfg.Execution}
	}
	if cfg.Access != nil {
		g.access = &logWriter{w: cfg.Access}
		if cfg.AccessFormat == nil {
			g.cfg.AccessFormat = &AccessFormat{DefaultAccessFormat}
		}
	}
	if cfg.Batch > 0 {
		g.batcher = NewBatcher(cfg.Backend, cfg.Batch, func(n int) { g.metrics.batches.Observe(float64(n)) })
		g.backend = g.batcher
	}
	return g, nil
}

// sampled keeps a flood of failures from becoming a flood of lines: of equal
// messages ten a second are written, and then one in a hundred.
func sampled(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(c, time.Second, 10, 100)
	}))
}

// Close ends what the gateway gathers. Serve calls it; whoever uses the Gateway
// as a handler does so after the last request.
func (g *Gateway) Close() {
	if g.batcher != nil {
		g.batcher.Close()
	}
}

// Serve answers what comes in on l until ctx ends. Then it takes no more
// connections, answers the requests that it has, each with Connection: close,
// and returns nil. A request that arrives on a connection in the moment it is
// closed gets no answer: its client can't know, and must send it again.
func (g *Gateway) Serve(ctx context.Context, l net.Listener) error {
	defer g.Close()
	srv := &http.Server{
		Handler: g, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 4 * headerMax, // larger ones get our answer, not net/http's
		ErrorLog:       zap.NewStdLog(g.cfg.Logger.Named("gateway")),
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		g.cfg.Logger.Warn("the gateway can be reached from outside this machine, without a password", zap.String("address", l.Addr().String()))
	}
	err := listen.HTTP(ctx, srv, l, cmp.Or(g.cfg.Goodbye, stopTimeout))
	if errors.Is(err, listen.ErrCut) {
		g.cfg.Logger.Warn("the gateway left requests without an answer")
		return nil
	}
	return err
}

// reserve takes room for a request, or says that there is none.
func (g *Gateway) reserve(n int64) bool {
	if g.inFlight.Add(n) > inFlightMax {
		g.inFlight.Add(-n)
		return false
	}
	g.metrics.inFlight.Add(float64(n))
	return true
}

func (g *Gateway) release(n int64) {
	g.inFlight.Add(-n)
	g.metrics.inFlight.Sub(float64(n))
}
