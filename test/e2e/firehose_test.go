package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
	"github.com/standpipe/standpipe/test/e2e/node"
)

// A producer of Firehose as it comes from npm, with nothing changed but the
// endpoint: every line it was given a RecordId for is in S3, and no other.
func TestAnUnmodifiedFirehoseProducerDeliversToS3(t *testing.T) {
	packages := node.Packages(t, "firehose", os.DirFS("firehose")) // put.cjs and the SDK it needs
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
