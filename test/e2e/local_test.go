package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
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

// A terminal's Ctrl-C and a service manager's SIGTERM reach the S3 server too,
// while there are objects to deliver to it. Everything the stream holds must be
// there after a restart, once.
func TestASignalToTheWholeGroupLetsLocalDeliverWhatItHas(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			const load = 8 << 20
			dir := t.TempDir()
			flags := []string{"--shards", "2", "--size", "1", "--interval", "1", "--prefix", "data/!{timestamp:yyyy}/"}
			p, e := harness.StartLocal(t, program, dir, flags...)
			stream := &harness.Stream{Name: e.Stream, Client: e.KinesisClient()}
			if err := stream.Active(limited(t, testLimit)); err != nil {
				t.Fatal(err)
			}
			archive := &harness.Archive{Client: e.S3Client(), Bucket: e.Bucket, Prefix: "data/"}
			input := harness.Numbered(t, load)
			produced := producing(t, &harness.Producer{Stream: stream}, harness.Pack(input))
			if err := archive.Await(limited(t, deliverLimit), p, 1); err != nil {
				t.Fatal(err)
			}
			produced()
			p.SignalGroup(sig) // with most of it in hand
			if code, err := p.Wait(stopLimit); err != nil || code != 0 {
				t.Fatalf("exit code %d, want 0; %v", code, err)
			}
			p, e = harness.StartLocal(t, program, dir, flags...)
			archive.Client = e.S3Client()
			want := harness.Multiset(input)
			if err := archive.Await(limited(t, deliverLimit), p, want.Digest.Lines); err != nil {
				t.Error(err)
			}
			stop(t, p)
			if d := harness.Diff(want, archive.Lines()); d != "" {
				t.Fatalf("the archive differs from what was produced: %s", d)
			}
		})
	}
}

// Clients that hold a connection to any of the ports and ask nothing on it, as
// those do that dial ahead, are not waited for.
func TestNobodyWhoHoldsAConnectionDelaysTheStopOfLocal(t *testing.T) {
	p, e := harness.StartLocal(t, program, t.TempDir())
	for _, url := range []string{e.Kinesis, e.S3, e.Gateway, e.Firehose, e.Status} {
		for _, said := range []string{"", "POST / HTTP/1.1\r\nHo"} {
			c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, said); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop(t, p)
	if _, rest, _ := strings.Cut(p.Output(), "standpipe cat"); strings.Contains(rest, "{") {
		t.Fatalf("it had something to say about the stop: %s", rest)
	}
}

// Whoever finds the process gone must find the reason on standard error: how the
// S3 server ended.
func TestLocalWithoutItsS3ServerEndsAndSaysWhy(t *testing.T) {
	p, _ := harness.StartLocal(t, program, t.TempDir())
	children := p.Children()
	if len(children) != 1 {
		t.Fatalf("children %v, want the S3 server", children)
	}
	if err := syscall.Kill(children[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	code, err := p.Wait(stopLimit)
	if err != nil || code != 1 {
		t.Fatalf("exit code %d, want 1; %v", code, err)
	}
	for _, want := range []string{"standpipe: the S3 server ended: signal: killed", "delivered at the next start"} {
		if !strings.Contains(p.Output(), want) {
			t.Errorf("want %q in the output:\n%s", want, p.Output())
		}
	}
}

// kill -9 of the parent leaves no S3 server behind, and the folder is usable at
// once.
func TestLocalLeavesNoS3ServerBehindAndStartsAgain(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"--kinesis-addr", fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)), "--s3-addr", fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t))}
	p, e := harness.StartLocal(t, program, dir, flags...)
	p.Crash()
	s3Ended(t, e)
	p, _ = harness.StartLocal(t, program, dir, flags...)
	stop(t, p)
}

// s3Ended waits until the S3 server of a `standpipe local` that was killed is
// gone too. The kernel kills the child after the parent, and closes what a process
// held in an order of its own: a closed connection would not tell of a closed
// listener.
func s3Ended(t *testing.T, e harness.Endpoints) {
	t.Helper()
	err := harness.Poll(limited(t, stopLimit), "the end of the S3 server", func() error {
		c, err := net.Dial("tcp", strings.TrimPrefix(e.S3, "http://"))
		if err == nil {
			_ = c.Close()
			return errors.New("it still listens")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
