package consumer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/standpipe/standpipe"
)

// service is a small Kinesis at the wire: it speaks JSON 1.1 to the real SDK,
// over HTTP or in process. Tests script its faults with before.
type service struct {
	unannounced bool // answers do not say how long they are
	mu          sync.Mutex
	created     time.Time
	retention   time.Duration
	shards      []*stubShard
	perPage     int // of ListShards
	perRead     int // records of a GetRecords
	noKids      bool
	skew        time.Duration // of its clock against ours, in the Date header
	calls       []call
	// before answers in place of the service when it returns true. It is
	// called with the lock held.
	before func(c call, w http.ResponseWriter) bool
}

type stubShard struct {
	id          string
	parents     []string
	closed      bool
	gone        bool // data calls do not find it
	unlisted    bool
	records     []stubRecord
	start, end  string // hash range
	trimmedUpTo int    // records before this index left retention
}

type stubRecord struct {
	seq     string
	arrival time.Time
	key     string
	data    []byte
}

type call struct {
	op string
	in map[string]any
	at time.Time
}

func (c call) str(k string) string { s, _ := c.in[k].(string); return s }

func newService(shards ...*stubShard) *service {
	return &service{
		created: time.Now().Add(-time.Hour), retention: 24 * time.Hour,
		shards: shards, perPage: 1000, perRead: 10_000,
	}
}

// seq is the nth sequence number, of the length real ones have.
func seq(n int) string { return "49" + fmt.Sprintf("%054d", n) }

// put appends n records whose data is their sequence number.
func (s *stubShard) put(n int, arrival time.Time) {
	for range n {
		q := seq(len(s.records) + 1)
		s.records = append(s.records, stubRecord{q, arrival, "key", []byte("data " + q)})
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	op := req.Header.Get("X-Amz-Target")
	op = op[strings.IndexByte(op, '.')+1:]
	body, _ := io.ReadAll(req.Body)
	c := call{op: op, in: map[string]any{}, at: time.Now()}
	_ = json.Unmarshal(body, &c.in)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Date", time.Now().Add(s.skew).UTC().Format(http.TimeFormat))
	if s.before != nil && s.before(c, w) {
		return
	}
	switch op {
	case "DescribeStreamSummary":
		s.answer(w, map[string]any{"StreamDescriptionSummary": map[string]any{
			"StreamName": "s", "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s",
			"StreamStatus": "UPDATING", "RetentionPeriodHours": int(s.retention.Hours()),
			"StreamCreationTimestamp": float64(s.created.UnixMilli()) / 1000,
			"EnhancedMonitoring":      []any{}, "OpenShardCount": 1,
		}})
	case "ListShards":
		s.listShards(w, c)
	case "GetShardIterator":
		s.getIterator(w, c)
	case "GetRecords":
		s.getRecords(w, c)
	default:
		s.fail(w, 400, "UnknownOperationException", op)
	}
}

func (s *service) answer(w http.ResponseWriter, v any) {
	b, _ := json.Marshal(v)
	if !s.unannounced {
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	}
	w.WriteHeader(200)
	_, _ = w.Write(b)
}

func (s *service) fail(w http.ResponseWriter, status int, code, message string) {
	b, _ := json.Marshal(map[string]string{"__type": code, "message": message})
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func (s *service) listShards(w http.ResponseWriter, c call) {
	from := 0
	if token := c.str("NextToken"); token != "" {
		if c.str("StreamName") != "" || c.str("StreamARN") != "" {
			s.fail(w, 400, "InvalidArgumentException", "NextToken and StreamName cannot be provided together.")
			return
		}
		from, _ = strconv.Atoi(token)
	}
	listed := slices.DeleteFunc(slices.Clone(s.shards), func(sh *stubShard) bool { return sh.unlisted })
	to := min(from+s.perPage, len(listed))
	var out []any
	for _, sh := range listed[from:to] {
		m := map[string]any{
			"ShardId":             sh.id,
			"HashKeyRange":        map[string]string{"StartingHashKey": or(sh.start, "0"), "EndingHashKey": or(sh.end, "9")},
			"SequenceNumberRange": map[string]string{"StartingSequenceNumber": "1"},
		}
		if sh.closed {
			m["SequenceNumberRange"].(map[string]string)["EndingSequenceNumber"] = "2"
		}
		if len(sh.parents) > 0 {
			m["ParentShardId"] = sh.parents[0]
		}
		if len(sh.parents) > 1 {
			m["AdjacentParentShardId"] = sh.parents[1]
		}
		out = append(out, m)
	}
	res := map[string]any{"Shards": out}
	if to < len(listed) {
		res["NextToken"] = strconv.Itoa(to)
	}
	s.answer(w, res)
}

func or(s, d string) string {
	if s == "" {
		return d
	}
	return s
}

func (s *service) find(w http.ResponseWriter, id string) *stubShard {
	for _, sh := range s.shards {
		if sh.id == id && !sh.gone {
			return sh
		}
	}
	s.fail(w, 400, "ResourceNotFoundException", "Shard "+id+" in stream s under account 000000000000 does not exist")
	return nil
}

func (s *service) getIterator(w http.ResponseWriter, c call) {
	sh := s.find(w, c.str("ShardId"))
	if sh == nil {
		return
	}
	i := 0
	switch kind, at := c.str("ShardIteratorType"), c.str("StartingSequenceNumber"); kind {
	case "LATEST":
		i = len(sh.records)
	case "AT_TIMESTAMP":
		at, _ := c.in["Timestamp"].(float64)
		t := time.UnixMilli(int64(at*1000 + 0.5))
		if t.After(time.Now()) {
			s.fail(w, 400, "InvalidArgumentException", "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: 2, currentTimestampInMillis: 1")
			return
		}
		for i < len(sh.records) && sh.records[i].arrival.Before(t) {
			i++
		}
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		for i < len(sh.records) {
			c := standpipe.CompareSequence(sh.records[i].seq, at)
			if c > 0 || c == 0 && kind == "AT_SEQUENCE_NUMBER" {
				break
			}
			i++
		}
	}
	s.answer(w, map[string]any{"ShardIterator": s.iterator(sh.id, i)})
}

func (s *service) iterator(id string, i int) string {
	return fmt.Sprintf("%s/%d/%d", id, i, time.Now().UnixMilli())
}

func (s *service) getRecords(w http.ResponseWriter, c call) {
	parts := strings.Split(c.str("ShardIterator"), "/")
	if len(parts) != 3 {
		s.fail(w, 400, "InvalidArgumentException", "Invalid ShardIterator.")
		return
	}
	issued, _ := strconv.ParseInt(parts[2], 10, 64)
	if time.Since(time.UnixMilli(issued)) > 300*time.Second {
		s.fail(w, 400, "ExpiredIteratorException", "Iterator expired.")
		return
	}
	sh := s.find(w, parts[0])
	if sh == nil {
		return
	}
	i, _ := strconv.Atoi(parts[1])
	i = max(i, sh.trimmedUpTo)
	limit := s.perRead
	if l, ok := c.in["Limit"].(float64); ok {
		limit = min(limit, int(l))
	}
	to := min(i+limit, len(sh.records))
	s.answer(w, s.page(sh, i, to))
}

func (s *service) page(sh *stubShard, i, to int) map[string]any {
	records := []any{}
	for _, r := range sh.records[i:to] {
		records = append(records, map[string]any{
			"SequenceNumber": r.seq, "PartitionKey": r.key, "Data": base64.StdEncoding.EncodeToString(r.data),
			"ApproximateArrivalTimestamp": json.Number(fmt.Sprintf("%d.%03d", r.arrival.Unix(), r.arrival.Nanosecond()/1e6)),
		})
	}
	out := map[string]any{"Records": records, "MillisBehindLatest": 0}
	if to < len(sh.records) {
		out["MillisBehindLatest"] = max(time.Since(sh.records[to].arrival).Milliseconds(), 2000)
	}
	if !sh.closed || to < len(sh.records) {
		out["NextShardIterator"] = s.iterator(sh.id, to)
		return out
	}
	if s.noKids {
		return out
	}
	var kids []any
	for _, k := range s.shards {
		if slices.Contains(k.parents, sh.id) {
			kids = append(kids, map[string]any{
				"ShardId": k.id, "ParentShards": k.parents,
				"HashKeyRange": map[string]string{"StartingHashKey": "0", "EndingHashKey": "9"},
			})
		}
	}
	out["ChildShards"] = kids
	return out
}

// Do makes the service an HTTP client, for tests inside a synctest bubble.
func (s *service) Do(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w.Result(), req.Context().Err()
}

func (s *service) count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if c.op == op {
			n++
		}
	}
	return n
}

// kinds lists the iterator types asked for.
func (s *service) kinds() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c.op == "GetShardIterator" {
			out = append(out, c.str("ShardIteratorType"))
		}
	}
	return out
}

func testConfig() aws.Config {
	return aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", "")}
}

// dial returns a client that reaches the service in process.
func (s *service) dial(opts ...Option) *Client {
	cfg := testConfig()
	cfg.HTTPClient = s
	return NewClient(cfg, "s", append([]Option{WithSeed(1)}, opts...)...)
}

// listen returns a client that reaches the handler over HTTP.
func listen(t *testing.T, h http.Handler) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	cfg := testConfig()
	cfg.BaseEndpoint = aws.String(srv.URL)
	c := NewClient(cfg, "s", WithSeed(1))
	t.Cleanup(func() { c.Close(); srv.Close() })
	return c
}

// step reads one page, waiting for the reader's pace, and returns a copy that
// outlives it.
func step(t *testing.T, r *Reader) Page {
	t.Helper()
	p, err := tryStep(t, r)
	if err != nil {
		t.Fatalf("read page: %v", err)
	}
	return p
}

func tryStep(t *testing.T, r *Reader) (Page, error) {
	t.Helper()
	time.Sleep(time.Until(r.Ready()))
	if err := r.Fetch(t.Context(), MaxPage); err != nil {
		return Page{}, err
	}
	page, err := r.Decode()
	if err != nil {
		r.Done()
		return Page{}, err
	}
	out := *page
	out.Records = nil
	for _, rec := range page.Records {
		rec.Data, rec.Sequence, rec.PartitionKey = bytes.Clone(rec.Data), bytes.Clone(rec.Sequence), bytes.Clone(rec.PartitionKey)
		out.Records = append(out.Records, rec)
	}
	r.Done()
	return out, nil
}

// drain reads until the end of the shard and returns what came.
func drain(t *testing.T, r *Reader) (seqs []string, last Page) {
	t.Helper()
	for range 200 {
		p := step(t, r)
		for _, rec := range p.Records {
			seqs = append(seqs, string(rec.Sequence))
		}
		if p.End {
			return seqs, p
		}
	}
	t.Fatal("the shard did not end within 200 pages")
	return nil, Page{}
}

// sequences are the numbers from first to last.
func sequences(first, last int) (out []string) {
	for i := first; i <= last; i++ {
		out = append(out, seq(i))
	}
	return out
}

func seqsOf(p Page) (out []string) {
	for _, r := range p.Records {
		out = append(out, string(r.Sequence))
	}
	return out
}

func from(sequence string) Start { return Start{Position: standpipe.Position{Sequence: sequence}} }

func shardNamed(id string) standpipe.Shard { return standpipe.Shard{ID: standpipe.ShardID(id)} }

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// silent is a configuration whose GetRecords calls never get an answer.
func silent(s *service) aws.Config {
	cfg := testConfig()
	cfg.HTTPClient = doFunc(func(req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "GetRecords") {
			<-req.Context().Done()
			return nil, req.Context().Err()
		}
		return s.Do(req)
	})
	return cfg
}

// narrow is a configuration whose GetRecords answers come at rate bytes a second.
func narrow(s *service, rate int) aws.Config {
	cfg := testConfig()
	cfg.HTTPClient = doFunc(func(req *http.Request) (*http.Response, error) {
		resp, err := s.Do(req)
		if err == nil && strings.HasSuffix(req.Header.Get("X-Amz-Target"), "GetRecords") {
			resp.Body = &trickle{req: req, rest: resp.Body, rate: rate}
		}
		return resp, err
	})
	return cfg
}

// A trickle gives a tenth of a second's bytes every tenth of a second.
type trickle struct {
	req  *http.Request
	rest io.ReadCloser
	rate int
}

func (b *trickle) Read(p []byte) (int, error) {
	time.Sleep(time.Second / 10)
	if err := b.req.Context().Err(); err != nil {
		return 0, err
	}
	return b.rest.Read(p[:min(len(p), b.rate/10)])
}

func (b *trickle) Close() error { return b.rest.Close() }
