package directput

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/internal/listen"
)

const (
	target      = "Firehose_20150804."
	contentJSON = "application/x-amz-json-1.1"
	// bodyMax is above a full batch in base64 (5.6 MiB) with the JSON around 500
	// records. A greater body is read on to drainMax, so that the client sees the
	// answer and not a broken connection.
	bodyMax  = 8 << 20
	drainMax = 64 << 20
	// weight is how often the bytes of a body are in memory at once: as read, as
	// records, as the body for Kinesis, and as net/http sends it.
	weight = 4
	// requestMin is what a small request costs at least.
	requestMin = 64 << 10
)

// DefaultMemory is Config.Memory when it is not given.
const DefaultMemory = 256 << 20

// Config is what a Server needs.
type Config struct {
	Streams []*DeliveryStream
	// Memory bounds the bytes of requests in hand; above it producers are told to
	// slow down. At least one full batch fits, whatever it says. 0 is DefaultMemory.
	Memory int64
	// Registerer may be nil; so may Logger.
	Registerer prometheus.Registerer
	Logger     *zap.Logger
}

// A Server is an http.Handler that speaks Firehose's API on any path. It starts
// nothing: who stops the HTTP server gracefully has stopped it.
type Server struct {
	streams map[string]*DeliveryStream
	names   []string // sorted
	putter  *putter
	memory  *semaphore.Weighted
	metrics *metrics
	log     *zap.Logger
}

// New returns a Server. The names of the streams must be different.
func New(cfg Config) (*Server, error) {
	if cfg.Memory == 0 {
		cfg.Memory = DefaultMemory
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &Server{
		streams: map[string]*DeliveryStream{},
		putter:  &putter{patience: patience, rnd: mathrand.New(mathrand.NewPCG(backoff.Seed(), 0))},
		memory:  semaphore.NewWeighted(max(cfg.Memory, cost(bodyMax))),
		metrics: newMetrics(cfg.Registerer), log: cfg.Logger,
	}
	for _, d := range cfg.Streams {
		if s.streams[d.Name] != nil {
			return nil, fmt.Errorf("two delivery streams are named %s", d.Name)
		}
		s.streams[d.Name] = d
		s.names = append(s.names, d.Name)
	}
	slices.Sort(s.names)
	return s, nil
}

func (s *Server) find(name string) (*DeliveryStream, *apiError) {
	if d := s.streams[name]; d != nil {
		return d, nil
	}
	account := "000000000000"
	if len(s.names) > 0 {
		account = s.streams[s.names[0]].Account
	}
	return nil, clientError("ResourceNotFoundException", "Firehose %s under account %s not found.", name, account)
}

// A call is one request on its way through an operation, and what the access
// log and the metrics tell about it.
type call struct {
	op, id, remote string
	body           []byte
	deliveryStream string
	batch          *batch // nil unless records were put
	status         int
	err            *apiError
}

// An operation answers a call with something encoding/json encodes.
type operation func(*Server, context.Context, *call) (any, *apiError)

var operations = map[string]operation{
	"DescribeDeliveryStream": (*Server).describe,
	"ListDeliveryStreams":    (*Server).list,
	"PutRecord":              (*Server).putRecord,
	"PutRecordBatch":         (*Server).putRecordBatch,
}

// opUnknown stands for every operation that is not here.
const opUnknown = "unknown"

// decode reads the body of a call. A member that is not in T is ignored, as the
// service ignores what it does not know yet.
func decode[T any](c *call) (in T, _ *apiError) {
	if err := json.Unmarshal(c.body, &in); err != nil {
		return in, &apiError{http.StatusBadRequest, "SerializationException", "The request is not what the operation takes: " + err.Error()}
	}
	return in, nil
}

// ServeHTTP is the Firehose API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	c := &call{op: opUnknown, id: uuid.NewString(), remote: r.RemoteAddr, status: http.StatusOK}
	answer, err := s.answer(r, c)
	var body []byte
	if err != nil {
		c.status, c.err = err.status, err
		w.Header().Set("x-amzn-ErrorType", err.code)
		body = err.body()
	} else {
		body = encode(answer)
	}
	took := time.Since(began)
	s.metrics.observe(c, took)
	s.access(c, took)
	w.Header().Set("x-amzn-RequestId", c.id)
	w.Header().Set("Content-Type", contentJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(c.status)
	_, _ = w.Write(body) // a client that went away sends again
}

// answer takes memory for the request as it reads it, and gives it back when the
// answer is known.
func (s *Server) answer(r *http.Request, c *call) (any, *apiError) {
	op, err := route(r, c)
	if err != nil {
		drain(r)
		return nil, err
	}
	m := &hold{s: s}
	defer m.free()
	if c.body, err = m.read(r); err != nil {
		m.free() // whoever waits need not wait for what is thrown away
		drain(r)
		return nil, err
	}
	return op(s, r.Context(), c)
}

// route finds the operation. The content type is asked for, so that no page in a
// browser can put records: it would need a permission nobody gives here (CORS),
// or a name of its own for this machine, which listen.ForeignPage sees.
// A name that is not known is not kept: logs and metrics would grow with it.
func route(r *http.Request, c *call) (operation, *apiError) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // a malformed one is none
	switch {
	case listen.ForeignPage(r):
		return nil, &apiError{http.StatusForbidden, "AccessDeniedException", "Web pages of other machines are not answered here"}
	case r.Method != http.MethodPost:
		return nil, &apiError{http.StatusForbidden, "AccessDeniedException", "Unable to determine service/operation name to be authorized"}
	case media != contentJSON:
		return nil, &apiError{http.StatusNotFound, "UnknownOperationException", "Content-Type must be " + contentJSON}
	}
	name, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), target)
	op, known := operations[name]
	if !ours || !known {
		return nil, clientError("UnknownOperationException", "This endpoint has PutRecord, PutRecordBatch, DescribeDeliveryStream and ListDeliveryStreams; its delivery streams come from configuration files.")
	}
	c.op = name
	return op, nil
}

// cost is what a body of n bytes takes of the memory.
func cost(n int64) int64 { return weight*n + requestMin }

func tooLarge() *apiError {
	return &apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", fmt.Sprintf("The body is greater than %d bytes", bodyMax)}
}

func drain(r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, drainMax) }

// A hold is what one request has of the memory. It grows with what came of the
// body, not with what was announced: who sends nothing holds up nobody.
type hold struct {
	s     *Server
	taken int64
}

func (m *hold) take(n int64) bool {
	if !m.s.memory.TryAcquire(n) {
		return false
	}
	m.taken += n
	m.s.metrics.memory.Add(float64(n))
	return true
}

func (m *hold) free() {
	m.s.memory.Release(m.taken)
	m.s.metrics.memory.Sub(float64(m.taken))
	m.taken = 0
}

// read takes the whole body, or panics when the client went away: nobody hears
// an answer.
func (m *hold) read(r *http.Request) ([]byte, *apiError) {
	if r.ContentLength > bodyMax {
		return nil, tooLarge()
	}
	if !m.take(requestMin) {
		return nil, slowDown()
	}
	body := make([]byte, 0, min(max(r.ContentLength, 0)+512, requestMin))
	for {
		if len(body) == cap(body) {
			body = slices.Grow(body, len(body))
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case len(body) > bodyMax:
			return nil, tooLarge()
		case !m.take(weight * int64(n)):
			return nil, slowDown()
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			panic(http.ErrAbortHandler)
		}
	}
}

func encode(answer any) []byte {
	b, err := json.Marshal(answer)
	if err != nil { // our own structs of strings and numbers
		panic(err)
	}
	return b
}
