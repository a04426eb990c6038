package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vmihailenco/taskq/v3"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
)

// A jobBackend is a job store and the queue that goes with it.
type jobBackend interface {
	jobs.Store
	NewQueue(*taskq.QueueOptions) jobs.Queue
}

// A jobRun does one job in this process.
type jobRun struct {
	out      *console
	store    jobBackend
	handlers map[string]jobs.Handler
	parallel int // slices at a time
	quiet    bool
}

// taskqLogger: taskq's logger is global to the process and not guarded, so it
// is set once, before its first queue.
var taskqLogger sync.Once

// tame gives taskq's logger to l. What matters of its troubles is in the
// record; on a console it is noise.
func tame(l *zap.Logger) error {
	std, err := zap.NewStdLogAt(l, zap.DebugLevel)
	if err == nil {
		taskqLogger.Do(func() { taskq.SetLogger(std) })
	}
	return err
}

// run creates j with its slices, or goes on with the job of that id, and
// returns the slices when all have ended. An interrupt is an error that says
// how to go on; failed slices are no error here.
func (r jobRun) run(ctx context.Context, j jobs.Job, plan []jobs.Slice) ([]jobs.Slice, error) {
	if err := r.store.Create(ctx, j, plan); err != nil && !errors.Is(err, jobs.ErrExists) {
		return nil, fmt.Errorf("create job %s: %w", j.ID, err)
	}
	state, err := r.store.Job(ctx, j.ID)
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	all, err := r.store.Slices(ctx, j.ID)
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	sum := jobs.Summarize(all)
	if sum.Ended() {
		return all, nil
	}
	if state.Cancelled {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "job " + j.ID + " was cancelled", Hint: "standpipe jobs resume " + j.ID + " takes that back"}
	}
	if err := r.work(ctx, j.ID, sum); err != nil {
		return nil, err
	}
	return r.store.Slices(context.WithoutCancel(ctx), j.ID)
}

// work runs a runner until every slice has ended.
func (r jobRun) work(ctx context.Context, id string, sum jobs.Summary) error {
	logger, err := newLogger("warn", r.out)
	if err != nil {
		return err
	}
	if err := tame(logger); err != nil {
		return err
	}
	watched := newWatched(r.store, id, sum)
	runner, err := jobs.NewRunner(watched, r.store.NewQueue, r.handlers, jobs.Options{Worker: "this process", Parallel: r.parallel, Logger: logger})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(working) }()
	r.follow(ctx, watched)
	stop()
	err = <-ended
	if err == nil && !watched.counts().Ended() {
		err = &exitError{code: exitInterrupted, err: fmt.Errorf("interrupted: job %s keeps what is done; run the same command again to go on, or standpipe jobs cancel %s", id, id)}
	}
	return err
}

// follow shows how the job gets on until it has ended or ctx ends.
func (r jobRun) follow(ctx context.Context, w *watched) {
	sum := w.counts()
	total := sum.Waiting + sum.Running + sum.Done + sum.Failed
	show := newProgress(r.out, r.quiet, goal{max: int64(total)})
	interval := lineInterval
	if show.bar != nil {
		interval = barInterval
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-w.ended:
			if show.bar != nil {
				_ = show.bar.Finish()
				_ = show.bar.Clear()
			}
			return
		case <-ctx.Done():
			return
		}
		now := w.counts()
		switch {
		case r.quiet:
		case show.bar != nil:
			_ = show.bar.Set(now.Done + now.Failed)
		default:
			r.out.note("job %s: %d of %d slices done, %d failed", w.id, now.Done, total, now.Failed)
		}
	}
}

// A watched store shows a runner one job only, and counts what ends. Messages
// about other jobs find a job of no kind, which is nobody's work; their own
// command dispatches them again.
type watched struct {
	jobs.Store
	id    string
	ended chan struct{} // closed when every slice has

	mu  sync.Mutex
	sum jobs.Summary // Waiting holds running ones too
}

func newWatched(store jobs.Store, id string, sum jobs.Summary) *watched {
	sum.Waiting, sum.Running = sum.Waiting+sum.Running, 0
	return &watched{Store: store, id: id, ended: make(chan struct{}), sum: sum}
}

func (w *watched) counts() jobs.Summary {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sum
}

// Jobs implements jobs.Store.
func (w *watched) Jobs(ctx context.Context) ([]jobs.Job, error) {
	j, err := w.Store.Job(ctx, w.id)
	return []jobs.Job{j}, err
}

// Job implements jobs.Store.
func (w *watched) Job(ctx context.Context, id string) (jobs.Job, error) {
	if id != w.id {
		return jobs.Job{ID: id}, nil
	}
	return w.Store.Job(ctx, id)
}

// Put implements jobs.Store. Only one write can end a slice.
func (w *watched) Put(ctx context.Context, s jobs.Slice) (jobs.Slice, error) {
	got, err := w.Store.Put(ctx, s)
	if err != nil || s.Job != w.id || !s.Ended() {
		return got, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum.Waiting--
	if s.State == jobs.Done {
		w.sum.Done++
	} else {
		w.sum.Failed++
	}
	if w.sum.Ended() {
		close(w.ended)
	}
	return got, nil
}
