package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/local/kinesis"
)

// tailed serves class-stream with some records in its one shard, and aims the
// environment at it. Each GetRecords it answers gives a token.
func tailed(t *testing.T, records ...string) (answered chan struct{}) {
	t.Helper()
	server, err := kinesis.New(kinesis.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnsureStream("class-stream", 1); err != nil {
		t.Fatal(err)
	}
	answered = make(chan struct{}, 100)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		server.ServeHTTP(w, r)
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetRecords") {
			answered <- struct{}{}
		}
	}))
	t.Cleanup(func() { web.CloseClientConnections(); web.Close(); _ = server.Close() })
	aim(t, "AWS_ENDPOINT_URL_KINESIS", web.URL)
	cfg, err := awsclient.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if _, err := awsclient.Kinesis(cfg).PutRecord(t.Context(), &api.PutRecordInput{
			StreamName: aws.String("class-stream"), PartitionKey: aws.String("k"), Data: []byte(r),
		}); err != nil {
			t.Fatal(err)
		}
	}
	return answered
}

func TestTailPrintsTheLinesThereAre(t *testing.T) {
	tailed(t, `{"n":1}`, "{\"n\":2}\n{\"n\":3}\n")
	if r := call("tail", "class-stream", "--from", "10m", "--no-follow"); r != (result{0, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", ""}) {
		t.Errorf("%+v", r)
	}
	if r := call("tail", "class-stream", "--from", "trim-horizon", "-n", "1", "--grep", "[23]", "--shard", "0"); r != (result{0, "{\"n\":2}\n", ""}) {
		t.Errorf("%+v", r)
	}
	r := call("tail", "class-stream", "--from", "TRIM_HORIZON", "--no-follow", "--json")
	var first struct{ Shard, Data, PartitionKey string }
	if err := json.NewDecoder(strings.NewReader(r.out)).Decode(&first); err != nil || first.Shard != "shardId-000000000000" || first.Data != `{"n":1}` || first.PartitionKey != "k" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestInterruptEndsAFollowWellAndAnUnfinishedTailNot(t *testing.T) {
	for _, c := range []struct {
		args string
		want result
	}{
		{"--from TRIM_HORIZON", result{exitOK, "line\n", ""}},
		{"--from TRIM_HORIZON --count 5", result{exitInterrupted, "line\n", "standpipe: interrupted\n"}},
		{"--from LATEST", result{exitOK, "", ""}},
		{"--to " + time.Now().Add(time.Hour).Format(time.RFC3339), result{exitInterrupted, "", "standpipe: interrupted\n"}},
	} {
		answered := tailed(t, "line")
		ctx, interrupt := context.WithCancel(t.Context())
		ended := make(chan result, 1)
		go func() {
			ended <- standpipeWith(ctx, strings.NewReader(""), slices.Concat([]string{"tail", "class-stream"}, strings.Fields(c.args))...)
		}()
		<-answered
		<-answered // so the first page is printed
		interrupt()
		if r := <-ended; r != c.want {
			t.Errorf("%s: %+v, want %+v", c.args, r, c.want)
		}
	}
}

func TestTailOfAnUnknownStreamSaysSo(t *testing.T) {
	tailed(t)
	r := call("tail", "clas-stream")
	if want := "standpipe: describe stream clas-stream: ResourceNotFoundException: Stream clas-stream under account 000000000000 not found. (is the name right, and --region?)\n"; r != (result{exitFailed, "", want}) {
		t.Errorf("%+v", r)
	}
	r = call("tail", "class-stream", "--shard", "7")
	if want := "standpipe: shard shardId-000000000007 is not in stream class-stream (it has shardId-000000000000)\n"; r != (result{exitFailed, "", want}) {
		t.Errorf("%+v", r)
	}
}

func TestTailOfNobodySaysWhoDidNotAnswer(t *testing.T) {
	aim(t, "AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:1")
	r := call("tail", "class-stream")
	if r.code != exitFailed || !strings.HasPrefix(r.errors, "standpipe: describe stream class-stream: Post \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused (is the endpoint right and up? AWS_ENDPOINT_URL_KINESIS") {
		t.Errorf("%+v", r)
	}
}

func TestTailBeginsWhereItIsTold(t *testing.T) {
	now := time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"LATEST": "LATEST", "latest": "LATEST", "TRIM_HORIZON": "TRIM_HORIZON", "trim-horizon": "TRIM_HORIZON",
		"10m": "2026-11-22T20:50:00Z", "0s": "2026-11-22T21:00:00Z", "2026-11-22T05:00:00+09:00": "2026-11-21T20:00:00Z",
		"": "", "-1m": "", "10": "", "yesterday": "", "2026-11-22T05:00:00": "",
	} {
		var s tailStart
		if err := s.UnmarshalText([]byte(text)); err != nil {
			if want != "" {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		start := s.at(now)
		got := start.Position.Sequence
		if got == standpipe.AtTimestamp {
			got = start.Time.UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%q begins at %s, want %q", text, got, want)
		}
	}
}

func TestTailRefusesFlagsThatContradictEachOther(t *testing.T) {
	tailed(t)
	for args, want := range map[string]string{
		"--json --raw":                "standpipe: --json and --raw can't be used together; see standpipe tail --help",
		"--grep (":                    "standpipe: --grep: error parsing regexp: missing closing ): `(`",
		"--count=-1":                  "standpipe: --count -1: give a positive number",
		"--to 2026-01-01":             `standpipe: --to: "2026-01-01": give a time as 2026-11-22T21:00:00+09:00; see standpipe tail --help`,
		"--from 2999-01-01T00:00:00Z": "standpipe: --from 2999-01-01T00:00:00Z lies ahead",
		"--from 2026-01-02T00:00:00Z --to 2026-01-01T00:00:00Z": "standpipe: --to 2026-01-01T00:00:00Z is not after --from, 2026-01-02T00:00:00Z",
		"--from soon": `standpipe: --from: "soon": give LATEST, TRIM_HORIZON, a time as 2026-11-22T21:00:00+09:00, or how long ago as 10m or 24h; see standpipe tail --help`,
	} {
		r := call(append([]string{"tail", "class-stream"}, strings.Fields(args)...)...)
		if r != (result{exitUsage, "", want + "\n"}) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}
