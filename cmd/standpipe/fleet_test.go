//go:build !nolocal

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/embedded"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/local/kinesis"
	"github.com/standpipe/standpipe/status"
)

// Nothing runs: the leases and the stream tell who had what, what waits and
// what is lost.
func TestStatusOfAConfigurationNeedsNoProcess(t *testing.T) {
	_, stop := served(t, "--streams", "orders:3")
	defer func() { _ = stop() }()
	put, err := sdk(t).PutRecord(t.Context(), &api.PutRecordInput{
		StreamName: aws.String("orders"), PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("0"), Data: []byte("waits"),
	})
	if err != nil || *put.ShardId != "shardId-000000000000" {
		t.Fatal(put, err)
	}
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	store, err := embedded.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	start := standpipe.Position{Sequence: standpipe.TrimHorizon}
	gap := standpipe.Gap{After: standpipe.Position{Sequence: "5"}, Cause: "trimmed", Found: time.Now().Add(-time.Hour)}
	for _, l := range []checkpoint.Lease{
		{Shard: "shardId-000000000000", Checkpoint: start, Owner: "other", Gaps: 1, LastGap: &gap},
		{Shard: "shardId-000000000001", Checkpoint: start},
		{Shard: "shardId-000000000002", Checkpoint: start, Parents: []standpipe.ShardID{"shardId-000000000001"}},
	} {
		if err := store.Create(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Beat(t.Context(), checkpoint.Worker{ID: "other", Version: "v9"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "standpipe.yaml")
	err = os.WriteFile(file, []byte(`
DeliveryStreamName: archive
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration:
  KinesisStreamARN: arn:aws:kinesis:us-east-1:000000000000:stream/orders
Standpipe:
  Folder: `+filepath.Join(dir, "out")+`
  Checkpoint: {Type: embedded, Path: `+state+`}
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if r := call("status", "-c", file); r.code != exitFailed || !strings.Contains(r.errors, "a running process answers `standpipe status` without --config") {
		t.Errorf("while a process has the store: %+v", r)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	r := call("status", "-c", file, "--json")
	var got status.Report
	if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitOK || len(got.Shards) != 3 {
		t.Fatalf("%v %+v", err, r)
	}
	if s := got.Shards[0]; s.Owner != "other" || s.State != status.ShardDelivering || s.OldestSeconds == nil || s.Mine {
		t.Errorf("the shard of another worker: %+v", s)
	}
	if s := got.Shards[1]; s.State != status.ShardUnowned || s.OldestSeconds != nil || s.BehindSeconds == nil || *s.BehindSeconds != 0 {
		t.Errorf("a shard with nobody, and nothing in it: %+v", s)
	}
	if s := got.Shards[2]; s.State != status.ShardWaiting || s.Problem != "waits for the end of shardId-000000000001 (0.0 s behind)" {
		t.Errorf("a child: %+v", s)
	}
	if got.Unowned != 1 || len(got.Gaps) != 1 || got.Gaps[0].Cause != "trimmed" || got.FreshnessSeconds == nil {
		t.Errorf("unowned %d, gaps %+v, freshness %v", got.Unowned, got.Gaps, got.FreshnessSeconds)
	}
	if len(got.Fleet) != 1 || got.Fleet[0].ID != "other" || got.Fleet[0].Shards != 1 {
		t.Errorf("fleet %+v", got.Fleet)
	}
	text := call("status", "-c", file)
	for _, want := range []string{"from the leases, at ", "fleet of 1 worker:  other 1 shard", "1 shard with nobody", "gaps: 1", "archive (orders) -> file://"} {
		if !strings.Contains(text.out, want) {
			t.Errorf("%q is not in\n%s", want, text.out)
		}
	}
	if r := call("status", "-c", file, "--fail-if-freshness", "1ns"); r.code != exitFailed || !strings.Contains(r.errors, "the oldest undelivered record is ") {
		t.Errorf("%+v", r)
	}
	if r := call("status", "-c", file, "--fail-if-freshness", "1h"); r.code != exitOK {
		t.Errorf("%+v", r)
	}

	// Not moved without --yes; a shard is named as tail and produce take it.
	r = call("checkpoint", "set", "-c", file, "--at", "2026-11-22T10:00:00Z", "--shard", "1")
	if r.code != exitUsage || !strings.HasPrefix(r.errors, "shardId-000000000001  TRIM_HORIZON -> AT_TIMESTAMP 2026-11-22T10:00:00Z\n") {
		t.Errorf("%+v", r)
	}
	if r := call("checkpoint", "set", "-c", file, "--at", "LATEST", "--shard", "7"); r.code != exitUsage || r.errors != "standpipe: there is no checkpoint of shardId-000000000007\n" {
		t.Errorf("%+v", r)
	}
}

func TestStatusAsksAProcessOrAStoreNotBoth(t *testing.T) {
	if r := call("status", "-c", "x.yaml", "--url", "http://127.0.0.1:1"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
}

// slowWire is a network on which every call takes a while.
type slowWire struct {
	server http.Handler
	takes  time.Duration
}

func (w slowWire) Do(req *http.Request) (*http.Response, error) {
	if err := backoff.Sleep(req.Context(), w.takes); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, req)
	return rec.Result(), nil
}

// Aim: the time for a look grows with the shards; within a fixed one the last of
// them were never asked, and --fail-if-freshness failed for ever on a large stream.
func TestStatusOfAThousandShardsAsksEachOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := kinesis.New(kinesis.Config{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		settings := aws.Config{
			Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
			HTTPClient: slowWire{server, 150 * time.Millisecond},
		}
		_, err = api.NewFromConfig(settings).CreateStream(t.Context(), &api.CreateStreamInput{StreamName: aws.String("orders"), ShardCount: aws.Int32(1000)})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		client := consumer.NewClient(settings, "orders")
		defer client.Close()
		listed, err := client.Shards(t.Context())
		if err != nil || len(listed) != 1000 {
			t.Fatal(len(listed), err)
		}
		var roster checkpoint.Roster
		for _, s := range listed {
			roster.Leases = append(roster.Leases, checkpoint.Lease{Shard: s.ID, Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon}})
		}
		ask := func(ctx context.Context) (r status.Report, err error) {
			shards, _ := delivery.AtRest(roster)
			return r, errors.Join(undelivered(ctx, client, roster, shards)...)
		}
		if _, err := (&statusCommand{JSON: true}).look(t.Context(), ask, &console{stdout: io.Discard}); err != nil {
			t.Error(strings.Count(err.Error(), "\n")+1, "shards were not asked, the first:", strings.SplitN(err.Error(), "\n", 2)[0])
		}
	})
}
