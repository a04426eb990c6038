package uploads

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/vmihailenco/taskq/v3"
	"github.com/vmihailenco/taskq/v3/memqueue"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/s3"
)

const (
	uploadsEach = 200       // of a round, each way
	objectBytes = 256 << 10 // one part
	workers     = 8
	budget      = 32 * objectBytes
)

// A bucket answers the three requests of an upload and keeps nothing.
type bucket struct{ published atomic.Int64 }

func (k *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	switch q := r.URL.Query(); {
	case r.Method == http.MethodPost && q.Has("uploads"):
		fmt.Fprint(w, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)
	case r.Method == http.MethodPut:
		w.Header().Set("ETag", `"e"`)
	default:
		k.published.Add(1)
		fmt.Fprint(w, `<CompleteMultipartUploadResult><ETag>"e-1"</ETag></CompleteMultipartUploadResult>`)
	}
}

// sealed makes the finished writers of a round.
func sealed(b *testing.B, to sink.Sink, line []byte) []*sink.Writer {
	b.Helper()
	encoder, err := sink.NewSlots(1).Acquire(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	all := make([]*sink.Writer, uploadsEach)
	for i := range all {
		codec, err := sink.NewCodec(sink.None, 0)
		if err != nil {
			b.Fatal(err)
		}
		all[i] = sink.NewWriter(to, codec, sink.Object{Key: fmt.Sprint(i)}, sink.WriterOptions{PartSize: 5 << 20})
		all[i].Append(encoder, line, true)
		all[i].Finish(encoder)
	}
	return all
}

func upload(ctx context.Context, to sink.Sink, w *sink.Writer) error {
	u, err := w.Stage(ctx)
	if err != nil {
		return err
	}
	return to.Publish(ctx, u)
}

// direct is what delivery does, reduced to its goroutines: each upload has one.
func direct(ctx context.Context, to sink.Sink, all []*sink.Writer) error {
	room := semaphore.NewWeighted(budget)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, w := range all {
		if err := room.Acquire(ctx, objectBytes); err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			defer room.Release(objectBytes)
			return upload(ctx, to, w)
		})
	}
	return group.Wait()
}

// again is an error that says itself when to be tried again; 0 is never.
type again struct {
	error
	after time.Duration
}

func (e again) Delay() time.Duration { return e.after }

// A task is one upload on its way through the queue.
type task struct {
	writer *sink.Writer
	once   sync.Once
	done   func(error)
}

func (t *task) end(err error) { t.once.Do(func() { t.done(err) }) }

// queued is the same through memqueue, with what keeps it from losing or doubling
// an upload: a budget taken before Add and given back at the one verdict, a gate
// that keeps Add and Close apart, the object passed by pointer, waits of our own,
// panics and stops that are final, a context of our own.
func queued(ctx context.Context, to sink.Sink, all []*sink.Writer) error {
	room := semaphore.NewWeighted(budget)
	var (
		tasks    taskq.TaskMap
		gate     sync.RWMutex
		closed   bool
		verdicts sync.WaitGroup
		mu       sync.Mutex
		failed   []error
	)
	handle := func(m *taskq.Message) (err error) {
		t := m.Args[0].(*task)
		defer func() {
			if p := recover(); p != nil {
				err = again{fmt.Errorf("panic: %v", p), 0}
			}
		}()
		switch err := upload(ctx, to, t.writer); {
		case err == nil:
			t.end(nil)
			return nil
		case ctx.Err() != nil:
			return again{err, 0}
		default:
			return again{err, time.Second/2 + time.Duration(mathrand.New(mathrand.NewPCG(1, 1)).Int64N(int64(time.Second)))}
		}
	}
	kind, err := tasks.Register(&taskq.TaskOptions{
		Name: "upload", RetryLimit: 1 << 30, Handler: handle,
		FallbackHandler: func(m *taskq.Message) error {
			m.Args[0].(*task).end(errors.New("given up"))
			return nil
		},
	})
	if err != nil {
		return err
	}
	q := memqueue.NewQueue(&taskq.QueueOptions{
		Name: "uploads", Handler: &tasks, Storage: taskq.NewLocalStorage(),
		MinNumWorker: workers, MaxNumWorker: workers, MaxNumFetcher: 1,
		BufferSize: budget / objectBytes, PauseErrorsThreshold: -1,
	})
	submit := func(w *sink.Writer) error {
		if err := room.Acquire(ctx, objectBytes); err != nil {
			return err
		}
		gate.RLock()
		defer gate.RUnlock()
		if closed {
			room.Release(objectBytes)
			return errors.New("closed")
		}
		verdicts.Add(1)
		t := &task{writer: w, done: func(err error) {
			room.Release(objectBytes)
			if err != nil {
				mu.Lock()
				failed = append(failed, err)
				mu.Unlock()
			}
			verdicts.Done()
		}}
		m := taskq.NewMessage(ctx, t)
		m.TaskName = kind.Name()
		return q.Add(m)
	}
	for _, w := range all {
		if err := submit(w); err != nil {
			return err
		}
	}
	verdicts.Wait()
	gate.Lock()
	closed = true
	gate.Unlock()
	return errors.Join(append(failed, q.CloseTimeout(10*time.Second))...)
}

// spent is the processor time of the process so far.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkUploads(b *testing.B) {
	taskq.SetLogger(log.New(io.Discard, "", 0))
	var counted bucket
	server := httptest.NewServer(&counted)
	defer server.Close()
	to := s3.New(s3.NewClient(aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("A", "S", ""),
	}), "b", s3.Options{})
	line := make([]byte, objectBytes-1)
	_, _ = rand.Read(line)
	ways := []struct {
		name      string
		do        func(context.Context, sink.Sink, []*sink.Writer) error
		cpu, wall []float64
	}{{name: "direct", do: direct}, {name: "memqueue", do: queued}}
	rounds := 0
	for b.Loop() {
		for k := range ways {
			w := &ways[(k+rounds)%len(ways)]
			all := sealed(b, to, line)
			before := counted.published.Load()
			cpu, wall := spent(b), time.Now()
			if err := w.do(b.Context(), to, all); err != nil {
				b.Fatal(err)
			}
			w.wall = append(w.wall, float64(time.Since(wall).Microseconds())/uploadsEach)
			w.cpu = append(w.cpu, float64((spent(b)-cpu).Microseconds())/uploadsEach)
			if n := counted.published.Load() - before; n != uploadsEach {
				b.Fatalf("%s published %d of %d", w.name, n, uploadsEach)
			}
		}
		rounds++
	}
	for _, w := range ways {
		b.ReportMetric(median(w.cpu), w.name+"-cpu-µs/upload")
		b.ReportMetric(median(w.wall), w.name+"-wall-µs/upload")
	}
	b.ReportMetric(median(ways[1].cpu)/median(ways[0].cpu), "cpu-ratio")
	b.ReportMetric(median(ways[1].wall)/median(ways[0].wall), "wall-ratio")
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
