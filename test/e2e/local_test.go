package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// The first thing anybody does: one command, no AWS, lines from S3 at the end.
func TestTheDemoShowsLinesFromS3AndExits(t *testing.T) {
	p := harness.Start(t, "standpipe local --demo", exec.Command(
		program, "local", "--demo", "--data", t.TempDir(),
		"--kinesis-addr", "127.0.0.1:0", "--s3-addr", "127.0.0.1:0", "--gateway-addr", "127.0.0.1:0", "--status-addr", "127.0.0.1:0",
	))
	code, err := p.Wait(2 * time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	lines := 0
	for line := range strings.Lines(p.Output()) {
		// Log lines carry a level; lines of data are whatever else is an object.
		var object map[string]any
		if json.Unmarshal([]byte(line), &object) == nil && object["level"] == nil {
			lines++
		}
	}
	if lines == 0 {
		t.Fatalf("no line of data was shown:\n%s", p.Output())
	}
}
