package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmihailenco/taskq/v3"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/jobs/jobstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick has the shortest times that are still far above what a claim takes.
var quick = jobs.Options{Worker: "w", Parallel: 4, Beat: 20 * time.Millisecond, ClaimTimeout: 200 * time.Millisecond, Grace: 10 * time.Second}

func openStore(t *testing.T) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start runs a runner until the test, or the returned stop, ends it.
func start(t *testing.T, s *embedded.Store, store jobs.Store, opt jobs.Options, h jobs.Handler) (stop func()) {
	t.Helper()
	r, err := jobs.NewRunner(store, func(o *taskq.QueueOptions) jobs.Queue { return s.NewQueue(o) }, map[string]jobs.Handler{"test": h}, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func create(t *testing.T, s jobs.Store, id string, n int) {
	t.Helper()
	j, all := jobstest.Plan(id, n)
	if err := s.Create(context.Background(), j, all); err != nil {
		t.Fatal(err)
	}
}

// settle waits until every slice of the job has ended.
func settle(t *testing.T, s jobs.Store, id string) []jobs.Slice {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := s.Slices(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if jobs.Summarize(all).Ended() {
			return all
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("job %s has not ended: %+v", id, jobs.Summarize(all))
		}
	}
}

func echo(_ context.Context, t jobs.Task) (json.RawMessage, error) {
	return json.Marshal(t.Slice.Number)
}

func TestEverySliceIsDoneOnceWithItsResult(t *testing.T) {
	s := openStore(t)
	var calls atomic.Int64
	create(t, s, "j", 60)
	start(t, s, s, quick, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		calls.Add(1)
		return echo(ctx, task)
	})
	for i, x := range settle(t, s, "j") {
		if x.State != jobs.Done || string(x.Result) != fmt.Sprint(i) || x.Tries != 1 || x.Token != "" {
			t.Errorf("slice %d: %+v", i, x)
		}
	}
	if calls.Load() != 60 {
		t.Errorf("the handler ran %d times", calls.Load())
	}
}

func TestAFailedTryIsRepeatedUntilTheLimit(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 3)
	opt := quick
	opt.MaxTries = 2
	start(t, s, s, opt, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		switch {
		case task.Slice.Number == 0 && task.Slice.Tries == 1:
			return nil, errors.New("not yet")
		case task.Slice.Number == 1:
			return nil, errors.New("never")
		case task.Slice.Number == 2:
			return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "read", Err: errors.New("hopeless")}
		}
		return echo(ctx, task)
	})
	all := settle(t, s, "j")
	for i, want := range []struct {
		state jobs.State
		tries int
		err   string
	}{{jobs.Done, 2, ""}, {jobs.Failed, 2, "never"}, {jobs.Failed, 1, "read: hopeless"}} {
		if x := all[i]; x.State != want.state || x.Tries != want.tries || x.Error != want.err {
			t.Errorf("slice %d: %+v", i, x)
		}
	}
	if s := jobs.Summarize(all).State(jobs.Job{}); s != "failed" {
		t.Errorf("the job is %s", s)
	}
}

func TestAPanicIsItsSlicesFailureOnly(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 5)
	opt := quick
	opt.MaxTries = 1
	start(t, s, s, opt, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		if task.Slice.Number == 2 {
			panic("oh")
		}
		return echo(ctx, task)
	})
	all := settle(t, s, "j")
	if x := all[2]; x.State != jobs.Failed || x.Error != "panic: oh" {
		t.Errorf("%+v", x)
	}
	if s := jobs.Summarize(all); s.Done != 4 {
		t.Errorf("%+v", s)
	}
}

func TestAFailedJobGoesOnAfterResumeWithItsProgress(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 2)
	opt := quick
	opt.MaxTries = 1
	var mended atomic.Bool
	start(t, s, s, opt, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		if !mended.Load() {
			task.Report(json.RawMessage(`"half"`))
			return nil, errors.New("broken")
		}
		return task.Slice.Progress, nil
	})
	settle(t, s, "j")
	mended.Store(true)
	if _, err := jobs.Resume(context.Background(), s, "j"); err != nil {
		t.Fatal(err)
	}
	for _, x := range settle(t, s, "j") {
		if x.State != jobs.Done || string(x.Result) != `"half"` {
			t.Errorf("%+v", x)
		}
	}
}

func TestAStoppedWorkerGivesItsSlicesBack(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 8)
	begun := make(chan struct{}, 8)
	stop := start(t, s, s, quick, func(ctx context.Context, _ jobs.Task) (json.RawMessage, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return json.RawMessage(`"never"`), nil
	})
	for range quick.Parallel {
		<-begun
	}
	stop()
	all, err := s.Slices(context.Background(), "j")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		if x.State != jobs.Waiting || x.Tries != 0 || x.Result != nil {
			t.Errorf("%+v", x)
		}
	}
	start(t, s, s, quick, echo)
	if sum := jobs.Summarize(settle(t, s, "j")); sum.Done != 8 {
		t.Errorf("%+v", sum)
	}
}

func TestACancelledJobStopsAndKeepsWhatIsDone(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	create(t, s, "j", 8)
	first := make(chan struct{})
	stopped := make(chan error, 8)
	opt := quick
	opt.Parallel = 1
	start(t, s, s, opt, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		if task.Slice.Number == 0 {
			return echo(ctx, task)
		}
		close(first)
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		return nil, nil
	})
	<-first
	if _, err := jobs.Cancel(ctx, s, "j"); err != nil {
		t.Fatal(err)
	}
	if err := <-stopped; err == nil || err.Error() != "the job was cancelled" {
		t.Fatalf("stopped because of %v", err)
	}
	waitFor(t, func() bool {
		all, err := s.Slices(ctx, "j")
		if err != nil {
			t.Fatal(err)
		}
		sum := jobs.Summarize(all)
		return sum.Done == 1 && sum.Waiting == 7
	})
}

// A worker whose claim stands still loses its slice, and what it says later
// does not count.
func TestASliceOfADeadWorkerIsTakenOver(t *testing.T) {
	s := openStore(t)
	ctx := context.Background()
	create(t, s, "j", 1)
	x, err := s.Slice(ctx, "j", 0)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := s.Put(ctx, x.Claim("dead", "its token").Report(json.RawMessage(`7`)))
	if err != nil {
		t.Fatal(err)
	}
	start(t, s, s, quick, func(_ context.Context, task jobs.Task) (json.RawMessage, error) {
		return task.Slice.Progress, nil
	})
	all := settle(t, s, "j")
	if all[0].State != jobs.Done || all[0].Tries != 2 || string(all[0].Result) != "7" {
		t.Fatalf("%+v", all[0])
	}
	if _, err := s.Put(ctx, dead.Finish(json.RawMessage(`"late"`))); !errors.Is(err, jobs.ErrChanged) {
		t.Fatalf("the dead worker's word counted: %v", err)
	}
}

// lossy applies every third write and then says that it does not know.
type lossy struct {
	jobs.Store
	n atomic.Int64
}

func (l *lossy) Put(ctx context.Context, x jobs.Slice) (jobs.Slice, error) {
	got, err := l.Store.Put(ctx, x)
	if l.n.Add(1)%3 == 0 && err == nil {
		return jobs.Slice{}, errors.New("the answer was lost")
	}
	return got, err
}

func TestLostAnswersOfTheStoreLoseNoSlice(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 40)
	opt := quick
	opt.MaxTries = 1 << 20
	start(t, s, &lossy{Store: s}, opt, echo)
	for i, x := range settle(t, s, "j") {
		if x.State != jobs.Done || string(x.Result) != fmt.Sprint(i) {
			t.Errorf("slice %d: %+v", i, x)
		}
	}
}

// forgetful is a queue that loses half of its messages and sends the others twice.
type forgetful struct {
	*embedded.Queue
	n atomic.Int64
}

func (f *forgetful) Add(msg *taskq.Message) error {
	if f.n.Add(1)%2 == 0 {
		return nil
	}
	return errors.Join(f.Queue.Add(msg), f.Queue.Add(msg))
}

func TestLostAndRepeatedMessagesLoseAndRepeatNoSlice(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 30)
	var calls atomic.Int64
	r, err := jobs.NewRunner(s, func(o *taskq.QueueOptions) jobs.Queue { return &forgetful{Queue: s.NewQueue(o)} },
		map[string]jobs.Handler{"test": func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
			calls.Add(1)
			return echo(ctx, task)
		}}, quick)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	all := settle(t, s, "j")
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if sum := jobs.Summarize(all); sum.Done != 30 || calls.Load() != 30 {
		t.Fatalf("%+v after %d calls", sum, calls.Load())
	}
}

func TestAJobOfAnotherKindIsLeftAlone(t *testing.T) {
	s := openStore(t)
	j, all := jobstest.Plan("other", 1)
	j.Kind = "of a newer version"
	if err := s.Create(context.Background(), j, all); err != nil {
		t.Fatal(err)
	}
	create(t, s, "j", 1)
	stop := start(t, s, s, quick, echo)
	settle(t, s, "j")
	stop()
	if x, err := s.Slice(context.Background(), "other", 0); err != nil || x.Revision != 1 {
		t.Fatalf("%+v, %v", x, err)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not within a minute")
		}
	}
}
