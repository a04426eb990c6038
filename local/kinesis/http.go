package kinesis

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe/internal/listen"
)

const (
	target = "Kinesis_20131202."
	// bodyMax is above the 10 MiB of a full PutRecords in base64 (13.4 MiB) with
	// its keys. A greater body is read on to drainMax, so that the client sees
	// the 413 and not a broken connection.
	bodyMax  = 15 << 20
	drainMax = 64 << 20
)

// A call is one request on its way through an operation.
type call struct {
	op    string
	now   time.Time
	codec codec
	body  []byte // valid until the answer is written
	// fault is what an operator ordered for this call, or nil.
	fault *fault
}

func (c *call) decode(into any) error { return c.codec.decode(c.body, into) }

// An operation answers a call. Its answer is nil, something a codec encodes, an
// appender, or a feed. Its errors are *apiError; others are logged and hidden.
type operation func(*Server, *call) (any, error)

// operations are what this server has. A name that is not here is answered
// UnknownOperationException.
var operations = map[string]operation{
	"AddTagsToStream":                        (*Server).addTagsToStream,
	"CreateStream":                           (*Server).createStream,
	"DecreaseStreamRetentionPeriod":          (*Server).decreaseRetention,
	"DeleteResourcePolicy":                   (*Server).deleteResourcePolicy,
	"DeleteStream":                           (*Server).deleteStream,
	"DeregisterStreamConsumer":               (*Server).deregisterConsumer,
	"DescribeAccountSettings":                (*Server).describeAccountSettings,
	"DescribeLimits":                         (*Server).describeLimits,
	"DescribeStream":                         (*Server).describeStream,
	"DescribeStreamConsumer":                 (*Server).describeConsumer,
	"DescribeStreamSummary":                  (*Server).describeStreamSummary,
	"DisableEnhancedMonitoring":              (*Server).disableMonitoring,
	"EnableEnhancedMonitoring":               (*Server).enableMonitoring,
	"GetRecords":                             (*Server).getRecords,
	"GetResourcePolicy":                      (*Server).getResourcePolicy,
	"GetShardIterator":                       (*Server).getShardIterator,
	"IncreaseStreamRetentionPeriod":          (*Server).increaseRetention,
	"ListShards":                             (*Server).listShards,
	"ListStreamConsumers":                    (*Server).listConsumers,
	"ListStreams":                            (*Server).listStreams,
	"ListTagsForResource":                    (*Server).listTagsForResource,
	"ListTagsForStream":                      (*Server).listTagsForStream,
	"MergeShards":                            (*Server).mergeShards,
	"PutRecord":                              (*Server).putRecord,
	"PutRecords":                             (*Server).putRecords,
	"PutResourcePolicy":                      (*Server).putResourcePolicy,
	"RegisterStreamConsumer":                 (*Server).registerConsumer,
	"RemoveTagsFromStream":                   (*Server).removeTagsFromStream,
	"SplitShard":                             (*Server).splitShard,
	"StartStreamEncryption":                  (*Server).startEncryption,
	"StopStreamEncryption":                   (*Server).stopEncryption,
	"SubscribeToShard":                       (*Server).subscribeToShard,
	"TagResource":                            (*Server).tagResource,
	"UntagResource":                          (*Server).untagResource,
	"UpdateAccountSettings":                  (*Server).updateAccountSettings,
	"UpdateMaxRecordSize":                    (*Server).updateMaxRecordSize,
	"UpdateShardCount":                       (*Server).updateShardCount,
	"UpdateStreamMode":                       (*Server).updateStreamMode,
	"UpdateStreamRecordDistributionStrategy": (*Server).updateDistribution,
	"UpdateStreamWarmThroughput":             (*Server).updateWarmThroughput,
}

// buffers are request and answer bodies, up to 15 MiB each; the runtime frees
// those that idle.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// ServeHTTP is the Kinesis API on any path, and GET /_health.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-amzn-RequestId", s.requestID())
	if len(s.cfg.Keys) == 0 && listen.ForeignPage(r) {
		write(w, http.StatusForbidden, "text/plain", []byte(foreignPage))
		return
	}
	if crossOrigin(w, r) {
		return
	}
	w.Header().Set("x-amz-id-2", s.requestID())
	if r.Method == http.MethodGet && r.URL.Path == "/_health" {
		write(w, http.StatusOK, "application/json", []byte(`{"services":{"kinesis":"running"}}`))
		return
	}
	in := buffers.Get().(*[]byte)
	defer buffers.Put(in)
	status, err := readBody(in, r)
	switch {
	case err != nil:
		panic(http.ErrAbortHandler) // the client is gone: nobody hears an answer
	case status != http.StatusOK:
		w.Header().Set("Connection", "close")
		write(w, status, "text/plain", []byte("request body is greater than 15 MiB\n"))
		return
	case r.Method != http.MethodPost:
		write(w, http.StatusForbidden, "application/xml", []byte("<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>\n"))
		return
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // a malformed one is none
	c := &call{op: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target), now: s.clock.now(), codec: codecOf(media), body: *in}
	if c.codec == nil {
		if media == "application/json" {
			write(w, http.StatusNotFound, media, []byte(`{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`))
			return
		}
		write(w, http.StatusNotFound, "application/xml", []byte("<UnknownOperationException/>\n"))
		return
	}
	s.answer(w, r, c)
}

// answer carries the call out and writes what comes of it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, c *call) {
	op, known := operations[c.op]
	if !known || !strings.HasPrefix(r.Header.Get("X-Amz-Target"), target) {
		s.fail(w, c, clientError("UnknownOperationException", ""))
		return
	}
	if err := s.authenticate(r, c.body); err != nil {
		s.fail(w, c, err)
		return
	}
	s.sweepIfDue(c.now)
	answer, err, lose := s.run(r, c, op)
	f, feeds := answer.(*feed)
	switch {
	case lose:
		if feeds {
			f.leave()
		}
		panic(http.ErrAbortHandler)
	case err != nil:
		s.fail(w, c, err)
	case feeds:
		f.serve(w, r)
	default:
		out := buffers.Get().(*[]byte)
		defer buffers.Put(out)
		*out = c.codec.append((*out)[:0], answer)
		write(w, http.StatusOK, c.codec.contentType(), *out)
	}
}

// foreignPage is the answer to a web page from elsewhere while no signature is
// asked for. The service lets any page call it, but not without a key.
const foreignPage = "without signed requests this server answers to web pages of this machine only\n"

// crossOrigin adds what a browser wants to see, as the service does, and
// answers a preflight.
func crossOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	if r.Header.Get("Origin") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	if r.Method != http.MethodOptions {
		h.Set("Access-Control-Expose-Headers", "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date")
		return false
	}
	for asked, allowed := range map[string]string{
		"Access-Control-Request-Headers": "Access-Control-Allow-Headers",
		"Access-Control-Request-Method":  "Access-Control-Allow-Methods",
	} {
		if v := r.Header.Get(asked); v != "" {
			h.Set(allowed, v)
		}
	}
	h.Set("Access-Control-Max-Age", "172800")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
	return true
}

// run carries out the call under the faults an operator ordered. lose says that
// the connection is to be dropped instead of an answer.
func (s *Server) run(r *http.Request, c *call, op operation) (answer any, err error, lose bool) {
	f := s.faults.take(c.op)
	c.fault = f
	if f != nil {
		if !pause(r, f.delay) || f.Drop == dropBefore {
			return nil, nil, true
		}
		c.now = s.clock.now()
		if f.Error != "" {
			return nil, f.apiError(), false
		}
	}
	answer, err = op(s, c)
	return answer, err, f != nil && f.Drop == dropAfter
}

// pause waits, or returns false when the client went away first.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (s *Server) fail(w http.ResponseWriter, c *call, err error) {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		s.log.Error("call failed", zap.String("operation", c.op), zap.Error(err))
		e, _ = errors.AsType[*apiError](internalFailure())
	}
	w.Header().Set("x-amzn-ErrorType", e.code)
	write(w, e.status, c.codec.contentType(), c.codec.append(nil, e.members()))
}

// write sends an answer in one piece with its length, so that a client sees a
// torn one as an error.
func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client went away: it will ask again
}

// readBody reads the whole request before anything is answered: a client that
// still sends may see a reset connection instead of the answer.
func readBody(into *[]byte, r *http.Request) (int, error) {
	b := (*into)[:0]
	if n := r.ContentLength; n > 0 && n <= bodyMax && int64(cap(b)) <= n {
		b = make([]byte, 0, n+1) // one more, so that the last read sees the end
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > bodyMax {
			_, _ = io.CopyN(io.Discard, r.Body, drainMax)
			return http.StatusRequestEntityTooLarge, nil
		}
		if err == io.EOF {
			*into = b
			return http.StatusOK, nil
		}
		if err != nil {
			return 0, fmt.Errorf("read request: %w", err)
		}
	}
}

// requestID is a random UUID, or counts in a deterministic server.
func (s *Server) requestID() string {
	var id [16]byte
	if s.cfg.Deterministic {
		binary.BigEndian.PutUint64(id[8:], s.requests.Add(1))
	} else {
		_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
