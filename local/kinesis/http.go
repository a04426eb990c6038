package kinesis

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
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
)

const (
	target      = "Kinesis_20131202."
	contentJSON = "application/x-amz-json-1.1"
	// bodyMax is above the 10 MiB of a full PutRecords in base64 (13.4 MiB) with
	// its keys. A greater body is read on to drainMax, so that the client sees
	// the 413 and not a broken connection.
	bodyMax  = 15 << 20
	drainMax = 64 << 20
)

// A call is one request on its way through an operation.
type call struct {
	op   string
	now  time.Time
	body []byte // valid until the answer is written
	// fault is what an operator ordered for this call, or nil.
	fault *fault
}

// An operation answers a call. Its answer is nil, something encoding/json
// encodes, or an appender. Its errors are *apiError; others are logged and hidden.
type operation func(*Server, *call) (any, error)

// An appender writes its own JSON, into a buffer that is used again.
type appender interface{ appendJSON([]byte) []byte }

// operations are what this server has. A name that is not here is answered
// UnknownOperationException.
var operations = map[string]operation{
	"CreateStream":                  (*Server).createStream,
	"DecreaseStreamRetentionPeriod": (*Server).decreaseRetention,
	"DeleteStream":                  (*Server).deleteStream,
	"DescribeStream":                (*Server).describeStream,
	"DescribeStreamSummary":         (*Server).describeStreamSummary,
	"GetRecords":                    (*Server).getRecords,
	"GetShardIterator":              (*Server).getShardIterator,
	"IncreaseStreamRetentionPeriod": (*Server).increaseRetention,
	"ListShards":                    (*Server).listShards,
	"ListStreams":                   (*Server).listStreams,
	"MergeShards":                   (*Server).mergeShards,
	"PutRecord":                     (*Server).putRecord,
	"PutRecords":                    (*Server).putRecords,
	"SplitShard":                    (*Server).splitShard,
	"UpdateMaxRecordSize":           (*Server).updateMaxRecordSize,
}

// buffers are request and answer bodies, up to 15 MiB each; the runtime frees
// those that idle.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// ServeHTTP is the Kinesis API on any path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-amzn-RequestId", requestID())
	w.Header().Set("x-amz-id-2", requestID())
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
	if media != contentJSON {
		if media == "application/json" {
			write(w, http.StatusNotFound, media, []byte(`{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`))
			return
		}
		write(w, http.StatusNotFound, "application/xml", []byte("<UnknownOperationException/>\n"))
		return
	}
	c := &call{op: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target), now: s.clock.now(), body: *in}
	op, known := operations[c.op]
	if !known || !strings.HasPrefix(r.Header.Get("X-Amz-Target"), target) {
		s.fail(w, c, clientError("UnknownOperationException", ""))
		return
	}
	s.sweepIfDue(c.now)
	answer, err, lose := s.run(r, c, op)
	if lose {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		s.fail(w, c, err)
		return
	}
	out := buffers.Get().(*[]byte)
	defer buffers.Put(out)
	*out = encode((*out)[:0], answer)
	write(w, http.StatusOK, contentJSON, *out)
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
	write(w, e.status, contentJSON, e.body())
}

func encode(b []byte, answer any) []byte {
	if answer == nil {
		return append(b, "{}"...)
	}
	if a, ok := answer.(appender); ok {
		return a.appendJSON(b)
	}
	out := bytes.NewBuffer(b)
	if err := json.NewEncoder(out).Encode(answer); err != nil { // our own structs of strings and numbers
		panic(err)
	}
	return out.Bytes()
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

func requestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
