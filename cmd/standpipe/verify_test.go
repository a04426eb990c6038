package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/embedded"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/verify"
)

func TestAVerdictNamesShardRangeAndCommand(t *testing.T) {
	after, last := &standpipe.Position{Sequence: "49645023785436700000000000000000000000000000000000001000"}, &standpipe.Position{Sequence: standpipe.ShardEnd}
	mends := verify.Commands{Config: "standpipe.yaml", Archive: "s3://my-lake/"}
	finding := func(k verify.Kind, key, detail string) verify.Finding {
		f := verify.Finding{
			Kind: k, Shard: "shardId-000000000000", After: after, Last: last, Key: key, Detail: detail,
			Manifest: "_standpipe/commits/class-stream-918ae64bbfd23128/shardId-000000000000/000000000002.json",
		}
		f.Repair = mends.Repair(f)
		return f
	}
	r := verify.Report{
		Archive: "s3://my-lake/", Prefix: "rawdata/", Deep: true, Stream: true, Verdict: verify.Damaged,
		Counts: verify.Counts{Chains: 1, Manifests: 2, Objects: 1200, Ends: 1, Records: 20000, Lines: 24000, Bytes: 5 << 20, Read: 5 << 20, Late: 2, Outside: 3, Trimmed: 1, Streamed: 1, Beyond: 1},
		Found:  map[verify.Kind]int64{verify.Missing: 1, verify.Gap: 1, verify.Foreign: 1},
		Findings: []verify.Finding{
			finding(verify.Missing, "rawdata/2026/11/22/16/a.gz", "12 lines of 10 records"),
			finding(verify.Gap, "", "manifests 2 to 3 are not there"),
			{Kind: verify.Foreign, Key: "rawdata/stranger.gz", Detail: "no manifest names it", Repair: "aws s3 mv s3://my-lake/rawdata/stranger.gz s3://my-lake/quarantine/rawdata/stranger.gz"},
		},
	}
	var out bytes.Buffer
	if err := writeVerified(&out, r, 2, newConsole(nil, &out, &out)); err != nil {
		t.Fatal(err)
	}
	golden(t, "verify.txt", out.String())
	if !strings.Contains(out.String(), "and 1 more") {
		t.Error("what is not shown is not counted")
	}
}

// Manifests and objects of the last flush are gone, and with -c verify says so:
// the checkpoint knows how many there were. While another process holds the
// checkpoints it says that it could not ask.
func TestVerifyHoldsChainsAgainstTheCheckpoints(t *testing.T) {
	aim(t, "AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	lake, state := t.TempDir(), t.TempDir()
	file := filepath.Join(t.TempDir(), "standpipe.yaml")
	if err := os.WriteFile(file, []byte(`DeliveryStreamName: orders
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration: {KinesisStreamARN: "arn:aws:kinesis:us-east-1:123456789012:stream/orders"}
Standpipe:
  Folder: `+lake+`
  Checkpoint: {Type: embedded, Path: `+state+`}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	at := manifest.Origin{Stream: "orders", Incarnation: "918ae64bbfd23128", Shard: "shardId-000000000000"}
	m := manifest.Manifest{
		Version: manifest.Version, Origin: at, Number: 1, Reason: standpipe.SealAge, Counts: manifest.Counts{Records: 1, Dropped: 1},
		Previous: standpipe.Position{Sequence: standpipe.TrimHorizon}, First: "100", Last: standpipe.Position{Sequence: "100"},
	}
	if err := m.Sum(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(lake, filepath.FromSlash(manifest.Key(at, 1)))
	if err := errors.Join(os.MkdirAll(filepath.Dir(key), 0o755), os.WriteFile(key, m.Encode(), 0o600)); err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if r := call("verify", "-c", file); r.code != 0 || !strings.Contains(r.errors, "not held against the checkpoints: there are none") {
		t.Errorf("of an empty store: %+v", r)
	}
	if store, err = embedded.Open(state); err != nil {
		t.Fatal(err)
	}
	lease := checkpoint.Lease{Shard: at.Shard, Incarnation: at.Incarnation, Commits: 2, Checkpoint: standpipe.Position{Sequence: "200"}}
	if err := store.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	const unasked = "not held against the checkpoints"
	if r := call("verify", "-c", file); r.code != 0 || !strings.Contains(r.errors, unasked) {
		t.Errorf("while the checkpoints are in use: %+v", r)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	r := call("verify", "-c", file)
	for _, want := range []string{"damaged", "gap\n", "ends with manifest 1, the checkpoint was moved by number 2", "--from after:100 --to 200 --to-prefix"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("not said: %q", want)
		}
	}
	if r.code != exitFailed || strings.Contains(r.errors, unasked) {
		t.Errorf("code %d, out %s\n%s", r.code, r.out, r.errors)
	}
	// A copy is nobody's to mend: the command would look at the archive, and find it whole.
	copied := filepath.Join(t.TempDir(), "copy")
	second := m
	second.Number, second.Previous, second.First, second.Last.Sequence = 3, m.Last, "300", "300"
	third := filepath.Join(copied, filepath.FromSlash(manifest.Key(at, 3)))
	if err := errors.Join(os.CopyFS(copied, os.DirFS(lake)), os.WriteFile(third, second.Encode(), 0o600)); err != nil {
		t.Fatal(err)
	}
	if r := call("verify", copied, "-c", file); r.code != exitFailed || !strings.Contains(r.out, "gap\n") || strings.Contains(r.out, "repair") || !strings.Contains(r.errors, "is not the configuration's archive") {
		t.Errorf("a copy: %+v", r)
	}
	if r := call("verify", "s3://lake", "--region", "us-east-1"); r.code != exitIncomplete || r.errors == "" {
		t.Errorf("what nobody could look at is not damaged: %+v", r)
	}
	if r := call("verify", lake); r.code != 0 {
		t.Errorf("without -c nobody can know: %+v", r)
	}
}
