package redis_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/vmihailenco/taskq/v3"

	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/jobs/jobstest"
	"github.com/standpipe/standpipe/jobs/redis"
)

func TestMain(m *testing.M) {
	taskq.SetLogger(log.New(io.Discard, "", 0))
	dir, err := os.MkdirTemp("", "standpipe-redis-*")
	if err == nil {
		err = trust(dir)
	}
	if err != nil {
		log.Fatal(err)
	}
	m.Run()
	_ = os.RemoveAll(dir)
}

func dial(t *testing.T, addr string) *redis.Client {
	t.Helper()
	c, err := redis.Dial(context.Background(), "redis://"+addr+"/0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Two workers share a job over one Redis, which is emptied again and again.
func TestAnEmptiedRedisLosesAndRepeatsNoSlice(t *testing.T) {
	server := miniredis.RunT(t)
	store, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const slices = 60
	ctx, cancel := context.WithCancel(context.Background())
	j, all := jobstest.Plan("j", slices)
	if err := store.Create(ctx, j, all); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	handler := func(_ context.Context, task jobs.Task) (json.RawMessage, error) {
		if calls.Add(1)%15 == 0 {
			server.FlushAll()
		}
		return json.Marshal(task.Slice.Number)
	}
	done := make(chan error, 2)
	for i := range 2 {
		client := dial(t, server.Addr())
		r, err := jobs.NewRunner(store, func(o *taskq.QueueOptions) jobs.Queue { return client.NewQueue(o) },
			map[string]jobs.Handler{"test": handler},
			jobs.Options{Worker: fmt.Sprint(i), Parallel: 2, Beat: 50 * time.Millisecond, ClaimTimeout: 500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- r.Run(ctx) }()
	}
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := store.Slices(context.Background(), "j")
		if err != nil {
			t.Fatal(err)
		}
		if jobs.Summarize(now).Done == slices {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not done: %+v", jobs.Summarize(now))
		}
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if calls.Load() != slices {
		t.Errorf("%d calls of the handler for %d slices", calls.Load(), slices)
	}
}

func TestAnAddressThatIsNoneIsRefusedWithoutItsPassword(t *testing.T) {
	_, err := redis.Dial(context.Background(), "http://user:secret@host")
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "redis://host:6379/0") {
		t.Fatalf("got %v", err)
	}
}

func TestAWrongPasswordIsSaidSo(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireAuth("right")
	_, err := redis.Dial(context.Background(), "redis://:wrong@"+server.Addr()+"/0")
	if err == nil || strings.Contains(err.Error(), "wrong@") || !strings.Contains(err.Error(), "check user and password") {
		t.Fatalf("got %v", err)
	}
}
