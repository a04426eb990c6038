package kinesis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fixture is a server over loopback HTTP, its clock in the test's hand, and
// the real SDK client.
type fixture struct {
	t      *testing.T
	server *Server
	client *api.Client
	clock  atomic.Int64 // Unix ms
	url    string
	admin  *httptest.Server
}

// start0 is when every fixture's clock starts.
var start0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newFixture(t *testing.T, cfg Config) *fixture {
	t.Helper()
	f := &fixture{t: t}
	f.clock.Store(start0.UnixMilli())
	f.open(cfg)
	return f
}

// open starts a server; called again it is a restart.
func (f *fixture) open(cfg Config) {
	f.t.Helper()
	cfg.Now = func() time.Time { return time.UnixMilli(f.clock.Load()) }
	s, err := New(cfg)
	if err != nil {
		f.t.Fatalf("new server: %v", err)
	}
	f.server = s
	web := httptest.NewServer(s)
	admin := httptest.NewServer(s.Admin())
	f.admin = admin
	f.url = web.URL
	transport := &http.Transport{}
	f.client = api.New(api.Options{
		Region: "us-east-1", BaseEndpoint: &web.URL, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		HTTPClient:  memoryBody{&http.Client{Transport: transport}},
	})
	f.t.Cleanup(func() {
		transport.CloseIdleConnections()
		web.Close()
		admin.Close()
		if err := s.Close(); err != nil {
			f.t.Errorf("close server: %v", err)
		}
	})
}

// memoryBody gives requests a body net/http knows to be in memory: the SDK's
// own makes it race with answers that come at once.
type memoryBody struct{ client *http.Client }

func (m memoryBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.ContentLength = int64(len(b))
	}
	return m.client.Do(r)
}

func (f *fixture) advance(d time.Duration) { f.clock.Add(d.Milliseconds()) }

func (f *fixture) create(name string, shards int) {
	f.t.Helper()
	if err := f.server.EnsureStream(name, shards); err != nil {
		f.t.Fatalf("create %s: %v", name, err)
	}
}

func (f *fixture) put(stream, key, data string) *api.PutRecordOutput {
	f.t.Helper()
	out, err := f.client.PutRecord(context.Background(), &api.PutRecordInput{StreamName: &stream, PartitionKey: &key, Data: []byte(data)})
	if err != nil {
		f.t.Fatalf("put %s: %v", data, err)
	}
	return out
}

// iterator asks for one; seq is a sequence number or "".
func (f *fixture) iterator(stream, shard string, kind types.ShardIteratorType, seq string) string {
	f.t.Helper()
	in := &api.GetShardIteratorInput{StreamName: &stream, ShardId: &shard, ShardIteratorType: kind}
	if seq != "" {
		in.StartingSequenceNumber = &seq
	}
	out, err := f.client.GetShardIterator(context.Background(), in)
	if err != nil {
		f.t.Fatalf("iterator %s %s: %v", kind, seq, err)
	}
	return *out.ShardIterator
}

func (f *fixture) get(iterator string) *api.GetRecordsOutput {
	f.t.Helper()
	out, err := f.client.GetRecords(context.Background(), &api.GetRecordsInput{ShardIterator: &iterator})
	if err != nil {
		f.t.Fatalf("get: %v", err)
	}
	return out
}

// data is the payloads of one page from a place.
func (f *fixture) data(stream, shard string, kind types.ShardIteratorType, seq string) string {
	f.t.Helper()
	return payloads(f.get(f.iterator(stream, shard, kind, seq)).Records)
}

func payloads(records []types.Record) string {
	var s []string
	for _, r := range records {
		s = append(s, string(r.Data))
	}
	return strings.Join(s, " ")
}

// order posts to the admin API and returns the answer.
func (f *fixture) order(path, body string) string {
	f.t.Helper()
	r, err := http.Post(f.admin.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		f.t.Fatalf("admin %s: %v", path, err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		f.t.Fatalf("admin %s: %d %s %v", path, r.StatusCode, b, err)
	}
	return string(b)
}

// raw posts a JSON 1.1 request and returns status, headers and body.
func (f *fixture) raw(op, body string) (int, http.Header, string) {
	f.t.Helper()
	r, err := http.NewRequest(http.MethodPost, f.url, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+op)
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		f.t.Fatalf("%s: %v", op, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return res.StatusCode, res.Header, string(b)
}

// refused posts a request and checks the error's code and message.
func (f *fixture) refused(op, body, code, message string) {
	f.t.Helper()
	status, _, got := f.raw(op, body)
	var doc struct{ Type, Message string }
	var members map[string]string
	if err := json.Unmarshal([]byte(got), &members); err != nil {
		f.t.Fatalf("%s %s: answered %d %s", op, body, status, got)
	}
	doc.Type, doc.Message = members["__type"], members["message"]+members["Message"]
	if doc.Type != code || doc.Message != message {
		f.t.Errorf("%s %s\n answered %d %s %q\n     want %s %q", op, body, status, doc.Type, doc.Message, code, message)
	}
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code {
		t.Errorf("error is %v, want %s", err, code)
	}
}

const shard0 = "shardId-000000000000"

func TestAllFiveIteratorTypesStartWhereTheyPromise(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	var seqs []string
	for i := range 4 {
		seqs = append(seqs, *f.put("s", "k", fmt.Sprint("r", i)).SequenceNumber)
		f.advance(time.Second)
	}
	for _, tc := range []struct {
		kind types.ShardIteratorType
		seq  string
		want string
	}{
		{types.ShardIteratorTypeTrimHorizon, "", "r0 r1 r2 r3"},
		{types.ShardIteratorTypeLatest, "", ""},
		{types.ShardIteratorTypeAtSequenceNumber, seqs[1], "r1 r2 r3"},
		{types.ShardIteratorTypeAfterSequenceNumber, seqs[1], "r2 r3"},
		{types.ShardIteratorTypeAfterSequenceNumber, seqs[3], ""},
	} {
		if got := f.data("s", shard0, tc.kind, tc.seq); got != tc.want {
			t.Errorf("%s %s read %q, want %q", tc.kind, tc.seq, got, tc.want)
		}
	}
	latest := f.iterator("s", shard0, types.ShardIteratorTypeLatest, "")
	f.put("s", "k", "r4")
	if got := payloads(f.get(latest).Records); got != "r4" {
		t.Errorf("LATEST then a put read %q", got)
	}
	for _, tc := range []struct {
		at   time.Duration
		want string
	}{
		{-48 * time.Hour, "r0 r1 r2 r3 r4"}, // before the horizon
		{0, "r0 r1 r2 r3 r4"},
		{time.Second, "r1 r2 r3 r4"},                         // exact
		{time.Second + time.Millisecond, "r2 r3 r4"},         // the next later
		{4 * time.Second, "r4"},                              // the last
		{4*time.Second + time.Millisecond, "after the last"}, // valid, at the tip
	} {
		at := start0.Add(tc.at)
		f.clock.Store(start0.Add(time.Minute).UnixMilli())
		out, err := f.client.GetShardIterator(t.Context(), &api.GetShardIteratorInput{
			StreamName: aws.String("s"), ShardId: aws.String(shard0), ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &at,
		})
		if err != nil {
			t.Fatalf("AT_TIMESTAMP %v: %v", tc.at, err)
		}
		got := payloads(f.get(*out.ShardIterator).Records)
		if tc.want == "after the last" {
			tc.want = ""
		}
		if got != tc.want {
			t.Errorf("AT_TIMESTAMP %v read %q, want %q", tc.at, got, tc.want)
		}
	}
}

func TestNumbersOfNoRecordStartAtTheNextOne(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 5) // five shards share a counter, so numbers have gaps
	key := func(shard int) *string { k := evenRanges(5)[shard].Start.String(); return &k }
	var seqs []string
	for i := range 6 {
		out, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{
			StreamName: aws.String("s"), PartitionKey: aws.String("k"),
			ExplicitHashKey: key(i % 2), Data: fmt.Append(nil, "r", i),
		})
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, *out.SequenceNumber)
	}
	q, err := parseSequence(seqs[2])
	if err != nil {
		t.Fatal(err)
	}
	q.index++ // the number of r3, which is in the other shard
	for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
		if got := f.data("s", shard0, kind, q.String()); got != "r4" {
			t.Errorf("%s in a gap read %q, want r4", kind, got)
		}
	}
	q, _ = parseSequence(seqs[2])
	q.time++ // between r2 and r4 in number order
	if got := f.data("s", shard0, types.ShardIteratorTypeAtSequenceNumber, q.String()); got != "r4" {
		t.Errorf("AT a number just above r2 read %q, want r4", got)
	}
	q.time -= 2 // just below r2
	if got := f.data("s", shard0, types.ShardIteratorTypeAfterSequenceNumber, q.String()); got != "r2 r4" {
		t.Errorf("AFTER a number just below r2 read %q, want r2 r4", got)
	}
	f.order("/admin/trim", `{"stream":"s","shard":"0"}`)
	f.put("s", "k", "elsewhere")
	if _, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{
		StreamName: aws.String("s"), PartitionKey: aws.String("k"),
		ExplicitHashKey: key(0), Data: []byte("r6"),
	}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
		if got := f.data("s", shard0, kind, seqs[0]); got != "r6" {
			t.Errorf("%s a trimmed number read %q, want r6", kind, got)
		}
	}
}

func TestStartingAndEndingSequenceNumbersAreStartingPlaces(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	f.put("s", "k", "a")
	f.put("s", "k", "b")
	split(f, "s", shard0, maxHashKey.big().Rsh(maxHashKey.big(), 1).String())
	d, err := f.client.DescribeStream(t.Context(), &api.DescribeStreamInput{StreamName: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	r := d.StreamDescription.Shards[0].SequenceNumberRange
	for _, kind := range []types.ShardIteratorType{types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber} {
		if got := f.data("s", shard0, kind, *r.StartingSequenceNumber); got != "a b" {
			t.Errorf("%s the starting number read %q", kind, got)
		}
		out := f.get(f.iterator("s", shard0, kind, *r.EndingSequenceNumber))
		if len(out.Records) != 0 || out.NextShardIterator != nil || len(out.ChildShards) != 2 {
			t.Errorf("%s the ending number: %d records, next %v, %d children", kind, len(out.Records), out.NextShardIterator, len(out.ChildShards))
		}
	}
}

func split(f *fixture, stream, shard, key string) {
	f.t.Helper()
	if _, err := f.client.SplitShard(context.Background(), &api.SplitShardInput{StreamName: &stream, ShardToSplit: &shard, NewStartingHashKey: &key}); err != nil {
		f.t.Fatalf("split %s: %v", shard, err)
	}
}

func TestIteratorExpiresAfterThreeHundredSeconds(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	it := f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")
	f.advance(300 * time.Second)
	next := f.get(it).NextShardIterator
	f.advance(time.Millisecond)
	f.refused("GetRecords", `{"ShardIterator":"`+it+`"}`, "ExpiredIteratorException",
		"Iterator expired. The iterator was created at time Sun Mar 01 12:00:00 UTC 2026 while right now it is Sun Mar 01 12:05:00 UTC 2026 which is further in the future than the tolerated delay of 300000 milliseconds.")
	again := f.get(*next).NextShardIterator
	if *again == *next || len(*again) > 512 {
		t.Errorf("next iterator is not new, or %d long", len(*again))
	}
	f.order("/admin/expire-iterators", "")
	_, err := f.client.GetRecords(t.Context(), &api.GetRecordsInput{ShardIterator: again})
	wantCode(t, err, "ExpiredIteratorException")
	f.get(f.iterator("s", shard0, types.ShardIteratorTypeLatest, ""))
}

func TestQuotedIteratorIsAcceptedAndGarbageIsNot(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	it := f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")
	if status, _, body := f.raw("GetRecords", `{"ShardIterator":"\"`+it+`\""}`); status != 200 {
		t.Errorf("quoted iterator: %d %s", status, body)
	}
	for _, bad := range []string{"x", it[:len(it)-4], "A" + it[1:], strings.Repeat("A", 512)} {
		f.refused("GetRecords", `{"ShardIterator":"`+bad+`"}`, "InvalidArgumentException", "Invalid ShardIterator.")
	}
	f.refused("GetRecords", `{"ShardIterator":"`+strings.Repeat("A", 513)+`"}`, "ValidationException",
		"1 validation error detected: Value '"+strings.Repeat("A", 513)+"' at 'shardIterator' failed to satisfy constraint: Member must have length less than or equal to 512")
}

func TestMillisBehindLatestIsTheAgeOfTheNextUnreadRecord(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	f.put("s", "k", "a")
	f.advance(7 * time.Second)
	f.put("s", "k", "b")
	f.advance(3 * time.Second)
	it := f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")
	for i, want := range []int64{3000, 0, 0} {
		out, err := f.client.GetRecords(t.Context(), &api.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(1)})
		if err != nil {
			t.Fatal(err)
		}
		if *out.MillisBehindLatest != want {
			t.Errorf("page %d is %d ms behind, want %d", i, *out.MillisBehindLatest, want)
		}
		it = *out.NextShardIterator
	}
}

func TestClosedShardEndsWithItsChildrenAndNoIterator(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	parent := *f.put("s", "k", "a").SequenceNumber
	split(f, "s", shard0, "1000")
	out, err := f.client.GetRecords(t.Context(), &api.GetRecordsInput{
		ShardIterator: aws.String(f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")),
	})
	if err != nil {
		t.Fatal(err)
	}
	if payloads(out.Records) != "a" || out.NextShardIterator != nil || *out.MillisBehindLatest != 0 || len(out.ChildShards) != 2 {
		t.Fatalf("last page of a closed shard: %+v", out)
	}
	c := out.ChildShards[1]
	if *c.ShardId != "shardId-000000000002" || c.ParentShards[0] != shard0 || *c.HashKeyRange.StartingHashKey != "1000" || *c.HashKeyRange.EndingHashKey != maxHashKey.String() {
		t.Errorf("child is %+v", c)
	}
	_, _, body := f.raw("GetRecords", `{"ShardIterator":"`+f.iterator("s", shard0, types.ShardIteratorTypeLatest, "")+`"}`)
	if strings.Contains(body, "NextShardIterator") {
		t.Errorf("the member NextShardIterator is there: %s", body)
	}
	child := f.put("s", "k", "b")
	if *child.ShardId == shard0 || len(*child.SequenceNumber) != len(parent) || *child.SequenceNumber <= parent {
		t.Errorf("after the split: %s %s, parent %s", *child.ShardId, *child.SequenceNumber, parent)
	}
	if _, _, body := f.raw("GetRecords", `{"ShardIterator":"`+f.iterator("s", *child.ShardId, types.ShardIteratorTypeTrimHorizon, "")+`"}`); strings.Contains(body, "ChildShards") {
		t.Errorf("an open shard has ChildShards: %s", body)
	}
	if _, err := f.client.MergeShards(t.Context(), &api.MergeShardsInput{
		StreamName:   aws.String("s"),
		ShardToMerge: aws.String("shardId-000000000001"), AdjacentShardToMerge: aws.String("shardId-000000000002"),
	}); err != nil {
		t.Fatal(err)
	}
	merged := f.get(f.iterator("s", "shardId-000000000001", types.ShardIteratorTypeTrimHorizon, "")).ChildShards
	if len(merged) != 1 || strings.Join(merged[0].ParentShards, " ") != "shardId-000000000001 shardId-000000000002" {
		t.Errorf("child of a merge is %+v", merged)
	}
	list, err := f.client.ListShards(t.Context(), &api.ListShardsInput{StreamName: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	last := list.Shards[len(list.Shards)-1]
	if *last.ParentShardId != "shardId-000000000001" || *last.AdjacentParentShardId != "shardId-000000000002" {
		t.Errorf("merged shard is %+v", last)
	}
}
