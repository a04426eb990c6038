//go:build !nolocal

package s3_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe/local/s3"
)

// parentCommand makes the test binary a parent that can be killed, and
// talkativeCommand a server that prints more than a pipe holds.
const (
	parentCommand    = "__parent"
	talkativeCommand = "__talkative"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case s3.ChildCommand:
			os.Exit(s3.ChildMain(os.Args[2:]))
		case parentCommand:
			os.Exit(parentMain(os.Args[2]))
		case talkativeCommand:
			for range 200 << 10 / 10 {
				fmt.Fprintln(os.Stderr, "nine char")
			}
			os.Exit(s3.ChildMain(os.Args[2:]))
		}
	}
	goleak.VerifyTestMain(m)
}

// parentMain starts a server, says so and waits to be killed.
func parentMain(dir string) int {
	p, err := s3.Start(context.Background(), s3.Config{Dir: dir, AccessKey: "k", SecretKey: "s", Log: os.Stderr})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, p.Addr())
	<-p.Done()
	return 1
}

func start(t *testing.T, cfg s3.Config) (*s3.Process, *awss3.Client) {
	t.Helper()
	cfg.AccessKey, cfg.SecretKey, cfg.Log = "k", "s", os.Stderr
	p, err := s3.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	c := p.AWS()
	c.HTTPClient = &http.Client{Transport: tr}
	return p, awss3.NewFromConfig(c, func(o *awss3.Options) { o.UsePathStyle = true })
}

func stop(t *testing.T, p *s3.Process) {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	select {
	case <-p.Done():
	default:
		t.Error("the child runs on after Stop")
	}
}

func put(t *testing.T, c *awss3.Client, key, body string) {
	t.Helper()
	_, err := c.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: aws.String("bucket"), Key: &key, Body: strings.NewReader(body),
		Metadata: map[string]string{"intent": "i"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, c *awss3.Client, key string) (body string, metadata map[string]string) {
	t.Helper()
	out, err := c.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("bucket"), Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	p, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(p), out.Metadata
}

func TestObjectsSurviveARestartInARelativeFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	p, c := start(t, s3.Config{Dir: "data"})
	for range 2 { // that it exists is fine
		if err := p.CreateBucket(t.Context(), "bucket"); err != nil {
			t.Fatal(err)
		}
	}
	put(t, c, "a/b", "body")
	stop(t, p)
	if b, err := os.ReadFile(filepath.Join("data", "objects", "bucket", "a", "b")); err != nil || string(b) != "body" {
		t.Fatalf("the object's file: %q, %v", b, err)
	}
	_, c = start(t, s3.Config{Dir: "data"})
	if b, m := get(t, c, "a/b"); b != "body" || m["intent"] != "i" {
		t.Fatalf("%q %v", b, m)
	}
}

// A file system without extended attributes has them in files beside; the
// folder of those is what decides after the first start.
func TestAttributesBesideTheObjects(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "attributes"), 0o750); err != nil {
		t.Fatal(err)
	}
	p, c := start(t, s3.Config{Dir: dir})
	if err := p.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	put(t, c, "k", "body")
	if b, m := get(t, c, "k"); b != "body" || m["intent"] != "i" {
		t.Fatalf("%q %v", b, m)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "attributes")); err != nil || len(files) == 0 {
		t.Fatalf("attributes: %v, %v", files, err)
	}
}

func TestItListensOnLoopbackOnlyAndAsksForTheKey(t *testing.T) {
	p, _ := start(t, s3.Config{Dir: t.TempDir(), Addr: ":0"})
	host, port, err := net.SplitHostPort(p.Addr())
	if err != nil || host != "127.0.0.1" || port == "0" {
		t.Fatalf("address %s", p.Addr())
	}
	if err := p.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(p.Endpoint() + "/bucket")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Fatalf("without a signature: %s", res.Status)
	}
}

// Aim: kill -9 of the parent leaves no server behind. Method: a parent process
// is killed; a connection to the server then ends, because the server does.
func TestTheServerDiesWithItsParent(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), self, parentCommand, t.TempDir())
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	addr = strings.TrimSpace(addr)
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()              // killed
	_, _ = c.Read(make([]byte, 1)) // ends when the server does
	// The kernel closes a dead process's sockets in no order one may count on.
	for deadline := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the server still listens")
		}
	}
}

// A client that dials ahead leaves connections on which it never asks anything;
// versitygw alone waits ten seconds for each, and was killed then.
func TestAConnectionOnWhichNothingIsAskedDoesNotKeepTheServer(t *testing.T) {
	for name, said := range map[string]string{"silent": "", "half a header": "GET / HTTP/1.1\r\nHo"} {
		t.Run(name, func(t *testing.T) {
			p, _ := start(t, s3.Config{Dir: t.TempDir()})
			c, err := net.Dial("tcp", p.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, said); err != nil {
				t.Fatal(err)
			}
			stop(t, p)
			if err := p.Err(); err != nil {
				t.Fatalf("it was killed: %v", err)
			}
		})
	}
}

// A terminal and a service manager send their signals to the whole group, while
// the parent has objects to deliver still.
func TestSignalsThatAskToStopAreTheParentsToJudge(t *testing.T) {
	p, c := start(t, s3.Config{Dir: t.TempDir()})
	if err := p.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt, syscall.SIGHUP} {
		if err := p.Signal(s); err != nil {
			t.Fatal(err)
		}
		for range 10 { // a server that had taken it would close its port soon
			put(t, c, "k", "body")
		}
	}
	stop(t, p)
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestAServerThatDiesSaysHowAndWhatItSaidLast(t *testing.T) {
	p, _ := start(t, s3.Config{Dir: t.TempDir()})
	if err := p.Signal(syscall.SIGQUIT); err != nil { // a Go program dies of it with a report
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "exit status 2; it said: SIGQUIT: quit") {
		t.Fatalf("it ended with %v", err)
	}
}

func TestOnlyTheReportOfADeathIsKeptAndOfALongOneTheBeginning(t *testing.T) {
	chatter := strings.Repeat("nothing of note\n", 1000)
	for name, test := range map[string]struct{ said, want string }{
		"chatter":   {chatter + "the last line\n", ""},
		"a failure": {chatter + "local S3 server: no room\n", "local S3 server: no room"},
		"a panic":   {chatter + "panic: boom\n" + strings.Repeat("goroutine 1\n", 1000), "panic: boom\ngoroutine 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			kept := s3.Kept(test.said)
			if len(kept) > 4<<10 || !strings.HasPrefix(kept, test.want) || test.want == "" && kept != "" {
				t.Fatalf("kept %d bytes: %.100q, want %q", len(kept), kept, test.want)
			}
		})
	}
}

// A child whose output nobody takes any more is killed by SIGPIPE.
func TestALogThatFailsDoesNotEndTheServer(t *testing.T) {
	for name, log := range map[string]io.Writer{
		"it trims what it counts": zap.NewStdLog(zap.NewNop()).Writer(),
		"it refuses":              refusing{},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := s3.Start(t.Context(), s3.Config{
				Dir: t.TempDir(), AccessKey: "k", SecretKey: "s", Log: log, Executable: []string{os.Args[0], talkativeCommand},
			})
			if err != nil {
				t.Fatal(err)
			}
			stop(t, p)
		})
	}
}

type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = s3.Start(t.Context(), s3.Config{Dir: t.TempDir(), Addr: l.Addr().String(), AccessKey: "k", SecretKey: "s"})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("start: %v", err)
	}
}

func TestAServerThatEndsAtOnceIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	_, err := s3.Start(t.Context(), s3.Config{Dir: file, AccessKey: "k", SecretKey: "s", Log: &log})
	if err == nil || !strings.Contains(err.Error(), "ended: exit status 1; it said: local S3 server: open "+file) || !strings.Contains(log.String(), file) {
		t.Fatalf("start: %v; it said %q", err, log.String())
	}
	if _, err := s3.Start(t.Context(), s3.Config{Dir: t.TempDir()}); err == nil {
		t.Error("started without keys")
	}
}
