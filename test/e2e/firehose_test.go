package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
	"github.com/standpipe/standpipe/test/e2e/need"
	"github.com/standpipe/standpipe/test/e2e/node"
)

// A producer of Firehose as it comes from npm, with nothing changed but the
// endpoint: every line it was given a RecordId for is in S3, and no other.
func TestAnUnmodifiedFirehoseProducerDeliversToS3(t *testing.T) {
	packages := firehoseClient(t)
	const lines = 1801
	p, e := harness.StartLocal(t, program, t.TempDir(), "--interval", "1", "--prefix", "data/!{timestamp:yyyy}/")
	cmd := exec.Command("node", "put.cjs", e.Stream, fmt.Sprint(lines))
	cmd.Dir = packages
	cmd.Env = append(e.Environment(), "AWS_ENDPOINT_URL_FIREHOSE="+e.Firehose)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	taken, err := cmd.Output()
	if err != nil {
		t.Fatalf("node put.cjs: %v\n%s", err, stderr.Bytes())
	}
	var want harness.Lines
	want.AddText(taken)
	if n := bytes.Count(taken, []byte("\n")); n != lines {
		t.Fatalf("the producer was given %d ids, want %d", n, lines)
	}
	a := &harness.Archive{Client: e.S3Client(), Bucket: e.Bucket, Prefix: "data/"}
	if err := a.Await(limited(t, deliverLimit), p, lines); err != nil {
		t.Fatal(err)
	}
	if diff := harness.Diff(&want, a.Lines()); diff != "" {
		t.Error(diff)
	}
	if code, _, err := p.Terminate(stopLimit); err != nil || code != 0 {
		t.Errorf("exit code %d, %v", code, err)
	}
}

// firehoseClient is a folder with put.cjs and the SDK it needs, in the versions
// of firehose/package-lock.json.
func firehoseClient(t *testing.T) string {
	t.Helper()
	need.Program(t, "node")
	npm := need.Program(t, "npm")
	h := sha256.New()
	for _, name := range []string{"package-lock.json", "package.json", "put.cjs"} {
		b, err := os.ReadFile(filepath.Join("firehose", name))
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
	}
	dir := filepath.Join(node.Cache(t), "firehose-"+hex.EncodeToString(h.Sum(nil))[:16])
	err := node.Once(dir, func(tmp string) error {
		if err := os.CopyFS(tmp, os.DirFS("firehose")); err != nil {
			return err
		}
		cmd := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		cmd.Dir = tmp
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("npm ci: %w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("install the Firehose client: %v", err)
	}
	return dir
}
