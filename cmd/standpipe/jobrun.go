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

// A jobRun does one job in this process.
type jobRun struct {
	out      *console
	store    jobBackend
	handlers map[string]jobs.Handler
	parallel int // slices at a time
	quiet    bool
	beat     time.Duration // between two looks; 0 is the default
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
	all, err := r.store.States(ctx, j.ID)
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	sum := jobs.Summarize(all)
	if !sum.Ended() {
		if state.Cancelled {
			return nil, cancelled(j.ID)
		}
		if err := r.orphans(ctx, all); err != nil {
			return nil, fmt.Errorf("take job %s over: %w", j.ID, err)
		}
		if err := r.work(ctx, j.ID, sum); err != nil {
			return nil, err
		}
	}
	all, err = r.store.Slices(context.WithoutCancel(ctx), j.ID)
	if err == nil && len(all) == 0 && j.Slices > 0 {
		err = deleted(j.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	return all, nil
}

func cancelled(id string) error {
	return &standpipe.Error{Class: standpipe.Fatal, Op: "job " + id + " was cancelled", Hint: "standpipe jobs resume " + id + " takes that back"}
}

func deleted(id string) error {
	return &standpipe.Error{Class: standpipe.NotFound, Op: "job " + id + " was deleted", Hint: "the same command begins it anew"}
}

// orphans gives back the slices of a process that died, at once, where nobody
// else can be at work. Elsewhere their claims have to be seen standing still.
func (r jobRun) orphans(ctx context.Context, all []jobs.Slice) error {
	if !r.store.Alone() {
		return nil
	}
	for _, s := range all {
		if s.State != jobs.Running {
			continue
		}
		whole, err := r.store.Slice(ctx, s.Job, s.Number)
		if err == nil {
			_, err = r.store.Put(ctx, whole.Retry("its process died", 0))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// work runs a runner until every slice has ended, whoever ended it.
func (r jobRun) work(ctx context.Context, id string, sum jobs.Summary) error {
	logger, err := newLogger("warn", r.out)
	if err != nil {
		return err
	}
	if err := tame(logger); err != nil {
		return err
	}
	watched := newWatched(r.store, id, sum)
	// A queue for each job: what another command took out of this one it would
	// throw away.
	runner, err := jobs.NewRunner(watched, r.store.NewQueue, r.handlers, jobs.Options{
		Worker: workerID(), Queue: "standpipe-jobs:" + id, Parallel: r.parallel, Beat: r.beat, Logger: logger,
	})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(working) }()
	r.follow(ctx, watched)
	stop()
	if err := <-ended; err != nil {
		return err
	}
	select {
	case <-watched.over:
		return watched.err
	default:
		return &exitError{code: exitInterrupted, err: fmt.Errorf("interrupted: job %s keeps what is done; run the same command again to go on, or standpipe jobs cancel %s", id, id)}
	}
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
		case <-w.over:
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

// A watched store shows a runner one job only, and learns from the runner's own
// looks, every few seconds and after each slice, how the job gets on. Slices
// that other machines ended count like one's own. Messages about other jobs find
// a job of no kind, which is nobody's work; their own command dispatches them
// again.
type watched struct {
	jobs.Store
	id   string
	over chan struct{} // closed when every slice has ended, or err says why nobody goes on
	err  error         // written before over is closed

	mu  sync.Mutex
	sum jobs.Summary // guarded by mu
}

func newWatched(store jobs.Store, id string, sum jobs.Summary) *watched {
	return &watched{Store: store, id: id, over: make(chan struct{}), sum: sum}
}

func (w *watched) counts() jobs.Summary {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sum
}

// Jobs implements jobs.Store: the beginning of a look.
func (w *watched) Jobs(ctx context.Context) ([]jobs.Job, error) {
	j, err := w.Store.Job(ctx, w.id)
	switch {
	case errors.Is(err, jobs.ErrNotFound):
		w.end(deleted(w.id))
		return nil, nil
	case err != nil:
		return nil, err
	case j.Cancelled:
		// The last slices may have ended before the cancellation.
		if _, err := w.States(ctx, w.id); err != nil {
			return nil, err
		}
		w.end(cancelled(w.id))
	}
	return []jobs.Job{j}, nil
}

// States implements jobs.Store: the rest of a look.
func (w *watched) States(ctx context.Context, id string) ([]jobs.Slice, error) {
	all, err := w.Store.States(ctx, id)
	if err != nil || id != w.id || len(all) == 0 {
		return all, err
	}
	sum := jobs.Summarize(all)
	w.mu.Lock()
	w.sum = sum
	w.mu.Unlock()
	if sum.Ended() {
		w.end(nil)
	}
	return all, nil
}

// end is called by the runner's looks only, one at a time; the first counts.
func (w *watched) end(err error) {
	select {
	case <-w.over:
	default:
		w.err = err
		close(w.over)
	}
}

// Job implements jobs.Store.
func (w *watched) Job(ctx context.Context, id string) (jobs.Job, error) {
	if id != w.id {
		return jobs.Job{ID: id}, nil
	}
	return w.Store.Job(ctx, id)
}
