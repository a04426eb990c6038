package redrive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/internal/httpclient"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/local/kinesis"
	"github.com/standpipe/standpipe/redrive"
)

// A river is a real stream over HTTP, the handler that fills it and what broke it.
type river struct {
	*testing.T
	redrive.Stream
	api   *api.Client
	admin string
	max   int

	mu    sync.Mutex
	sends int
	// then may replace the outcome of a send that happened.
	then func(send int, batch []redrive.Record) error
}

func newRiver(t *testing.T, dir string) *river {
	t.Helper()
	server, err := kinesis.New(kinesis.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnsureStream("s", 3); err != nil {
		t.Fatal(err)
	}
	web, admin := httptest.NewServer(server), httptest.NewServer(server.Admin())
	transport := &http.Transport{}
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(web.URL), Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient: httpclient.InMemory{Base: &http.Client{Transport: transport}},
	}
	client := consumer.NewClient(cfg, "s")
	t.Cleanup(func() {
		client.Close()
		transport.CloseIdleConnections()
		http.DefaultClient.CloseIdleConnections()
		web.Close()
		admin.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &river{T: t, api: awsclient.Kinesis(cfg), admin: admin.URL, max: 1 << 20}
	find := &redrive.Finder{Client: client}
	r.Stream = redrive.Stream{
		From: open(t, dir), To: r, Find: find.Find, Settle: time.Nanosecond,
		Rests: backoff.Policy{Min: time.Millisecond, Max: time.Millisecond},
	}
	return r
}

func (r *river) Limits() (records, bytes int) { return 3, 1 << 20 }
func (r *river) RecordMax() int               { return r.max }

func (r *river) Send(ctx context.Context, batch []redrive.Record) ([]error, error) {
	r.mu.Lock()
	r.sends++
	send := r.sends
	r.mu.Unlock()
	in := &api.PutRecordsInput{StreamName: aws.String("s")}
	for _, x := range batch {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: x.Data, PartitionKey: aws.String(x.Key)})
	}
	out, err := r.api.PutRecords(ctx, in)
	if err != nil {
		return nil, awsclient.Classify("put records", err)
	}
	if r.then != nil {
		if err := r.then(send, batch); err != nil {
			return nil, err
		}
	}
	results := make([]error, len(batch))
	for i, e := range out.Records {
		if e.ErrorCode != nil {
			class := standpipe.Retryable
			if *e.ErrorCode == "ProvisionedThroughputExceededException" {
				class = standpipe.Throttled
			}
			results[i] = &standpipe.Error{Class: class, Op: "put record", Err: errors.New(*e.ErrorCode)}
		}
	}
	return results, nil
}

// fault orders a fault of the server.
func (r *river) fault(order string) {
	r.Helper()
	resp, err := http.Post(r.admin+"/admin/fault", "application/json", bytes.NewReader([]byte(order)))
	if err != nil {
		r.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		r.Fatalf("%s: %s", resp.Status, body)
	}
}

// holds reads the whole stream: the data of its records, sorted.
func (r *river) holds() (all []string) {
	r.Helper()
	shards, err := r.api.ListShards(r.Context(), &api.ListShardsInput{StreamName: aws.String("s")})
	if err != nil {
		r.Fatal(err)
	}
	for _, s := range shards.Shards {
		it, err := r.api.GetShardIterator(r.Context(), &api.GetShardIteratorInput{StreamName: aws.String("s"), ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			r.Fatal(err)
		}
		out, err := r.api.GetRecords(r.Context(), &api.GetRecordsInput{ShardIterator: it.ShardIterator})
		if err != nil {
			r.Fatal(err)
		}
		for _, x := range out.Records {
			all = append(all, string(x.Data))
		}
	}
	slices.Sort(all)
	return all
}

// ten failed records in two objects, with a line of garbage.
func ten(t *testing.T) (dir string, want []string) {
	dir = t.TempDir()
	var lines []string
	for i := range 10 {
		raw := fmt.Sprintf("record %d", i)
		want, lines = append(want, raw), append(lines, failure(raw, "X"))
	}
	put(t, dir, "a", append(lines[:7:7], "garbage")...)
	put(t, dir, "b", lines[7:]...)
	return dir, want
}

func (r *river) once(want []string, got redrive.Report) {
	r.Helper()
	if all := r.holds(); !slices.Equal(all, want) {
		r.Errorf("the stream holds %q", all)
	}
	if got.Redriven != int64(len(want)) || got.Records != int64(len(want)) || got.Objects != 2 || got.Bytes != 80 || got.Rejected != 1 || got.Rejections[0].Line != 8 {
		r.Errorf("%+v", got)
	}
}

// The connection breaks after the records were stored, records fail alone, a
// call is throttled, a call fails before and after its effect.
func TestRecordsReachTheStreamOnceWhateverTheAnswersSay(t *testing.T) {
	for name, order := range map[string]string{
		"nothing":             "",
		"lost answer":         `{"operation":"PutRecords","count":2,"drop":"after"}`,
		"lost request":        `{"operation":"PutRecords","count":2,"drop":"before"}`,
		"throttled records":   `{"operation":"PutRecords","count":2,"records":[0,2]}`,
		"records of unknown":  `{"operation":"PutRecords","count":2,"records":[1],"code":"InternalFailure"}`,
		"throttled call":      `{"operation":"PutRecords","count":2,"error":"ProvisionedThroughputExceededException"}`,
		"failure of the call": `{"operation":"PutRecords","count":2,"error":"InternalFailure"}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir, want := ten(t)
			r := newRiver(t, dir)
			if order != "" {
				r.fault(order)
			}
			b := newBench(t, dir, "s")
			j, all := b.plan()
			report, err := b.try(r.Do, j, &all[0])
			if err != nil {
				t.Fatal(err)
			}
			r.once(want, report)
		})
	}
}

// The process dies between what was stored and the record of it, at each send
// in turn; the next try has only what was saved before.
func TestADeathBetweenSendingAndRecordingSendsNothingTwice(t *testing.T) {
	died := &standpipe.Error{Class: standpipe.Denied, Op: "die", Err: errors.New("killed")}
	for death := 1; death <= 4; death++ {
		t.Run(fmt.Sprint(death), func(t *testing.T) {
			dir, want := ten(t)
			r := newRiver(t, dir)
			r.then = func(send int, _ []redrive.Record) error {
				if send == death {
					return died
				}
				return nil
			}
			b := newBench(t, dir, "s")
			j, all := b.plan()
			if _, err := b.try(r.Do, j, &all[0]); !errors.Is(err, died) {
				t.Fatal(err)
			}
			report, err := b.try(r.Do, j, &all[0])
			if err != nil {
				t.Fatal(err)
			}
			r.once(want, report)
			// And a third time, as if the end had not been recorded either.
			if report, err = b.try(r.Do, j, &all[0]); err != nil {
				t.Fatal(err)
			}
			r.once(want, report)
			if r.sends != 4 {
				t.Errorf("%d sends", r.sends)
			}
		})
	}
}

// Between two batches everything is known: who stops there leaves nothing to
// look for.
func TestAStopBetweenBatchesNeedsNoLookIntoTheStream(t *testing.T) {
	dir, want := ten(t)
	r := newRiver(t, dir)
	b := newBench(t, dir, "s")
	j, all := b.plan()
	stop := errors.New("stop")
	note := func(p json.RawMessage) { all[0].Progress = append(json.RawMessage(nil), p...) }
	saves := 0
	_, err := r.Do(t.Context(), jobs.Task{Job: j, Slice: all[0], Report: note, Save: func(_ context.Context, p json.RawMessage) error {
		if saves++; saves == 3 {
			return stop
		}
		note(p)
		return nil
	}})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	r.Find = func(context.Context, time.Time, map[string]bool) (map[string]bool, error) {
		return nil, errors.New("it looked into the stream")
	}
	report, err := b.try(r.Do, j, &all[0])
	if err != nil {
		t.Fatal(err)
	}
	r.once(want, report)
}

func TestWhatTheStreamNeverTakesIsNamed(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", failure("small", "X"), failure(strings.Repeat("x", 200), "X"), failure("other", "Y"))
	r := newRiver(t, dir)
	r.max = 100
	b := newBench(t, dir, "s")
	b.spec.Code = "X"
	j, all := b.plan()
	report, err := b.try(r.Do, j, &all[0])
	if err != nil || report.Redriven != 1 || report.LeftOut != 1 || report.Rejected != 1 || report.Rejections[0].Line != 2 || !strings.Contains(report.Rejections[0].Reason, "the stream takes 100") {
		t.Fatalf("%v %+v", err, report)
	}
	if got := r.holds(); !slices.Equal(got, []string{"small"}) {
		t.Error(got)
	}
}

func TestWhatHasLeftRetentionIsNotGuessed(t *testing.T) {
	r := newRiver(t, t.TempDir())
	_, err := r.Find(t.Context(), time.Now().Add(-25*time.Hour), map[string]bool{"k": true})
	if standpipe.ClassOf(err) != standpipe.Fatal || !strings.Contains(err.Error(), "left the stream's retention") {
		t.Fatal(err)
	}
}
