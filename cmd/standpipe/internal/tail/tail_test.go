package tail_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/tail"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/httpclient"
	"github.com/standpipe/standpipe/local/kinesis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bed is a Kinesis server over HTTP with one stream, "s".
type bed struct {
	t      *testing.T
	server *kinesis.Server
	cfg    aws.Config
	client *api.Client
	clock  atomic.Int64  // nanoseconds the server's clock is ahead
	placed chan struct{} // gets a token for each shard iterator given out
}

func newBed(t *testing.T, shards int) *bed {
	t.Helper()
	return newBedAt(t, shards, 0)
}

// newBedAt is newBed with a clock that is ahead of ours.
func newBedAt(t *testing.T, shards int, ahead time.Duration) *bed {
	t.Helper()
	b := &bed{t: t, placed: make(chan struct{}, 100)}
	b.clock.Store(int64(ahead))
	server, err := kinesis.New(kinesis.Config{Now: func() time.Time { return time.Now().Add(time.Duration(b.clock.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnsureStream("s", shards); err != nil {
		t.Fatal(err)
	}
	b.server = server
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.ServeHTTP(w, r)
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetShardIterator") {
			b.placed <- struct{}{}
		}
	}))
	transport := &http.Transport{}
	b.cfg = aws.Config{
		Region: "us-east-1", BaseEndpoint: &web.URL,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
		HTTPClient:  httpclient.InMemory{Base: &http.Client{Transport: transport}},
	}
	b.client = awsclient.Kinesis(b.cfg)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		web.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// put stores data in the shard that has the first hash key of a range of the
// stream: "0" is the first shard.
func (b *bed) put(hashKey, data string) {
	b.t.Helper()
	_, err := b.client.PutRecord(context.Background(), &api.PutRecordInput{
		StreamName: aws.String("s"), PartitionKey: aws.String("k"), ExplicitHashKey: &hashKey, Data: []byte(data),
	})
	if err != nil {
		b.t.Fatalf("put %q: %v", data, err)
	}
}

// half is the middle of the hash keys.
const half = "170141183460469231731687303715884105728"

func (b *bed) split(shard, at string) {
	b.t.Helper()
	_, err := b.client.SplitShard(context.Background(), &api.SplitShardInput{
		StreamName: aws.String("s"), ShardToSplit: aws.String(id(shard)), NewStartingHashKey: &at,
	})
	if err != nil {
		b.t.Fatalf("split %s: %v", shard, err)
	}
}

// merge merges two shards.
func (b *bed) merge(shard, other string) {
	b.t.Helper()
	_, err := b.client.MergeShards(context.Background(), &api.MergeShardsInput{
		StreamName: aws.String("s"), ShardToMerge: aws.String(id(shard)), AdjacentShardToMerge: aws.String(id(other)),
	})
	if err != nil {
		b.t.Fatalf("merge %s and %s: %v", shard, other, err)
	}
}

func (b *bed) order(path, body string) {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.server.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	if w.Code != http.StatusOK {
		b.t.Fatalf("%s: %s", path, w.Body)
	}
}

func id(n string) string { return "shardId-00000000000" + n }

// start is the configuration of a tail of all there is that ends by itself,
// at a pace for tests.
func (b *bed) start(stream string) tail.Config {
	client := consumer.NewClient(b.cfg, stream, consumer.WithLimits(consumer.Limits{MaxPerSecond: 5, IdleInterval: time.Second / 5}))
	return tail.Config{
		Client: client, From: consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}},
		Began: time.Now(), Deaggregation: consumer.KeepAll, Form: tail.Lines,
	}
}

// A screen keeps what was printed and noted, and lets a test wait for it.
type screen struct {
	mu         sync.Mutex
	out, notes bytes.Buffer
	changed    chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signal()
	return s.out.Write(p)
}

func (s *screen) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.notes, format+"\n", args...)
	s.signal()
}

func (s *screen) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *screen) read() (out, notes string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String(), s.notes.String()
}

// await returns once the output and the notes together hold every text.
func (s *screen) await(t *testing.T, texts ...string) {
	t.Helper()
	for {
		out, notes := s.read()
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(out+notes, text) }) {
			return
		}
		select {
		case <-s.changed:
		case <-t.Context().Done():
			t.Fatalf("waiting for %q, got %q and %q", texts, out, notes)
		}
	}
}

// follow runs a tail until the returned function interrupts it.
func follow(t *testing.T, cfg tail.Config) (*screen, func() error) {
	t.Helper()
	s := &screen{changed: make(chan struct{}, 1)}
	cfg.Out, cfg.Note = s, s.note
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tail.Run(ctx, cfg) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	return s, stop
}

// all runs a tail that ends by itself.
func all(t *testing.T, cfg tail.Config) (out, notes string) {
	t.Helper()
	s := &screen{changed: make(chan struct{}, 1)}
	cfg.Out, cfg.Note = s, s.note
	if err := tail.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return s.read()
}

func TestEveryLineComesOnceAndInTheOrderOfItsShard(t *testing.T) {
	b := newBed(t, 3)
	keys := []string{"0", half, "340282366920938463463374607431768211455"}
	for n := range 20 {
		for shard, key := range keys {
			b.put(key, fmt.Sprintf("%d %02d a\r\n\n%d %02d b", shard, n, shard, n))
		}
	}
	out, _ := all(t, b.start("s"))
	for shard := range keys {
		var want, got strings.Builder
		for n := range 20 {
			fmt.Fprintf(&want, "%d %02d a\n%d %02d b\n", shard, n, shard, n)
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, fmt.Sprint(shard)) {
				got.WriteString(line)
			}
		}
		if got.String() != want.String() {
			t.Errorf("shard %d:\n%s", shard, got.String())
		}
	}
	if n := strings.Count(out, "\n"); n != 120 {
		t.Errorf("%d lines, want 120", n)
	}
}

func TestReshardsAreFollowedAndChildrenComeAfterTheirParents(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "parent 1")
	cfg := b.start("s")
	cfg.Follow = true
	s, stop := follow(t, cfg)
	s.await(t, "parent 1\n")
	b.put("0", "parent 2")
	b.split("0", half)
	b.put("0", "left")
	b.put(half, "right")
	s.await(t, "left\n", "right\n", id("0")+" ended; "+id("1")+" and "+id("2")+" go on\n")
	b.merge("1", "2")
	b.put(half, "grandchild")
	s.await(t, "grandchild\n")
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	out, _ := s.read()
	lines := strings.Fields(strings.NewReplacer("parent ", "parent").Replace(out))
	if len(lines) != 5 || lines[0] != "parent1" || lines[1] != "parent2" || lines[4] != "grandchild" {
		t.Errorf("printed %q", out)
	}
}

func TestLatestPrintsWhatComesFromNowOnAlsoInNewChildren(t *testing.T) {
	b := newBed(t, 2)
	b.split("0", "5") // a closed shard, of which nothing is to come
	b.put("0", "old")
	b.put(half, "old")
	cfg := b.start("s")
	cfg.From.Position.Sequence = standpipe.Latest
	cfg.Follow = true
	s, stop := follow(t, cfg)
	for range 3 { // open shards
		<-b.placed
	}
	b.put(half, "new")
	b.split("1", "250000000000000000000000000000000000000")
	b.put(half, "child")
	s.await(t, "new\n", "child\n")
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if out, notes := s.read(); out != "new\nchild\n" || strings.Contains(notes, id("0")) {
		t.Errorf("printed %q, noted %q", out, notes)
	}
}

func TestWithoutFollowEverythingThatWasThereIsPrintedAlsoOfClosedShards(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "parent")
	b.split("0", half)
	b.put("0", "child")
	b.put(half, "child")
	if out, notes := all(t, b.start("s")); out != "parent\nchild\nchild\n" || !strings.Contains(notes, id("0")+" ended; ") {
		t.Errorf("printed %q, noted %q", out, notes)
	}
}

func TestOnlyTheNamedShardsAreRead(t *testing.T) {
	b := newBed(t, 2)
	b.put("0", "first")
	b.put(half, "second")
	b.split("1", "250000000000000000000000000000000000000")
	b.put(half, "child")
	cfg := b.start("s")
	cfg.Follow = true
	cfg.Shards = []standpipe.ShardID{standpipe.ShardID(id("1"))}
	if out, _ := all(t, cfg); out != "second\n" {
		t.Errorf("printed %q", out)
	}
}

func TestFromATimeToATimePrintsWhatArrivedBetweenAndEnds(t *testing.T) {
	b := newBedAt(t, 2, -time.Hour)
	begin := time.Now().Add(-time.Hour)
	for n := range 6 {
		b.put("0", fmt.Sprintf("minute %d", n))
		if n == 3 {
			b.split("0", "5") // the end lies in a child
		}
		b.clock.Add(int64(time.Minute))
	}
	cfg := b.start("s")
	cfg.Follow = true
	cfg.From = consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: begin.Add(90 * time.Second)}
	cfg.To = begin.Add(4*time.Minute + 30*time.Second)
	if out, _ := all(t, cfg); out != "minute 2\nminute 3\nminute 4\n" {
		t.Errorf("printed %q", out)
	}
}

func TestGrepChoosesLinesAndCountEndsTheRun(t *testing.T) {
	b := newBed(t, 2)
	for n := range 30 {
		b.put([]string{"0", half}[n%2], fmt.Sprintf("no %d\nyes %d\nyes too", n, n))
	}
	cfg := b.start("s")
	cfg.Match = regexp.MustCompile(`^yes \d+$`)
	if out, _ := all(t, cfg); strings.Count(out, "\n") != 30 || strings.Count(out, "yes ") != 30 || strings.Contains(out, "too") {
		t.Errorf("printed %q", out)
	}
	cfg = b.start("s")
	cfg.Follow, cfg.Count = true, 7
	if out, _ := all(t, cfg); strings.Count(out, "\n") != 7 {
		t.Errorf("printed %q", out)
	}
}

// aggregate is a KPL aggregate of two user records.
func aggregate() string {
	return string(consumer.AppendAggregate(nil, []consumer.UserRecord{
		{Data: []byte("one"), PartitionKey: []byte("a")}, {Data: []byte{0xff, 0xfe}, PartitionKey: []byte("b")},
	}))
}

func TestJSONTellsEachUserRecordWhole(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "<plain>\nof two lines")
	b.put("0", aggregate())
	b.put("0", "")
	cfg := b.start("s")
	cfg.Form = tail.JSON
	out, _ := all(t, cfg)
	var got []tail.Object
	for line := range strings.Lines(out) {
		var o tail.Object
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if o.Shard != standpipe.ShardID(id("0")) || !standpipe.ValidSequence(o.Sequence) || time.Since(o.Arrival) > time.Hour || o.PartitionKey == nil {
			t.Errorf("%s", line)
		}
		got = append(got, o)
	}
	if len(got) != 4 {
		t.Fatalf("%d objects: %s", len(got), out)
	}
	for i, want := range []struct {
		key, data string
		sub       int64
	}{{"k", "<plain>\nof two lines", 0}, {"a", "one", 0}, {"b", "", 1}, {"k", "", 0}} {
		o := got[i]
		if *o.PartitionKey != want.key || o.Sub != want.sub || i != 2 && (o.Data == nil || *o.Data != want.data) {
			t.Errorf("record %d: %+v", i, o)
		}
	}
	if o := got[2]; o.Data != nil || !bytes.Equal(o.DataBase64, []byte{0xff, 0xfe}) {
		t.Errorf("bytes that are no UTF-8: %+v", o)
	}
	if !strings.Contains(out, "<plain>") {
		t.Error("the data was escaped for HTML")
	}
}

func TestRawPrintsBytesAsTheyAreAndOffKeepsAggregatesWhole(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "a\r\n\n")
	b.put("0", aggregate())
	cfg := b.start("s")
	cfg.Form = tail.Raw
	if out, _ := all(t, cfg); out != "a\r\n\none\xff\xfe" {
		t.Errorf("printed %q", out)
	}
	cfg = b.start("s")
	cfg.Form, cfg.Deaggregation = tail.Raw, consumer.Off
	if out, _ := all(t, cfg); out != "a\r\n\n"+aggregate() {
		t.Errorf("printed %q", out)
	}
}

func TestADamagedAggregateIsPrintedAndNoted(t *testing.T) {
	b := newBed(t, 1)
	damaged := aggregate()
	b.put("0", damaged[:len(damaged)-1]+"!")
	cfg := b.start("s")
	cfg.Form = tail.Raw
	if out, notes := all(t, cfg); len(out) != len(damaged) || !strings.Contains(notes, "starts like a KPL aggregate but is none") {
		t.Errorf("printed %q, noted %q", out, notes)
	}
}

func TestThrottlingIsNotedOnceAndNothingIsLost(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "line")
	b.order("/admin/throttle", `{"stream":"s","shard":"`+id("0")+`","calls":2}`)
	out, notes := all(t, b.start("s"))
	if out != "line\n" || strings.Count(notes, "is throttled") != 1 || strings.Count(notes, id("0")+" answers again") != 1 {
		t.Errorf("printed %q, noted %q", out, notes)
	}
}

func TestMoreIsKeptThanAskedFor(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "line")
	cfg := b.start("s")
	cfg.From = consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: time.Now().Add(-48 * time.Hour)}
	if out, notes := all(t, cfg); out != "line\n" || notes != "s keeps 24 hours: reading from the oldest record there is\n" {
		t.Errorf("printed %q, noted %q", out, notes)
	}
}

func TestWhatIsNotThereIsSaidAtOnce(t *testing.T) {
	b := newBed(t, 6)
	err := tail.Run(t.Context(), b.start("nope"))
	if standpipe.ClassOf(err) != standpipe.NotFound || err.Error() != "describe stream nope: ResourceNotFoundException: Stream nope under account 000000000000 not found. (is the name right, and --region?)" {
		t.Errorf("error %v", err)
	}
	cfg := b.start("s")
	cfg.Shards = []standpipe.ShardID{"shardId-9"}
	err = tail.Run(t.Context(), cfg)
	if want := "shard shardId-9 is not in stream s (it has " + id("0") + ", " + id("1") + ", " + id("2") + ", " + id("3") + ", and 2 more)"; err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
}

func TestAStreamThatIsDeletedEndsTheRunWithAnError(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "line")
	cfg := b.start("s")
	cfg.Follow = true
	s := &screen{changed: make(chan struct{}, 1)}
	cfg.Out, cfg.Note = s, s.note
	ended := make(chan error, 1)
	go func() { ended <- tail.Run(t.Context(), cfg) }()
	s.await(t, "line\n")
	if _, err := b.client.DeleteStream(t.Context(), &api.DeleteStreamInput{StreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; standpipe.ClassOf(err) != standpipe.NotFound {
		t.Errorf("error %v", err)
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAnOutputThatFailsEndsTheRun(t *testing.T) {
	b := newBed(t, 1)
	b.put("0", "line")
	cfg := b.start("s")
	cfg.Follow, cfg.Out = true, full{}
	if err := tail.Run(t.Context(), cfg); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}
