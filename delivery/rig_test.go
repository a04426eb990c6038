package delivery

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	storemem "github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/local/kinesis"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
	sinkmem "github.com/standpipe/standpipe/sink/memory"
)

// A rig is a stream, a store and a bucket that outlive workers. It is made
// inside a synctest bubble, so an hour of outage costs nothing. All parts are
// the real ones; the stream's server is called in process.
type rig struct {
	t        *testing.T
	server   *kinesis.Server
	store    checkpoint.Store
	sink     sink.Sink
	bucket   *sinkmem.Sink // sink, when it is the one in memory
	keyer    *sink.Keyer
	codec    sink.Codec
	budget   *Budget
	slots    *sink.Slots
	settings Settings
	logs     *observer.ObservedLogs
	log      *zap.Logger

	started int
	want    map[string]int    // every line that was put, with its multiplicity
	records int64             // stream records put
	counted map[string]int64  // records of the manifests read so far, by chain and number
	sums    map[string]string // CRC-32 of the visible objects, as data saw them
}

const streamName = "orders"

func newRig(t *testing.T, shards int, change ...func(*rig)) *rig {
	t.Helper()
	server, err := kinesis.New(kinesis.Config{Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	r := &rig{
		t: t, server: server, store: new(storemem.Store), bucket: sinkmem.New(sinkmem.Options{}),
		budget: NewBudget(256 << 20), slots: sink.NewSlots(4), want: map[string]int{}, counted: map[string]int64{}, logs: logs, log: zap.New(core),
		settings: Settings{
			Start: atHorizon(), RecordFormat: Lines, Deaggregation: consumer.KeepAll,
			Limits:  batcher.Limits{Bytes: 1 << 20, Age: 10 * time.Second, Batches: 100},
			Absence: Absence{AbortAfter: 7 * 24 * time.Hour, Ambiguous: Halt}, DrainTimeout: time.Minute,
		},
	}
	r.sink = r.bucket
	r.prefix("data/!{timestamp:yyyy/MM/dd/HH}/")
	for _, c := range change {
		c(r)
	}
	r.call("CreateStream", map[string]any{"StreamName": streamName, "ShardCount": shards, "MaxRecordSizeInKiB": 10240})
	return r
}

func atHorizon() consumer.Start {
	return consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}}
}

func (r *rig) prefix(expression string) {
	r.t.Helper()
	keyer, err := sink.NewKeyer(sink.KeyConfig{Prefix: expression, ErrorPrefix: "errors/", StreamName: streamName, Version: 1, Codec: r.codec})
	if err != nil {
		r.t.Fatal(err)
	}
	r.keyer = keyer
}

// call is one request of a producer or an operator, and its answer.
func (r *rig) call(op string, in map[string]any) map[string]any {
	r.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		r.t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		r.t.Fatalf("%s: %d %s", op, w.Code, w.Body)
	}
	out := map[string]any{}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			r.t.Fatal(err)
		}
	}
	return out
}

// admin gives the stream's server an order.
func (r *rig) admin(path, order string) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.server.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(order)))
	if w.Code != http.StatusOK {
		r.t.Fatalf("%s: %s", path, w.Body)
	}
}

// put puts one record and notes the lines it must become. It returns the
// shard and the sequence number.
func (r *rig) put(key string, data []byte, lines ...string) (standpipe.ShardID, string) {
	r.t.Helper()
	return r.putTo(map[string]any{"PartitionKey": key}, data, lines)
}

func (r *rig) putTo(in map[string]any, data []byte, lines []string) (standpipe.ShardID, string) {
	r.t.Helper()
	in["StreamName"], in["Data"] = streamName, base64.StdEncoding.EncodeToString(data)
	out := r.call("PutRecord", in)
	for _, l := range lines {
		r.want[l]++
	}
	r.records++
	return standpipe.ShardID(out["ShardId"].(string)), out["SequenceNumber"].(string)
}

// event puts a record of one line.
func (r *rig) event(n int) {
	r.t.Helper()
	line := fmt.Sprintf(`{"event":%d}`, n)
	r.put(fmt.Sprintf("key-%d", n), []byte(line), line)
}

func (r *rig) events(from, to int) {
	r.t.Helper()
	for n := from; n < to; n++ {
		r.event(n)
	}
}

func (r *rig) split(shard string, at string) {
	r.t.Helper()
	r.call("SplitShard", map[string]any{"StreamName": streamName, "ShardToSplit": shard, "NewStartingHashKey": at})
}

func (r *rig) merge(a, b string) {
	r.t.Helper()
	r.call("MergeShards", map[string]any{"StreamName": streamName, "ShardToMerge": a, "AdjacentShardToMerge": b})
}

func shardID(n int) standpipe.ShardID { return standpipe.ShardID(fmt.Sprintf("shardId-%012d", n)) }

// A gate is the end of every wire of one process. What a test hangs into it is
// asked about each call; do is the call itself.
type gate struct {
	mu    sync.Mutex
	dead  bool
	hook  func(ctx context.Context, op string, do func() error) error
	calls map[string]int

	garbled bool              // answers to GetRecords are nonsense
	stalled standpipe.ShardID // whose reads fail
}

var errDead = errors.New("the process is dead")

func (g *gate) pass(ctx context.Context, op string, do func() error) error {
	g.mu.Lock()
	dead, hook := g.dead, g.hook
	g.calls[op]++
	g.mu.Unlock()
	switch {
	case dead:
		return errDead
	case hook != nil:
		return hook(ctx, op, do)
	}
	return do()
}

func (g *gate) set(hook func(ctx context.Context, op string, do func() error) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook, g.stalled = hook, ""
}

func (g *gate) count(op string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[op]
}

func (g *gate) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dead = true
}

// refuse answers the named calls with err until the gate is set anew.
func (g *gate) refuse(err error, ops ...string) {
	g.set(func(_ context.Context, op string, do func() error) error {
		if slices.Contains(ops, op) {
			return err
		}
		return do()
	})
}

var (
	sinkCalls  = []string{"begin", "append", "publish", "discard", "probe", "write", "read", "put"}
	storeCalls = []string{"create", "get", "list", "take", "prepare", "commit", "rollback", "repair", "advance", "release"}
)

func unavailable(who string) error {
	return &standpipe.Error{Class: standpipe.Retryable, Op: who, Err: errors.New("503 Service Unavailable")}
}

func denied(who string) error {
	return &standpipe.Error{Class: standpipe.Denied, Op: who, Err: errors.New("403 AccessDenied"), Hint: "grant it"}
}

// sent is the context of a request that has left: the end of its caller does
// not keep it from arriving.
func sent(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// gatedStore is a checkpoint.Store behind a gate.
type gatedStore struct {
	checkpoint.Store
	gate *gate
}

func (s gatedStore) Create(ctx context.Context, l checkpoint.Lease) error {
	return s.gate.pass(ctx, "create", func() error { return s.Store.Create(sent(ctx), l) })
}

func (s gatedStore) Get(ctx context.Context, id standpipe.ShardID) (l checkpoint.Lease, err error) {
	err = s.gate.pass(ctx, "get", func() (err error) { l, err = s.Store.Get(sent(ctx), id); return err })
	return l, err
}

func (s gatedStore) List(ctx context.Context) (l []checkpoint.Lease, err error) {
	err = s.gate.pass(ctx, "list", func() (err error) { l, err = s.Store.List(sent(ctx)); return err })
	return l, err
}

func (s gatedStore) Update(ctx context.Context, u checkpoint.Update) (l checkpoint.Lease, err error) {
	err = s.gate.pass(ctx, kindOf(u), func() (err error) { l, err = s.Store.Update(sent(ctx), u); return err })
	return l, err
}

func kindOf(u checkpoint.Update) string {
	switch s := u.Set; {
	case s.NextEpoch:
		return "take"
	case s.Pending != nil && s.Flush != nil:
		return "prepare"
	case s.Pending != nil:
		return "repair"
	case s.Checkpoint != nil && s.ClearPending:
		return "commit"
	case s.ClearPending:
		return "rollback"
	case s.Checkpoint != nil:
		return "advance"
	}
	return "release"
}

// gatedSink is a sink.Sink behind a gate.
type gatedSink struct {
	sink.Sink
	gate *gate
}

func (s gatedSink) Begin(ctx context.Context, o sink.Object) (u sink.Upload, err error) {
	err = s.gate.pass(ctx, "begin", func() (err error) { u, err = s.Sink.Begin(sent(ctx), o); return err })
	return u, err
}

func (s gatedSink) Append(ctx context.Context, u sink.Upload, n int, b sink.Body) (p sink.Part, err error) {
	err = s.gate.pass(ctx, "append", func() (err error) { p, err = s.Sink.Append(sent(ctx), u, n, b); return err })
	return p, err
}

func (s gatedSink) Publish(ctx context.Context, u sink.Upload) error {
	return s.gate.pass(ctx, "publish", func() error { return s.Sink.Publish(sent(ctx), u) })
}

func (s gatedSink) Discard(ctx context.Context, u sink.Upload) error {
	return s.gate.pass(ctx, "discard", func() error { return s.Sink.Discard(sent(ctx), u) })
}

func (s gatedSink) Probe(ctx context.Context, key string) (i sink.Info, err error) {
	err = s.gate.pass(ctx, "probe", func() (err error) { i, err = s.Sink.Probe(sent(ctx), key); return err })
	return i, err
}

func (s gatedSink) WriteOnce(ctx context.Context, key string, b []byte) error {
	return s.gate.pass(ctx, "write", func() error { return s.Sink.WriteOnce(sent(ctx), key, b) })
}

func (s gatedSink) Read(ctx context.Context, key string, limit int64) (b []byte, err error) {
	err = s.gate.pass(ctx, "read", func() (err error) { b, err = s.Sink.Read(sent(ctx), key, limit); return err })
	return b, err
}

func (s gatedSink) Put(ctx context.Context, o sink.Object, b io.ReadSeeker) error {
	return s.gate.pass(ctx, "put", func() error { return s.Sink.Put(sent(ctx), o, b) })
}

// wire is the HTTP client of a process: it ends in the stream's server, after
// the gate. Calls are named as Kinesis names them.
type wire struct {
	server http.Handler
	gate   *gate
}

func (w wire) Do(req *http.Request) (res *http.Response, err error) {
	op := req.Header.Get("X-Amz-Target")
	op = op[strings.IndexByte(op, '.')+1:]
	err = w.gate.pass(req.Context(), op, func() error {
		if err := req.Context().Err(); err != nil {
			return err
		}
		if w.gate.stalls(req, op) {
			return errors.New("connection reset by peer")
		}
		rec := httptest.NewRecorder()
		w.server.ServeHTTP(rec, req)
		w.gate.mu.Lock()
		garbled := w.gate.garbled
		w.gate.mu.Unlock()
		if garbled && op == "GetRecords" {
			rec.Body = bytes.NewBufferString(`{"Records":[{"Data":"!","SequenceNumber":"x"}]}`)
			rec.Header().Del("Content-Length")
		}
		res = rec.Result()
		res.ContentLength = int64(rec.Body.Len())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// stalls reports whether the call reads the shard that a test holds up. The
// server's iterators are opaque, so it is GetShardIterator that fails: the
// test lets iterators expire.
func (g *gate) stalls(req *http.Request, op string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stalled == "" || op != "GetShardIterator" || req.GetBody == nil {
		return false
	}
	body, err := req.GetBody()
	if err != nil {
		return false
	}
	b, _ := io.ReadAll(body)
	return strings.Contains(string(b), string(g.stalled))
}

// A node is one start of a worker.
type node struct {
	*Worker
	rig  *rig
	gate *gate
	reg  *prometheus.Registry
	stop context.CancelFunc
	done chan struct{}
	err  error // of Run, once done is closed
}

// boot makes a node that does not run yet.
func (r *rig) boot() *node {
	r.started++
	p := &node{rig: r, gate: &gate{calls: map[string]int{}}, reg: prometheus.NewRegistry(), done: make(chan struct{})}
	client := consumer.NewClient(aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		HTTPClient: wire{r.server, p.gate},
	}, streamName, consumer.WithSeed(uint64(r.started)))
	settings := r.settings
	settings.Worker = fmt.Sprintf("worker-%d", r.started)
	p.Worker = NewWorker(settings, Parts{
		Stream: Kinesis{client}, Store: gatedStore{r.store, p.gate}, Sink: gatedSink{r.sink, p.gate},
		Keyer: r.keyer, Codec: r.codec, Slots: r.slots, Budget: r.budget, Logger: r.log, Registerer: p.reg,
	})
	return p
}

func (p *node) run() *node {
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		defer close(p.done)
		p.err = p.Run(ctx)
	}()
	p.rig.t.Cleanup(p.crash) // a test that failed half-way leaves no goroutine
	return p
}

func (r *rig) start() *node { return r.boot().run() }

// end stops the process gracefully and returns what Run returned.
func (p *node) end() error {
	p.stop()
	<-p.done
	return p.err
}

// crash is kill -9: nothing of what the process still does reaches anybody.
func (p *node) crash() {
	p.gate.kill()
	p.stop()
	<-p.done
}

// until lets virtual time pass until the condition holds.
func (r *rig) until(what string, holds func() bool) {
	r.t.Helper()
	for range 20_000 {
		if holds() {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	r.t.Fatalf("in vain: %s\nleases %+v", what, r.leases())
}

// delivered waits until every record that was put is committed.
func (r *rig) delivered() {
	r.t.Helper()
	r.until("every record is committed", func() bool { return r.committed() >= r.records })
}

// committed counts the stream records that manifests account for.
func (r *rig) committed() (n int64) {
	for _, l := range r.leases() {
		for k := int64(1); k <= l.Commits; k++ {
			key := manifest.Key(originOf(l), k)
			if _, ok := r.counted[key]; !ok {
				r.counted[key] = r.manifest(key).Counts.Records
			}
			n += r.counted[key]
		}
	}
	return n
}

func (r *rig) manifest(key string) (m manifest.Manifest) {
	r.t.Helper()
	b, err := r.sink.Read(context.Background(), key, 64<<20)
	if err != nil {
		r.t.Fatalf("read %s: %v", key, err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) leases() []checkpoint.Lease {
	r.t.Helper()
	all, err := r.store.List(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) lease(id standpipe.ShardID) checkpoint.Lease {
	r.t.Helper()
	l, err := r.store.Get(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// begun says that something of the shard is committed.
func (r *rig) begun(id standpipe.ShardID) bool {
	r.t.Helper()
	return slices.ContainsFunc(r.leases(), func(l checkpoint.Lease) bool { return l.Shard == id && !l.Checkpoint.AtStart() })
}

func originOf(l checkpoint.Lease) manifest.Origin {
	return manifest.Origin{Stream: streamName, Created: l.StreamCreated, Incarnation: l.Incarnation, Shard: l.Shard}
}

// manifests reads the chain of a lease as far as it is committed.
func (r *rig) manifests(l checkpoint.Lease) (all []manifest.Manifest) {
	r.t.Helper()
	for n := int64(1); n <= l.Commits; n++ {
		all = append(all, r.manifest(manifest.Key(originOf(l), n)))
	}
	return all
}

// data is every visible object but the state's, decoded.
func (r *rig) data() map[string][]byte {
	r.t.Helper()
	out := map[string][]byte{}
	r.sums = map[string]string{}
	for _, o := range r.bucket.Objects() {
		if !strings.HasPrefix(o.Key, manifest.StatePrefix) {
			r.sums[o.Key] = fmt.Sprintf("%08x", crc32.ChecksumIEEE(o.Body))
			out[o.Key] = r.decode(o.Body)
		}
	}
	return out
}

func (r *rig) decode(body []byte) []byte {
	r.t.Helper()
	if r.codec.Format() != sink.Gzip {
		return body
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// verify demands the promise: every line that was put is visible as often as
// it was put, and the chains of manifests prove it.
func (r *rig) verify() {
	r.t.Helper()
	got := map[string]int{}
	for key, body := range r.data() {
		for line := range strings.Lines(string(body)) {
			if !strings.HasSuffix(line, "\n") {
				r.t.Errorf("object %s does not end in a newline", key)
			}
			got[strings.TrimSuffix(line, "\n")]++
		}
	}
	for line, n := range r.want {
		if got[line] != n {
			r.t.Errorf("line %.60q is visible %d times, was put %d times", line, got[line], n)
		}
	}
	for line, n := range got {
		if r.want[line] == 0 {
			r.t.Errorf("line %.60q is visible %d times and was never put", line, n)
		}
	}
	r.verifyChains()
}

// verifyChains demands that the manifests chain, add up and name every object once.
func (r *rig) verifyChains() {
	r.t.Helper()
	data, named := r.data(), map[string]bool{}
	var records int64
	for _, l := range r.leases() {
		var previous *manifest.Manifest
		for _, m := range r.manifests(l) {
			r.verifyManifest(m, data, named)
			records += m.Counts.Records
			switch {
			case previous == nil && !m.Previous.AtStart():
				r.t.Errorf("the first manifest of %s follows %s", l.Shard, m.Previous)
			case previous != nil && (m.Previous != previous.Last || m.Number != previous.Number+1):
				r.t.Errorf("manifest %d of %s follows %s, the one before ends at %s", m.Number, l.Shard, m.Previous, previous.Last)
			}
			previous = &m
		}
		if previous != nil && previous.Last != l.Checkpoint {
			r.t.Errorf("the checkpoint of %s is %s, its last manifest ends at %s", l.Shard, l.Checkpoint, previous.Last)
		}
	}
	if records != r.records {
		r.t.Errorf("manifests count %d records, %d were put", records, r.records)
	}
	for key := range data {
		if !named[key] {
			r.t.Errorf("object %s is in no manifest", key)
		}
	}
}

func (r *rig) verifyManifest(m manifest.Manifest, data map[string][]byte, named map[string]bool) {
	r.t.Helper()
	var all standpipe.Digest
	counts := manifest.Counts{Records: m.Counts.Dropped, Dropped: m.Counts.Dropped}
	for _, o := range m.Objects {
		if named[o.Key] {
			r.t.Errorf("object %s is in two manifests", o.Key)
		}
		named[o.Key] = true
		body, ok := data[o.Key]
		if !ok {
			r.t.Errorf("manifest %d of %s names %s, which is not there", m.Number, m.Shard, o.Key)
			continue
		}
		var d standpipe.Digest
		if r.settings.RecordFormat == Lines {
			for line := range bytes.Lines(body) {
				d.Add(bytes.TrimSuffix(line, []byte("\n")))
			}
			if d.Lines != o.Lines || d.Sum() != o.Hash {
				r.t.Errorf("object %s has %d lines %s, its manifest says %d lines %s", o.Key, d.Lines, d.Sum(), o.Lines, o.Hash)
			}
		}
		if o.CRC32 != r.sums[o.Key] {
			r.t.Errorf("object %s has checksum %s, its manifest says %s", o.Key, r.sums[o.Key], o.CRC32)
		}
		if int64(len(body)) != o.Bytes {
			r.t.Errorf("object %s has %d bytes, its manifest says %d", o.Key, len(body), o.Bytes)
		}
		all.Merge(d)
		counts.Records, counts.Lines, counts.Bytes = counts.Records+o.Records, counts.Lines+o.Lines, counts.Bytes+o.Bytes
	}
	if counts != m.Counts {
		r.t.Errorf("manifest %d of %s counts %+v, its objects add up to %+v", m.Number, m.Shard, m.Counts, counts)
	}
	if r.settings.RecordFormat == Lines && all.Sum() != m.Hash {
		r.t.Errorf("manifest %d of %s has hash %s, its objects %s", m.Number, m.Shard, m.Hash, all.Sum())
	}
}

// idle demands that a finished worker left no memory taken and no staged object.
func (r *rig) idle() {
	r.t.Helper()
	if n := r.budget.Used(); n != 0 {
		r.t.Errorf("%d bytes of the budget were never given back", n)
	}
	if s := r.bucket.Staged(); len(s) > 0 {
		r.t.Errorf("%d staged objects were left behind, the first %s", len(s), s[0].Key)
	}
}

func (p *node) status(id standpipe.ShardID) ShardStatus {
	for _, s := range p.Status() {
		if s.Shard == id {
			return s
		}
	}
	return ShardStatus{}
}
