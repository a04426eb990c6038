package produce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/kinesistest"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/httpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixed is a key that is the same for all.
func fixed([]byte) (string, error) { return "k", nil }

// instantly waits for nothing, so that tests don't.
func instantly(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func open(t testing.TB, stub *kinesistest.Stub) *Stream {
	t.Helper()
	return openAt(t, stub.URL, stub.Stream)
}

func openAt(t testing.TB, url, name string) *Stream {
	t.Helper()
	client := awsclient.Kinesis(aws.Config{
		Region: "us-east-1", BaseEndpoint: &url, HTTPClient: httpclient.InMemory{Base: http.DefaultClient},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	stream, err := OpenStream(context.Background(), client, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return stream
}

func config(target Target) Config {
	return Config{Target: target, Key: fixed, Newline: true, RecordMax: recordMaxDefault, GiveUpAfter: time.Hour, Sleep: instantly}
}

func lines(text string) Source {
	in := &Input{Files: []string{"-"}, Stdin: strings.NewReader(text)}
	return in.Records(context.Background())
}

// numbered is n lines that say which they are.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"n\":%d}\n", i)
	}
	return b.String()
}

func TestOneBatchInFlightKeepsTheOrderOfTheInput(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, func(call int, _ []kinesistest.Record) (string, map[int]string) {
		switch call % 4 {
		case 1:
			return "ProvisionedThroughputExceededException", nil
		case 2:
			return "InternalFailure", nil
		}
		return "", nil
	})
	text := numbered(2203)
	s := New(config(open(t, stub)))
	if err := s.Run(context.Background(), lines(text)); err != nil {
		t.Fatal(err)
	}
	if stub.Lines() != text {
		t.Error("the stream does not hold the input in its order")
	}
	sum := s.Summary()
	if sum.Records != 2203 || sum.Bytes != int64(len(text)) || sum.Rejected != 0 || sum.Unsent != 0 || sum.Retried == 0 {
		t.Errorf("summary %+v", sum)
	}
}

func TestOnlyFailedRecordsAreSentAgain(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, func(call int, _ []kinesistest.Record) (string, map[int]string) {
		if call == 1 {
			return "", map[int]string{1: "ProvisionedThroughputExceededException", 3: "InternalFailure"}
		}
		return "", nil
	})
	s := New(config(open(t, stub)))
	if err := s.Run(context.Background(), lines("a\nb\nc\nd\ne\n")); err != nil {
		t.Fatal(err)
	}
	if got := stub.Lines(); got != "a\nc\ne\nb\nd\n" {
		t.Errorf("stored %q", got)
	}
	if calls := stub.Calls(); len(calls) != 2 || len(calls[1]) != 2 {
		t.Errorf("%d calls, the second of %d records", len(calls), len(calls[1]))
	}
	if sum := s.Summary(); sum.Retried != 2 || sum.Requests != 2 || sum.Records != 5 {
		t.Errorf("summary %+v", sum)
	}
}

// Whatever answers in Kinesis's place has stored nothing.
func TestAResultThatNamesNoRecordIsTriedAgain(t *testing.T) {
	puts := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := `{}`
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutRecords") {
			body = `{"FailedRecordCount":0,"Records":[{}]}`
			if puts++; puts > 1 {
				body = `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"s"}]}`
			}
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, body)
	}))
	defer srv.Close()
	s := New(config(openAt(t, srv.URL, "s")))
	if err := s.Run(context.Background(), lines("a\n")); err != nil {
		t.Fatal(err)
	}
	if sum := s.Summary(); sum.Retried != 1 || sum.Records != 1 {
		t.Errorf("summary %+v", sum)
	}
}

// Whatever the stream refuses for a while, each record ends stored exactly once.
func TestEveryRecordIsStoredOnceUnderRandomPartialFailures(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 1300).Draw(r, "records")
		concurrency := rapid.IntRange(1, 4).Draw(r, "concurrency")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		stub := kinesistest.New(t, "s", 0, func(_ int, records []kinesistest.Record) (string, map[int]string) {
			if rng.IntN(5) == 0 {
				return "ProvisionedThroughputExceededException", nil
			}
			single := map[int]string{}
			for i := range records {
				if rng.IntN(3) == 0 {
					single[i] = "ProvisionedThroughputExceededException"
				}
			}
			return "", single
		})
		cfg := config(open(t, stub))
		cfg.Concurrency = concurrency
		s := New(cfg)
		text := numbered(n)
		if err := s.Run(context.Background(), lines(text)); err != nil {
			r.Fatal(err)
		}
		want := strings.SplitAfter(strings.TrimSuffix(text, "\n")+"\n", "\n")
		got := strings.SplitAfter(stub.Lines(), "\n")
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			r.Fatalf("stored %d lines, want %d", len(got)-1, n)
		}
	})
}

func TestTooLargeRecordIsRejectedByItsLineAndTheRestGoesOn(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, nil)
	long := strings.Repeat("x", recordMaxDefault)
	tooLong := strings.Repeat("y", LineMax+1)
	var told []string
	cfg := config(open(t, stub))
	cfg.OnReject = func(r Rejection) { told = append(told, r.Error()) }
	s := New(cfg)
	if err := s.Run(context.Background(), lines("a\n"+long+"\n\nb\n"+tooLong+"\nc")); err != nil {
		t.Fatal(err)
	}
	if got := stub.Lines(); got != "a\nb\nc\n" {
		t.Errorf("stored %.40q", got)
	}
	want := []string{
		"stdin:2: 1048578 bytes with newline and key, the largest record is 1048576",
		"stdin:5: longer than 10485760 bytes, the longest line that is read",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
	if sum := s.Summary(); sum.Rejected != 2 || sum.Records != 3 || sum.Unsent != 0 || len(sum.Rejections) != 2 {
		t.Errorf("summary %+v", sum)
	}
}

func TestAStreamWithLargeRecordsTakesThem(t *testing.T) {
	stub := kinesistest.New(t, "s", 10240, nil)
	stream := open(t, stub)
	if stream.RecordMax() != LineMax {
		t.Fatalf("record max %d", stream.RecordMax())
	}
	cfg := config(stream)
	cfg.RecordMax = stream.RecordMax()
	s := New(cfg)
	text := "a\n" + strings.Repeat("x", LineMax-2) + "\n" + strings.Repeat("z", 3<<20) + "\n" + strings.Repeat("w", 3<<20) + "\nb\n"
	if err := s.Run(context.Background(), lines(text)); err != nil {
		t.Fatal(err)
	}
	if stub.Lines() != text {
		t.Error("the stream does not hold the input")
	}
	if n := len(stub.Calls()); n != 4 {
		t.Errorf("%d requests, want 4: a; x; z; w b", n)
	}
}

func TestOneRefusedRecordDoesNotCostItsBatch(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, func(_ int, records []kinesistest.Record) (string, map[int]string) {
		for _, r := range records {
			if bytes.Contains(r.Data, []byte(`"n":77}`)) {
				return "ValidationException", nil
			}
		}
		return "", nil
	})
	s := New(config(open(t, stub)))
	text := numbered(500)
	if err := s.Run(context.Background(), lines(text)); err != nil {
		t.Fatal(err)
	}
	if stub.Lines() != strings.Replace(text, "{\"n\":77}\n", "", 1) {
		t.Error("not all others are stored in order")
	}
	sum := s.Summary()
	if sum.Rejected != 1 || sum.Rejections[0].Line != 78 || !strings.Contains(sum.Rejections[0].Reason, "ValidationException") {
		t.Errorf("rejections %+v", sum.Rejections)
	}
}

func TestErrorsNobodyCanHealEndTheRun(t *testing.T) {
	for code, class := range map[string]standpipe.Class{
		"AccessDeniedException": standpipe.Denied, "ResourceNotFoundException": standpipe.NotFound, "ResourceInUseException": standpipe.Fatal,
	} {
		stub := kinesistest.New(t, "s", 0, func(int, []kinesistest.Record) (string, map[int]string) { return code, nil })
		s := New(config(open(t, stub)))
		err := s.Run(context.Background(), lines("a\nb\n"))
		if standpipe.ClassOf(err) != class || !strings.Contains(err.Error(), "put records into stream s: "+code) {
			t.Errorf("%s: %v", code, err)
		}
		if sum := s.Summary(); sum.Unsent != 2 || sum.Rejected != 0 || sum.Requests != 1 {
			t.Errorf("%s: summary %+v", code, sum)
		}
	}
}

func TestNoProgressForTooLongEndsTheRunAndSaysWhere(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, func(call int, records []kinesistest.Record) (string, map[int]string) {
		single := map[int]string{}
		for i := range records {
			if string(records[i].Data) == "c\n" {
				single[i] = "ProvisionedThroughputExceededException"
			}
		}
		return "", single
	})
	cfg := config(open(t, stub))
	cfg.GiveUpAfter = time.Nanosecond
	s := New(cfg)
	err := s.Run(context.Background(), lines("a\nb\nc\n"))
	if err == nil || !strings.Contains(err.Error(), "gave up at stdin:3") || !strings.Contains(err.Error(), "--give-up-after") || standpipe.ClassOf(err) != standpipe.Throttled {
		t.Errorf("error %v", err)
	}
	if sum := s.Summary(); sum.Records != 2 || sum.Unsent != 1 {
		t.Errorf("summary %+v", sum)
	}
}

func TestBackoffGrowsShakesAndIsBounded(t *testing.T) {
	s := &Sender{rnd: rand.New(rand.NewPCG(1, 0))}
	for attempt, longest := range []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000} {
		longest *= time.Millisecond
		for range 50 {
			if d := s.delay(attempt + 1); d < longest/2 || d > longest {
				t.Errorf("attempt %d: %v, want %v to %v", attempt, d, longest/2, longest)
			}
		}
	}
	if d := s.delay(1 << 40); d <= 0 || d > 5*time.Second {
		t.Errorf("attempt 2^40: %v", d)
	}
}

func TestInterruptCountsWhatIsUnderWayAndSendsNoMore(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stub := kinesistest.New(t, "s", 0, func(call int, _ []kinesistest.Record) (string, map[int]string) {
		if call == 2 {
			cancel()
		}
		return "", nil
	})
	s := New(config(open(t, stub)))
	err := s.Run(ctx, Events(ctx, 1))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if sum := s.Summary(); sum.Records != int64(len(stub.Stored())) || sum.Requests != 2 || sum.Records == 0 {
		t.Errorf("stored %d, summary %+v", len(stub.Stored()), sum)
	}
}

func TestAnUnknownStreamIsAnErrorBeforeTheFirstRecord(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, nil)
	client := kinesis.New(kinesis.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(stub.URL), HTTPClient: http.DefaultClient, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	defer http.DefaultClient.CloseIdleConnections()
	_, err := OpenStream(context.Background(), client, "other")
	if standpipe.ClassOf(err) != standpipe.NotFound || !strings.Contains(err.Error(), "describe stream other: ResourceNotFoundException") {
		t.Errorf("error %v", err)
	}
}

func TestAProducerThatMayNotDescribeStillProduces(t *testing.T) {
	stub := kinesistest.New(t, "s", 10240, nil)
	stub.DenyDescribe("AccessDeniedException")
	stream := open(t, stub)
	if stream.RecordMax() != recordMaxDefault {
		t.Errorf("record max %d", stream.RecordMax())
	}
	if err := New(config(stream)).Run(context.Background(), lines("a\n")); err != nil || stub.Lines() != "a\n" {
		t.Errorf("error %v, stored %q", err, stub.Lines())
	}
}

func TestCountTagRateAndFieldKeys(t *testing.T) {
	stub := kinesistest.New(t, "s", 0, nil)
	cfg := config(open(t, stub))
	cfg.Count, cfg.Tag, cfg.Newline = 3, &Tag{Run: "r1"}, false
	cfg.Rate = rate.NewLimiter(1e6, 1)
	cfg.Key, _ = ParseKey("$.u.id", nil)
	s := New(cfg)
	text := `{"u":{"id":"é"}}` + "\n" + `{"u":{}}` + "\n" + ` {"u":{"id":12.50}, "x":[1] } ` + "\n" + `{"u":{"id":"not read"}}` + "\n"
	if err := s.Run(context.Background(), lines(text)); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s", stub.Stored())
	want := `[{{"u":{"id":"é"},"_run":"r1","_n":1} é} {{"u":{"id":12.50}, "x":[1],"_run":"r1","_n":2} 12.50}]`
	if got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
	if sum := s.Summary(); sum.Rejected != 1 || sum.Rejections[0].Reason != `key $.u.id: no field "id"` || sum.Run != "r1" {
		t.Errorf("summary %+v", sum)
	}
}

func TestATrickleIsSentWithoutWaitingForAFullBatch(t *testing.T) {
	pr, pw := io.Pipe()
	arrived := make(chan struct{}, 1)
	stub := kinesistest.New(t, "s", 0, func(int, []kinesistest.Record) (string, map[int]string) {
		arrived <- struct{}{}
		return "", nil
	})
	in := &Input{Files: []string{"-"}, Stdin: pr}
	s := New(config(open(t, stub)))
	done := make(chan error, 1)
	go func() { done <- s.Run(context.Background(), in.Records(context.Background())) }()
	for range 3 {
		if _, err := io.WriteString(pw, "line\n"); err != nil {
			t.Fatal(err)
		}
		<-arrived // before the next line is written, and before the pipe ends
	}
	pw.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// answers serves one answer after the other, then 200, and keeps the bodies.
type answers struct {
	mu     sync.Mutex
	bodies []string
	list   []string // "status body"
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bodies = append(a.bodies, string(body))
	status, text := 200, `{"SequenceNumber":"1"}`
	if len(a.list) > 0 {
		first, rest, _ := strings.Cut(a.list[0], " ")
		fmt.Sscan(first, &status)
		text, a.list = rest, a.list[1:]
	}
	if status == 302 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func TestPostBelievesTheBodyAndNotTheStatus(t *testing.T) {
	for _, c := range []struct {
		answer                            string
		records, retried, rejected, calls int64
		err                               string
	}{
		{`200 {"SequenceNumber":"1"}`, 2, 0, 0, 2, ""},
		{`204 `, 2, 0, 0, 2, ""},
		{`200 {"__type":"com.amazonaws.kinesis#ProvisionedThroughputExceededException"}`, 2, 1, 0, 3, ""},
		{`200 {"__type":"InternalFailure"}`, 2, 1, 0, 3, ""},
		{`200 {"__type":"ValidationException","message":"bad"}`, 1, 0, 1, 2, ""},
		{`200 {"FailedRecordCount":0,"Records":[{"SequenceNumber":"1"}]}`, 2, 0, 0, 2, ""},
		{`200 {"FailedRecordCount":1,"Records":[{"SequenceNumber":"1"},{"ErrorCode":"ProvisionedThroughputExceededException"}]}`, 2, 1, 0, 3, ""},
		{`200 {"FailedRecordCount":1,"Records":[{"ErrorCode":"InternalFailure"}]}`, 2, 1, 0, 3, ""},
		{`503 busy`, 2, 1, 0, 3, ""},
		{`429 slow`, 2, 1, 0, 3, ""},
		{`400 {"message":"bad"}`, 1, 0, 1, 2, ""},
		{`413 too large`, 1, 0, 1, 2, ""},
		{`302 `, 0, 0, 0, 1, "redirects to /elsewhere"},
		{`403 {"message":"Missing Authentication Token"}`, 0, 0, 0, 1, "refuses this caller"},
		{`404 `, 0, 0, 0, 1, "/PROD/v1"},
		{`200 {"__type":"ResourceNotFoundException"}`, 0, 0, 0, 1, "can't reach its stream"},
	} {
		a := &answers{list: []string{c.answer}}
		srv := httptest.NewServer(a)
		target, err := OpenPost(srv.URL+"/PROD/v1", http.DefaultTransport)
		if err != nil {
			t.Fatal(err)
		}
		cfg := config(target)
		cfg.Newline = false
		s := New(cfg)
		err = s.Run(context.Background(), lines("a\nb\n"))
		sum := s.Summary()
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: error %v, want %q", c.answer, err, c.err)
		}
		if sum.Records != c.records || sum.Retried != c.retried || sum.Rejected != c.rejected || sum.Requests != c.calls {
			t.Errorf("%s: summary %+v", c.answer, sum)
		}
		if got := a.bodies[0]; got != "a" {
			t.Errorf("body %q", got)
		}
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
	}
}

func TestPostWaitsAsLongAsTheServerAsks(t *testing.T) {
	h := http.Header{"Retry-After": []string{"7"}}
	p := &Post{url: "http://127.0.0.1/"}
	err := p.judge(&http.Response{StatusCode: 429, Header: h}, nil)
	if after(err) != 7*time.Second {
		t.Errorf("waits %v", after(err))
	}
	h.Set("Retry-After", "86400")
	if err := p.judge(&http.Response{StatusCode: 429, Header: h}, nil); after(err) != time.Minute {
		t.Errorf("waits %v", after(err))
	}
}
