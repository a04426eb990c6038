//go:build !nolocal

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/verify"
)

// anArchive is a folder with one manifest of the delivery stream orders, whose one
// object is not there, and the configuration of a delivery stream over it.
func anArchive(t *testing.T, lake, delivery string) (config, key string) {
	t.Helper()
	at := manifest.Origin{Delivery: "orders", Stream: "s", Incarnation: "918ae64bbfd23128", Shard: "shardId-000000000000"}
	now := time.Now().UTC()
	var d standpipe.Digest
	d.Add([]byte("a line"))
	m := manifest.Manifest{
		Version: manifest.Version, Origin: at, Number: 1, Reason: standpipe.SealAge, Counts: manifest.Counts{Records: 1}, Intent: "1-1-aa",
		Previous: standpipe.Position{Sequence: standpipe.TrimHorizon}, First: "100", Last: standpipe.Position{Sequence: "100"},
		Objects: []manifest.Object{{Key: "raw/lost.gz", Contents: manifest.Contents{
			Records: 1, Lines: 1, Bytes: 7, Hash: d.Sum(), First: "100", Last: "100", ArrivalMin: now, ArrivalMax: now,
		}}},
	}
	if err := m.Sum(); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key = manifest.Key(at, 1)
	write(filepath.Join(lake, filepath.FromSlash(key)), string(m.Encode()))
	config = filepath.Join(t.TempDir(), "standpipe.yaml")
	write(config, fmt.Sprintf(`DeliveryStreamName: %s
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration: {KinesisStreamARN: "arn:aws:kinesis:us-east-1:000000000000:stream/s"}
Standpipe: {Folder: %s, Checkpoint: {Type: memory}}
`, delivery, lake))
	return config, key
}

// What replay did not look at, or may not make, is not done.
func TestAReplayOfNothingIsNotDone(t *testing.T) {
	_, stop := served(t, "--streams", "s:1")
	defer func() { _ = stop() }()
	lake := t.TempDir()
	config, key := anArchive(t, lake, "returns")
	report := filepath.Join(t.TempDir(), "report.json")
	saveReport := func(archive string) {
		b, err := json.Marshal(verify.Report{Schema: verify.Schema, Archive: archive, Findings: []verify.Finding{{Kind: verify.Missing, Manifest: key, Key: "raw/lost.gz"}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(report, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, args, about string
		code              int
		want              string
	}{
		{"a range of another delivery", "--from TRIM_HORIZON", "", exitIncomplete, "nothing was looked at: the range has manifests of the delivery stream orders"},
		{"a range of nobody", "--from 3h --to 2h", "", exitIncomplete, "nothing was looked at: no manifest in " + lake},
		{"the same, to look", "--from 3h --to 2h --dry-run", "", exitIncomplete, "nothing was looked at: no manifest in " + lake},
		{"a shard of nobody", "--from TRIM_HORIZON --shard shardId-000000000007", "", exitIncomplete, "nothing was looked at"},
		{"a manifest of another delivery", "--manifest " + key, "", exitIncomplete, "replay it with its configuration"},
		{"a report with one", "--from-report " + report, lake, exitIncomplete, "replay it with its configuration"},
		{"a report about a copy", "--from-report " + report, "s3://copy/", exitUsage, "is about s3://copy/"},
		{"no manifest", "--manifest raw/lost.gz", "", exitUsage, "is no key of a manifest"},
	} {
		saveReport(c.about)
		r := call(append(strings.Fields("replay -q -c "+config+" --jobs "+t.TempDir()), strings.Fields(c.args)...)...)
		if r.code != c.code || !strings.Contains(r.errors, c.want) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}
