package harness

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"testing"

	"github.com/go-redis/redis/v8"

	"github.com/standpipe/standpipe/test/e2e/need"
)

// A Redis is a running Redis server that keeps everything in memory.
type Redis struct {
	URL string // redis://127.0.0.1:port/0

	program, dir string
	port         int
	process      *Process
	client       *redis.Client
}

// StartRedis starts redis-server, which ends with the test.
func StartRedis(t testing.TB) *Redis {
	t.Helper()
	r := &Redis{program: need.Redis(t), dir: t.TempDir(), port: FreePort(t)}
	address := "127.0.0.1:" + strconv.Itoa(r.port)
	r.URL = "redis://" + address + "/0"
	r.client = redis.NewClient(&redis.Options{Addr: address})
	t.Cleanup(func() { _ = r.client.Close() })
	r.start(t)
	return r
}

func (r *Redis) start(t testing.TB) {
	t.Helper()
	r.process = Start(t, "redis-server", exec.Command(
		r.program, "--bind", "127.0.0.1", "--port", strconv.Itoa(r.port),
		"--save", "", "--appendonly", "no", "--dir", r.dir,
	))
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if err := r.process.Until(ctx, "answer PING", func() error { return r.client.Ping(ctx).Err() }); err != nil {
		t.Fatal(err)
	}
}

// Flush is FLUSHALL. It returns how many keys there were.
func (r *Redis) Flush(ctx context.Context) (keys int64, err error) {
	if keys, err = r.client.DBSize(ctx).Result(); err != nil {
		return 0, fmt.Errorf("count the keys in Redis: %w", err)
	}
	if err := r.client.FlushAll(ctx).Err(); err != nil {
		return 0, fmt.Errorf("empty Redis: %w", err)
	}
	return keys, nil
}

// Restart is kill -9 and a new start under the same address: connections break
// and everything is gone.
func (r *Redis) Restart(t testing.TB) {
	t.Helper()
	r.process.Crash()
	r.start(t)
}
