package sdk

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// program is the binary under test, built once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "standpipe-sdk-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program, err = harness.Build(context.Background(), filepath.Join("..", "..", ".."), "./cmd/standpipe", dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// sessionLimit is for a session on a machine that is busy with others. KCL's is
// the longest: it waits half a minute before it begins, and up to twenty seconds
// for each generation of shards.
const sessionLimit = 8 * time.Minute

var ready = regexp.MustCompile(`kinesis is ready on (\S+), admin on (\S+)`)

// A server is the endpoint a session talks to, and the environment to reach it.
type server struct {
	url   string
	admin string // "" for a server that is not ours
	env   []string
}

// serve starts `standpipe kinesis`, or takes the endpoint of the environment.
func serve(t *testing.T, flags ...string) server {
	t.Helper()
	if url := os.Getenv("STANDPIPE_SDK_KINESIS"); url != "" {
		return server{url: url, env: append(os.Environ(), "AWS_ENDPOINT_URL_KINESIS="+url)}
	}
	args := append([]string{"kinesis", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--delay", "50ms"}, flags...)
	cmd := exec.Command(program, args...)
	cmd.Env = append(clean(), key...)
	p := harness.Start(t, "standpipe kinesis", cmd)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	line, err := p.WaitLine(ctx, "kinesis is ready on ")
	if err != nil {
		t.Fatal(err)
	}
	m := ready.FindStringSubmatch(line)
	return server{url: m[1], admin: m[2], env: append(append(clean(), key...), "AWS_ENDPOINT_URL_KINESIS="+m[1])}
}

var key = []string{
	"AWS_ACCESS_KEY_ID=" + harness.AccessKey, "AWS_SECRET_ACCESS_KEY=" + harness.SecretKey,
	"AWS_REGION=" + harness.Region, "AWS_DEFAULT_REGION=" + harness.Region, "AWS_EC2_METADATA_DISABLED=true",
	"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
}

// clean is the environment without the caller's AWS settings.
func clean() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") {
			env = append(env, kv)
		}
	}
	return env
}

// session runs a foreign program that has to end with "session ok".
func session(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, env
	p := harness.Start(t, name, cmd)
	code, err := p.Wait(sessionLimit)
	if err != nil || code != 0 || !strings.Contains(p.Output(), "session ok") {
		t.Errorf("the session ended with %d, %v:\n%s", code, err, p.Output())
	}
}
