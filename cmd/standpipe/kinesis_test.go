//go:build !nolocal

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe/internal/awsclient"
)

var readyLine = regexp.MustCompile(`^kinesis is ready on (http://127\.0\.0\.1:\d+), admin on (http://127\.0\.0\.1:\d+/admin)\n$`)

// served starts `standpipe kinesis` on free ports, aims the environment at it
// and returns the admin's URL and what interrupts it.
func served(t *testing.T, args ...string) (admin string, stop func() result) {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan result, 1)
	go func() {
		var stderr bytes.Buffer
		args := append([]string{"kinesis", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}, args...)
		code := run(ctx, args, strings.NewReader(""), in, &stderr)
		_ = in.Close()
		ended <- result{code, "", stderr.String()}
	}()
	line := make([]byte, 1000)
	n, _ := out.Read(line)
	found := readyLine.FindStringSubmatch(string(line[:n]))
	if found == nil {
		interrupt()
		t.Fatalf("said %q, %+v", line[:n], <-ended)
	}
	aim(t, "AWS_ENDPOINT_URL_KINESIS", found[1])
	return found[2], func() result { interrupt(); return <-ended }
}

func sdk(t *testing.T) *api.Client {
	t.Helper()
	cfg, err := awsclient.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return awsclient.Kinesis(cfg)
}

func TestKinesisServesTheSDKAndKeepsItsDataOverARestart(t *testing.T) {
	dir := t.TempDir()
	_, stop := served(t, "--data", dir, "--streams", "a:3,b")
	client := sdk(t)
	for name, shards := range map[string]int32{"a": 3, "b": 1} {
		d, err := client.DescribeStreamSummary(t.Context(), &api.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			t.Fatal(err)
		}
		if s := d.StreamDescriptionSummary; *s.OpenShardCount != shards || s.StreamStatus != types.StreamStatusActive {
			t.Errorf("stream %s has %d shards and is %s", name, *s.OpenShardCount, s.StreamStatus)
		}
	}
	if _, err := client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("b"), PartitionKey: aws.String("k"), Data: []byte("kept")}); err != nil {
		t.Fatal(err)
	}
	if r := stop(); r != (result{exitOK, "", ""}) {
		t.Fatalf("%+v", r)
	}
	_, stop = served(t, "--data", dir)
	if r := call("tail", "b", "--from", "TRIM_HORIZON", "--no-follow"); r != (result{exitOK, "kept\n", ""}) {
		t.Errorf("%+v", r)
	}
	if r := stop(); r != (result{exitOK, "", ""}) {
		t.Errorf("%+v", r)
	}
}

func TestProduceMakesAHotShardAndAggregatesThatTailUnpacks(t *testing.T) {
	_, stop := served(t, "--streams", "a:3")
	defer func() { _ = stop() }()
	if r := call("produce", "--stream", "a", "--generate", "events", "--count", "300", "--hot-shard", "1", "--aggregate", "--quiet"); r.code != exitOK || !strings.HasPrefix(r.out, "sent 300 records") {
		t.Fatalf("%+v", r)
	}
	all := call("tail", "a", "--from", "TRIM_HORIZON", "--no-follow")
	hot := call("tail", "a", "--from", "TRIM_HORIZON", "--no-follow", "--shard", "1")
	if n := strings.Count(all.out, "\n"); n != 300 || hot.out != all.out {
		t.Errorf("%d lines, %d of them in shard 1", n, strings.Count(hot.out, "\n"))
	}
	if raw := call("tail", "a", "--from", "TRIM_HORIZON", "--no-follow", "--deaggregation", "off", "--json"); strings.Count(raw.out, "\n") > 15 {
		t.Errorf("%d stream records", strings.Count(raw.out, "\n"))
	}
	r := call("produce", "--stream", "a", "--generate", "events", "--count", "1", "--hot-shard", "9")
	if want := "standpipe: aim at shard shardId-000000000009: no such open shard (--hot-shard takes one of shardId-000000000000, shardId-000000000001, shardId-000000000002)\n"; r.code != exitFailed || r.errors != want {
		t.Errorf("%+v", r)
	}
}

func TestKinesisTakesOrdersOnItsOwnAddressOnly(t *testing.T) {
	admin, stop := served(t, "--streams", "a")
	defer func() { _ = stop() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(admin)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "/admin/clock") {
		t.Errorf("%s: %s", resp.Status, body)
	}
}

// With a clock of its own the server repeats itself, sequence numbers and all.
func TestKinesisWithAClockRepeatsItself(t *testing.T) {
	put := func() string {
		_, stop := served(t, "--streams", "a", "--clock", "2026-03-01T12:00:00Z", "--account", "123456789012")
		defer func() { _ = stop() }()
		out, err := sdk(t).PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("a"), PartitionKey: aws.String("k"), Data: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		return *out.SequenceNumber
	}
	if first, second := put(), put(); first != second {
		t.Errorf("two runs answer %s and %s", first, second)
	}
}

func TestKinesisRefusesWhatItCannotServe(t *testing.T) {
	_, stop := served(t)
	defer func() { _ = stop() }()
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	for args, want := range map[string]string{
		"--admin-addr 0.0.0.0:0": "standpipe: --admin-addr 0.0.0.0:0: give a loopback address; whoever reaches it can delete records",
		"--account 42":           "standpipe: --account 42: give twelve digits",
		"--cert c.pem":           "standpipe: --cert c.pem: there is no certificate without --tls",
		"--tls --cert /dev/null/c --addr 127.0.0.1:0": "standpipe: write the certificate: open /dev/null/c: not a directory (give --cert a file this user may write)",
		"--signed":           "standpipe: --signed: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to the key to accept",
		"--subscription 0s":  "standpipe: --shard-limit and --subscription must be positive, --shard-mib and --delay not negative",
		"--log-level loud":   "standpipe: --log-level loud: give debug, info, warn or error",
		"--clock yesterday":  "standpipe: --clock: parsing time",
		"--streams a:x":      `standpipe: --streams: "a:x": give a name and its shards, as class-stream:3; see standpipe kinesis --help`,
		"--streams a/b:1":    "standpipe: create stream a/b (a name has 1 to 128 of a-z A-Z 0-9 _ . - and a stream 1 to",
		"--addr 192.0.2.1:1": "standpipe: listen on 192.0.2.1:1: listen tcp 192.0.2.1:1: bind: cannot assign requested address (the port is taken or the address is not ours: give --addr 127.0.0.1:0 for any free port)",
	} {
		r := call(append([]string{"kinesis", "--admin-addr", "127.0.0.1:0"}, strings.Fields(args)...)...)
		if r.code == exitOK || r.out != "" || !strings.HasPrefix(r.errors, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestLocalTakesOrdersOnLoopbackOnly(t *testing.T) {
	r := call("local", "--data", t.TempDir(), "--admin-addr", "0.0.0.0:0")
	if want := "standpipe: --admin-addr 0.0.0.0:0: give a loopback address"; r.code != exitUsage || !strings.HasPrefix(r.errors, want) {
		t.Fatalf("exit code %d, %q", r.code, r.errors)
	}
}
