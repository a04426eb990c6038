package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/node"
)

// startLimit bounds every server's start: the slowest takes 2 s on an idle
// machine, and the machines of a CI are not idle.
const startLimit = 60 * time.Second

// A Kinesis is a running Kinesis-compatible server.
type Kinesis struct {
	Endpoint string
	Process  *Process
}

// StartKinesalite starts kinesalite 3.3.3 with its LevelDB store in dir; an
// empty dir keeps everything in memory. Known holes: MillisBehindLatest is
// always 0, no ChildShards, ShardFilter ignored, nothing is ever trimmed.
func StartKinesalite(t testing.TB, dir string) *Kinesis {
	t.Helper()
	cmd := exec.Command("node", filepath.Join(node.Install(t), "kinesalite.cjs"))
	cmd.Env = append(os.Environ(), "KINESALITE_PATH="+dir)
	p := Start(t, "kinesalite", cmd)
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	line, err := p.WaitLine(ctx, "listening on ")
	if err != nil {
		t.Fatal(err)
	}
	_, endpoint, _ := strings.Cut(line, "listening on ")
	return &Kinesis{Endpoint: endpoint, Process: p}
}

// StartKinesisLocal starts kinesis-local 0.6.2 (kinesis-mock), in memory: it
// knows ChildShards, ShardFilter and MillisBehindLatest, which kinesalite does
// not, and is for less than about 5 MB.
func StartKinesisLocal(t testing.TB) *Kinesis {
	t.Helper()
	dir := node.Install(t)
	plain := FreePort(t)
	cmd := exec.Command("node", "--require", filepath.Join(dir, "loopback.cjs"),
		filepath.Join(dir, "node_modules", "kinesis-local", "main.js"))
	cmd.Dir = t.TempDir()
	cmd.Env = append(
		os.Environ(),
		fmt.Sprintf("KINESIS_MOCK_PLAIN_PORT=%d", plain),
		fmt.Sprintf("KINESIS_MOCK_TLS_PORT=%d", FreePort(t)),
		"KINESIS_MOCK_CERT_PATH="+filepath.Join(dir, "node_modules", "kinesis-local", "server.json"),
		"CREATE_STREAM_DURATION=50ms", "SPLIT_SHARD_DURATION=50ms", "MERGE_SHARDS_DURATION=50ms",
		"UPDATE_SHARD_COUNT_DURATION=50ms", "DELETE_STREAM_DURATION=50ms",
		"SHARD_LIMIT=500", "LOG_LEVEL=ERROR",
	)
	k := &Kinesis{Endpoint: fmt.Sprintf("http://127.0.0.1:%d", plain), Process: Start(t, "kinesis-local", cmd)}
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if err := k.Process.Until(ctx, "answer /healthcheck", func() error { return get(ctx, k.Endpoint+"/healthcheck") }); err != nil {
		t.Fatal(err)
	}
	return k
}

// StartOwnKinesis starts `standpipe kinesis` in memory, with one stream, and
// returns the address of its admin API too. It takes tens of megabytes a second,
// where the others take one; whoever writes that much has to Trim.
func StartOwnKinesis(t testing.TB, program, stream string, shards int) (k *Kinesis, admin string) {
	t.Helper()
	cmd := exec.Command(program, "kinesis", "--addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
		"--streams", fmt.Sprintf("%s:%d", stream, shards))
	p := Start(t, "standpipe kinesis", cmd)
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	line, err := p.WaitLine(ctx, "kinesis is ready on ")
	if err != nil {
		t.Fatal(err)
	}
	_, addresses, _ := strings.Cut(line, "kinesis is ready on ")
	endpoint, admin, ok := strings.Cut(addresses, ", admin on ")
	if !ok {
		t.Fatalf("no addresses in %q", line)
	}
	return &Kinesis{Endpoint: endpoint, Process: p}, admin
}

// Trim drops the records of a shard that arrived before a time, through the
// admin API of `standpipe kinesis`.
func Trim(ctx context.Context, admin, stream, shard string, before time.Time) error {
	order, err := json.Marshal(map[string]string{"stream": stream, "shard": shard, "before": before.Format(time.RFC3339Nano)})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, admin+"/trim", bytes.NewReader(order))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, answer)
	}
	if err != nil {
		return fmt.Errorf("trim %s of %s: %w", shard, stream, err)
	}
	return nil
}

// ports are those that FreePort has given away, in this test binary.
var ports sync.Map

// FreePort returns a TCP port of 127.0.0.1 for somebody who will listen there
// later. It is one of those that the kernel gives to nobody by itself (Linux
// begins at 32768, others above), so that neither a server on port 0 nor a
// client, of the test binary beside this one, can have it meanwhile.
func FreePort(t testing.TB) int {
	t.Helper()
	const first, last = 12_000, 32_000
	random := rand.New(rand.NewPCG(randomSeed(t), 0))
	for range 1000 {
		port := first + random.IntN(last-first)
		if _, given := ports.LoadOrStore(port, true); given {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // somebody has it
		}
		if err := l.Close(); err != nil {
			t.Fatalf("free port %d again: %v", port, err)
		}
		return port
	}
	t.Fatal("no port is free")
	return 0
}

// get says nil when the address answers with a 2xx.
func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return nil
}
