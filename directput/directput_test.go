package directput

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	ktypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	server "github.com/standpipe/standpipe/local/kinesis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// direct is an HTTP client that calls a handler without a network, so that it
// works in a synctest bubble too. A handler that gives up becomes a connection
// that broke.
type direct struct{ http.Handler }

var errBroke = errors.New("connection broke")

func (d direct) Do(r *http.Request) (_ *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil {
			err = errBroke
		}
	}()
	body := []byte(nil)
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	in := r.Clone(r.Context())
	in.Body, in.ContentLength, in.RemoteAddr = io.NopCloser(bytes.NewReader(body)), int64(len(body)), "192.0.2.1:1"
	w := httptest.NewRecorder()
	d.ServeHTTP(w, in)
	return w.Result(), nil
}

var anyone = credentials.NewStaticCredentialsProvider("test", "test", "")

// A rig is a producer's client, the door and the stream behind it.
type rig struct {
	t        testing.TB
	producer *firehose.Client
	door     *Server
	stream   *server.Server
	kinesis  *kinesis.Client
	registry *prometheus.Registry
	log      *observer.ObservedLogs

	// between sees each request to Kinesis before it is served and may answer it.
	mu      sync.Mutex
	between func(call int, w http.ResponseWriter, r *http.Request) bool
	calls   int
}

const (
	account = "000000000000"
	region  = "us-east-1"
)

func newRig(t testing.TB, shards int) *rig {
	t.Helper()
	r := &rig{t: t, registry: prometheus.NewRegistry()}
	var err error
	if r.stream, err = server.New(server.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.stream.Close() })
	if err := r.stream.EnsureStream("events", shards); err != nil {
		t.Fatal(err)
	}
	r.kinesis = kinesis.New(kinesis.Options{
		Region: region, Credentials: anyone, Retryer: aws.NopRetryer{},
		HTTPClient: direct{http.HandlerFunc(r.serveKinesis)}, BaseEndpoint: aws.String("http://kinesis.test"),
	})
	core, log := observer.New(zapcore.DebugLevel)
	r.log = log
	r.door, err = New(Config{
		Streams: []*DeliveryStream{
			{
				Name: "clicks", Region: region, Account: account, Stream: "events", Client: r.kinesis,
				Destination: Destination{
					BucketARN: "arn:aws:s3:::lake", Prefix: "rawdata/", ErrorOutputPrefix: "errors/", CompressionFormat: "GZIP",
					CustomTimeZone: "Asia/Seoul", FileExtension: ".json.gz", SizeInMBs: 5, IntervalInSeconds: 300,
				},
			},
			{Name: "lost", Region: region, Account: account, Stream: "nowhere", Client: r.kinesis},
		},
		Registerer: r.registry, Logger: zap.New(core),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.producer = producer("http://firehose.test", direct{r.door})
	return r
}

func producer(endpoint string, client aws.HTTPClient) *firehose.Client {
	return firehose.New(firehose.Options{
		Region: region, Credentials: anyone, Retryer: aws.NopRetryer{}, HTTPClient: client, BaseEndpoint: &endpoint,
	})
}

func (r *rig) serveKinesis(w http.ResponseWriter, req *http.Request) {
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".PutRecords") {
		r.mu.Lock()
		r.calls++
		call, between := r.calls, r.between
		r.mu.Unlock()
		if between != nil && between(call, w, req) {
			return
		}
	}
	r.stream.ServeHTTP(w, req)
}

// order gives the Kinesis server a fault.
func (r *rig) order(fault string) { r.admin("fault", fault) }

func (r *rig) admin(order, body string) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.stream.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/admin/"+order, strings.NewReader(body)))
	if w.Code >= 300 {
		r.t.Fatalf("%s %s: %d %s", order, body, w.Code, w.Body)
	}
}

// stored is what the stream holds: data by "shard:sequence number".
func (r *rig) stored() map[string]string {
	r.t.Helper()
	ctx := context.Background()
	all := map[string]string{}
	list, err := r.kinesis.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("events")})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range list.Shards {
		it, err := r.kinesis.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: aws.String("events"), ShardId: s.ShardId, ShardIteratorType: ktypes.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			r.t.Fatal(err)
		}
		for next := it.ShardIterator; ; {
			page, err := r.kinesis.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				r.t.Fatal(err)
			}
			for _, rec := range page.Records {
				all[*s.ShardId+":"+*rec.SequenceNumber] = string(rec.Data)
			}
			if next = page.NextShardIterator; len(page.Records) == 0 && *page.MillisBehindLatest == 0 {
				break
			}
		}
	}
	return all
}

func batchOf(data ...string) *firehose.PutRecordBatchInput {
	in := &firehose.PutRecordBatchInput{DeliveryStreamName: aws.String("clicks")}
	for _, d := range data {
		in.Records = append(in.Records, types.Record{Data: []byte(d)})
	}
	return in
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestRecordsArriveByteForByteWhereTheirIDsSay(t *testing.T) {
	r := newRig(t, 3)
	srv := httptest.NewServer(r.door) // this one over a real network
	defer srv.Close()
	client := producer(srv.URL, srv.Client())
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	data := []string{"", "no newline", "a\nb\r\n", string(every), strings.Repeat("x", recordMax), `{"값":"서울"}` + "\n"}
	want := map[string]string{}
	out, err := client.PutRecordBatch(t.Context(), batchOf(data...))
	if err != nil {
		t.Fatal(err)
	}
	if *out.FailedPutCount != 0 || len(out.RequestResponses) != len(data) || *out.Encrypted {
		t.Fatalf("%+v", out)
	}
	for i, a := range out.RequestResponses {
		want[*a.RecordId] = data[i]
	}
	one, err := client.PutRecord(t.Context(), &firehose.PutRecordInput{DeliveryStreamName: aws.String("clicks"), Record: &types.Record{Data: every}})
	if err != nil {
		t.Fatal(err)
	}
	want[*one.RecordId] = string(every)
	got := r.stored()
	if len(got) != len(want) {
		t.Errorf("the stream has %d records, want %d", len(got), len(want))
	}
	for id, d := range want {
		if g, ok := got[id]; !ok || g != d {
			t.Errorf("%s holds %d bytes (%v), want %d", id, len(g), ok, len(d))
		}
	}
}

func TestABatchSpreadsOverAllShards(t *testing.T) {
	r := newRig(t, 4)
	if _, err := r.producer.PutRecordBatch(t.Context(), batchOf(make([]string, recordsMax)...)); err != nil {
		t.Fatal(err)
	}
	per := map[string]int{}
	for id := range r.stored() {
		shard, _, _ := strings.Cut(id, ":")
		per[shard]++
	}
	for shard, n := range per {
		if n < 60 { // 125 expected; fewer than 60 happens once in 10^10 runs
			t.Errorf("%s got %d of 500", shard, n)
		}
	}
	if len(per) != 4 {
		t.Errorf("%v", per)
	}
}

func TestOnlyRefusedRecordsAreSentAgain(t *testing.T) {
	r := newRig(t, 1)
	r.order(`{"operation":"PutRecords","records":[1,3]}`)
	r.order(`{"operation":"PutRecords","records":[0],"code":"InternalFailure"}`)
	out, err := r.producer.PutRecordBatch(t.Context(), batchOf("a", "b", "c", "d"))
	if err != nil || *out.FailedPutCount != 0 {
		t.Fatal(out, err)
	}
	var data []string
	for i, a := range out.RequestResponses {
		data = append(data, r.stored()[*a.RecordId])
		if a.ErrorCode != nil {
			t.Errorf("record %d: %s", i, *a.ErrorCode)
		}
	}
	if !slices.Equal(data, []string{"a", "b", "c", "d"}) || len(r.stored()) != 4 || r.calls != 3 {
		t.Errorf("ids lead to %q, %d stored, %d calls", data, len(r.stored()), r.calls)
	}
}

func TestThrottledRecordsAreToldApartWhenPatienceEnds(t *testing.T) {
	r := newRig(t, 1)
	r.door.putter.patience = 0
	r.order(`{"operation":"PutRecords","records":[1]}`)
	out, err := r.producer.PutRecordBatch(t.Context(), batchOf("a", "b", "c"))
	if err != nil {
		t.Fatal(err)
	}
	if a := out.RequestResponses[1]; *out.FailedPutCount != 1 || a.RecordId != nil ||
		*a.ErrorCode != "ServiceUnavailableException" || *a.ErrorMessage != "Slow down." {
		t.Errorf("%+v", out)
	}
	r.order(`{"operation":"PutRecords","error":"ProvisionedThroughputExceededException"}`)
	out, err = r.producer.PutRecordBatch(t.Context(), batchOf("d", "e"))
	if err != nil || *out.FailedPutCount != 2 || *out.RequestResponses[0].ErrorMessage != "Slow down." {
		t.Errorf("all throttled: %+v, %v", out, err)
	}
	r.order(`{"operation":"PutRecords","records":[0]}`)
	_, err = r.producer.PutRecord(t.Context(), &firehose.PutRecordInput{DeliveryStreamName: aws.String("clicks"), Record: &types.Record{Data: []byte("f")}})
	if _, ok := errors.AsType[*types.ServiceUnavailableException](err); !ok {
		t.Errorf("PutRecord: %v", err)
	}
	if n := len(r.stored()); n != 2 {
		t.Errorf("%d stored", n)
	}
}

// Nothing known is no success: neither one answered with an id, nor a request
// answered with 200.
func TestALostAnswerIsAnErrorAndNeverRepeatedFromHere(t *testing.T) {
	for _, fault := range []string{
		`{"operation":"PutRecords","drop":"after"}`,
		`{"operation":"PutRecords","drop":"before"}`,
		`{"operation":"PutRecords","error":"InternalFailure"}`,
	} {
		r := newRig(t, 1)
		r.order(fault)
		if _, err := r.producer.PutRecordBatch(t.Context(), batchOf("a", "b")); codeOf(err) != "InternalFailure" {
			t.Errorf("%s: %v", fault, err)
		}
		if r.calls != 1 {
			t.Errorf("%s: %d calls", fault, r.calls)
		}
		r.order(fault)
		_, err := r.producer.PutRecord(t.Context(), &firehose.PutRecordInput{DeliveryStreamName: aws.String("clicks"), Record: &types.Record{Data: []byte("c")}})
		if codeOf(err) != "InternalFailure" {
			t.Errorf("%s: %v", fault, err)
		}
	}
	// One part is stored, then the answer about the rest is lost.
	r := newRig(t, 1)
	r.order(`{"operation":"PutRecords","records":[0]}`)
	r.order(`{"operation":"PutRecords","drop":"after"}`)
	out, err := r.producer.PutRecordBatch(t.Context(), batchOf("a", "b"))
	if err != nil || *out.FailedPutCount != 1 || *out.RequestResponses[0].ErrorCode != "InternalFailure" || out.RequestResponses[1].RecordId == nil {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestAStreamThatCannotBeWrittenKeepsProducersTryingAndIsExplainedInTheLog(t *testing.T) {
	r := newRig(t, 1)
	r.door.putter.patience = 0
	in := batchOf("a")
	in.DeliveryStreamName = aws.String("lost")
	_, err := r.producer.PutRecordBatch(t.Context(), in)
	if _, ok := errors.AsType[*types.ServiceUnavailableException](err); !ok || strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v", err)
	}
	line := r.log.All()[0]
	if cause := fmt.Sprint(line.ContextMap()["cause"]); line.Level != zapcore.WarnLevel || !strings.Contains(cause, "Stream nowhere under account") {
		t.Errorf("%s %v", line.Level, line.ContextMap())
	}
	r.kinesis = nil
	r.door.streams["clicks"].Client = kinesis.New(kinesis.Options{
		Region: region, Credentials: anyone, Retryer: aws.NopRetryer{}, HTTPClient: new(http.Client), BaseEndpoint: aws.String("http://127.0.0.1:1"),
	})
	if _, err := r.producer.PutRecordBatch(t.Context(), batchOf("a")); codeOf(err) != "ServiceUnavailableException" {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestDescribeTellsAProducerThatItMayPut(t *testing.T) {
	r := newRig(t, 1)
	out, err := r.producer.DescribeDeliveryStream(t.Context(), &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String("clicks")})
	if err != nil {
		t.Fatal(err)
	}
	d := out.DeliveryStreamDescription
	if d.DeliveryStreamStatus != types.DeliveryStreamStatusActive || d.DeliveryStreamType != types.DeliveryStreamTypeDirectPut ||
		*d.DeliveryStreamARN != "arn:aws:firehose:us-east-1:000000000000:deliverystream/clicks" {
		t.Errorf("%+v", d)
	}
	e := d.Destinations[0].ExtendedS3DestinationDescription
	if *e.BucketARN != "arn:aws:s3:::lake" || *e.Prefix != "rawdata/" || *e.BufferingHints.SizeInMBs != 5 || *e.CustomTimeZone != "Asia/Seoul" {
		t.Errorf("%+v", e)
	}
	_, err = r.producer.DescribeDeliveryStream(t.Context(), &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String("other")})
	if n, ok := errors.AsType[*types.ResourceNotFoundException](err); !ok || *n.Message != "Firehose other under account 000000000000 not found." {
		t.Errorf("%v", err)
	}
}

func TestListPagesInOrderAndByType(t *testing.T) {
	r := newRig(t, 1)
	var got []string
	in := &firehose.ListDeliveryStreamsInput{Limit: aws.Int32(1)}
	for {
		out, err := r.producer.ListDeliveryStreams(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.DeliveryStreamNames...)
		if !*out.HasMoreDeliveryStreams {
			break
		}
		in.ExclusiveStartDeliveryStreamName = &got[len(got)-1]
	}
	if !slices.Equal(got, []string{"clicks", "lost"}) {
		t.Errorf("%q", got)
	}
	out, err := r.producer.ListDeliveryStreams(t.Context(), &firehose.ListDeliveryStreamsInput{DeliveryStreamType: types.DeliveryStreamTypeKinesisStreamAsSource})
	if err != nil || len(out.DeliveryStreamNames) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

// A full house answers at once and forgets nothing it took: the request inside
// ends well, and then there is room again.
func TestWhenMemoryIsTakenProducersAreToldToSlowDown(t *testing.T) {
	r := newRig(t, 1)
	inside, leave := make(chan struct{}), make(chan struct{})
	r.between = func(call int, _ http.ResponseWriter, _ *http.Request) bool {
		if call == 1 {
			close(inside)
			<-leave
		}
		return false
	}
	big := batchOf(slices.Repeat([]string{strings.Repeat("x", recordMax)}, 4)...)
	n := cost(int64(4*recordMax)*4/3 + 1000)
	if !r.door.memory.TryAcquire(DefaultMemory - n) {
		t.Fatal("no memory to begin with")
	}
	first := make(chan error, 1)
	go func() {
		_, err := r.producer.PutRecordBatch(context.Background(), big)
		first <- err
	}()
	select {
	case <-inside:
	case err := <-first:
		t.Fatalf("the first request was not let in: %v", err)
	}
	if _, err := r.producer.PutRecordBatch(t.Context(), big); codeOf(err) != "ServiceUnavailableException" || !strings.Contains(err.Error(), "Slow down.") {
		t.Errorf("%v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if _, err := r.producer.PutRecordBatch(t.Context(), big); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if n := len(r.stored()); n != 8 {
		t.Errorf("%d stored", n)
	}
}

// A stuck body says when it is first asked for, and comes when it is let go.
type stuck struct {
	asked   func()
	release <-chan struct{}
}

func (s stuck) Read([]byte) (int, error) {
	s.asked()
	<-s.release
	return 0, io.EOF
}

// Twenty clients announce full bodies and send nothing.
func TestAnAnnouncedBodyHoldsUpNobody(t *testing.T) {
	r := newRig(t, 1)
	release := make(chan struct{})
	var asked, group sync.WaitGroup
	for range 20 {
		asked.Add(1)
		done := sync.OnceFunc(asked.Done)
		req := httptest.NewRequest(http.MethodPost, "/", stuck{done, release})
		req.ContentLength = bodyMax
		req.Header.Set("Content-Type", contentJSON)
		req.Header.Set("X-Amz-Target", target+"PutRecord")
		group.Go(func() {
			w := httptest.NewRecorder()
			if r.door.ServeHTTP(w, req); w.Code != http.StatusBadRequest {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			done() // one that is refused is never asked
		})
	}
	asked.Wait()
	if _, err := r.producer.PutRecordBatch(t.Context(), batchOf("a")); err != nil {
		t.Error(err)
	}
	close(release)
	group.Wait()
}

func TestTwoDeliveryStreamsOfOneNameAreRefused(t *testing.T) {
	if _, err := New(Config{Streams: []*DeliveryStream{{Name: "a"}, {Name: "a"}}}); err == nil || !strings.Contains(err.Error(), "named a") {
		t.Errorf("%v", err)
	}
}
