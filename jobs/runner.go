package jobs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/vmihailenco/taskq/v3"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/backoff"
)

// A Queue dispatches: taskq's queue, and Keep, which puts off the end of a
// message's reservation while its slice is worked on.
type Queue interface {
	taskq.Queue
	Keep(ctx context.Context, msg *taskq.Message) error
}

// A Task is one claimed slice.
type Task struct {
	Job   Job
	Slice Slice
	// Report notes how far the work has come. It returns at once; the store has
	// it after the next heartbeat. A later try finds the last one in
	// Slice.Progress.
	Report func(progress json.RawMessage)
	// Save is Report that returns when the store has it: for what has to be
	// known before an effect that cannot be taken back. After an error it is
	// unknown whether the store has it, and the effect must not follow; a claim
	// that was lost ends the handler's context too.
	Save func(ctx context.Context, progress json.RawMessage) error
}

// A Handler does one slice. It must be idempotent: it may have been done
// before by somebody who died before saying so. When ctx ends it returns soon;
// what it returns then does not count. An error of class Fatal fails the slice
// at once, any other is tried again.
type Handler func(ctx context.Context, t Task) (result json.RawMessage, err error)

// Options are the tunables of a Runner; zero means the default.
type Options struct {
	// Worker names this process, for people.
	Worker string
	// Queue is the queue's name: standpipe-jobs. Runners that have handlers for
	// different jobs need different ones, or they throw away each other's messages.
	Queue string
	// Parallel is how many slices are worked on at a time: 1.
	Parallel int
	// Beat is how often a claim is renewed: 3 s.
	Beat time.Duration
	// ClaimTimeout is how long a claim may stand still before another worker
	// takes the slice: 5 beats.
	ClaimTimeout time.Duration
	// MaxTries is how often a slice is tried before it has failed: 8.
	MaxTries int
	// Grace is how long a stop waits for handlers to return: 30 s.
	Grace  time.Duration
	Logger *zap.Logger
}

func (o *Options) defaults() {
	if o.Queue == "" {
		o.Queue = "standpipe-jobs"
	}
	o.Parallel = max(o.Parallel, 1)
	if o.Beat <= 0 {
		o.Beat = 3 * time.Second
	}
	if o.ClaimTimeout <= 0 {
		o.ClaimTimeout = 5 * o.Beat
	}
	if o.MaxTries <= 0 {
		o.MaxTries = 8
	}
	if o.Grace <= 0 {
		o.Grace = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
}

// rests is how long a slice waits after a failed try.
var rests = backoff.Policy{Min: time.Second, Max: 2 * time.Minute}

// taskName is what taskq calls our only kind of task.
const taskName = "slice"

// A Runner works on the slices of every job in a store whose kind it has a
// handler for. Many runners may share a store and a queue.
type Runner struct {
	store    Store
	queue    Queue
	handlers map[string]Handler
	opt      Options
	look     chan struct{} // holds one token when the store is worth a look before its time

	mu   sync.Mutex // covers rand
	rand *mathrand.Rand

	open    sync.RWMutex // held for reading by whoever begins a slice, for writing by the stop
	stopped bool
	working sync.WaitGroup
	ctx     context.Context // of the handlers; ends when Run's does
}

// NewRunner wires a runner. newQueue makes the queue with the options that this
// package needs; the section "Jobs" of DESIGN.md says why each is as it is.
func NewRunner(store Store, newQueue func(*taskq.QueueOptions) Queue, handlers map[string]Handler, opt Options) (*Runner, error) {
	opt.defaults()
	seed := backoff.Seed()
	r := &Runner{
		store: store, handlers: handlers, opt: opt, look: make(chan struct{}, 1),
		rand: mathrand.New(mathrand.NewPCG(seed, seed>>1)),
	}
	var tasks taskq.TaskMap // our own: the package's global one panics on a second registration
	_, err := tasks.Register(&taskq.TaskOptions{
		Name: taskName,
		// The record decides about tries; a message that comes back counts nothing.
		RetryLimit: 1 << 20,
		Handler:    r.handle,
	})
	if err != nil {
		return nil, fmt.Errorf("register the handler: %w", err)
	}
	r.queue = newQueue(&taskq.QueueOptions{
		Name:         opt.Queue,
		Handler:      &tasks,
		MinNumWorker: int32(opt.Parallel), MaxNumWorker: int32(opt.Parallel), // equal: else taskq searches by trial
		MaxNumFetcher: 1,
		// One message at a time: what is fetched and waits would outlive its reservation.
		ReservationSize: 1, BufferSize: 1,
		ReservationTimeout:   4 * opt.Beat,
		WaitTimeout:          time.Second,
		PauseErrorsThreshold: -1, // its pause cannot be interrupted
	})
	return r, nil
}

// message is what the queue carries: a hint to look at a slice.
type message struct {
	Job      string `json:"job"`
	Slice    int    `json:"slice"`
	Revision int64  `json:"revision"`
}

// Run works until ctx ends; then running slices are stopped and given back.
// It is called once.
func (r *Runner) Run(ctx context.Context) error {
	handlers, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	r.ctx = handlers
	// Not ctx: with a context that ends, taskq drops what it holds.
	if err := r.queue.Consumer().Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start the queue's consumer: %w", err)
	}
	seen := newObserver(r.opt.ClaimTimeout)
	tick := time.NewTicker(r.opt.Beat)
	defer tick.Stop()
	for {
		if err := r.dispatch(ctx, seen); err != nil && ctx.Err() == nil {
			r.opt.Logger.Warn("jobs could not be looked at", zap.Error(err))
		}
		select {
		case <-tick.C:
			continue
		case <-r.look:
			continue
		case <-ctx.Done():
		}
		break
	}
	r.open.Lock()
	r.stopped = true
	r.open.Unlock()
	stop(context.Cause(ctx))
	err := r.queue.CloseTimeout(r.opt.Grace)
	r.working.Wait()
	if err != nil {
		return fmt.Errorf("stop the queue: %w", err)
	}
	return nil
}

// dispatch puts what is due into the queue.
func (r *Runner) dispatch(ctx context.Context, seen *observer) error {
	all, err := r.store.Jobs(ctx)
	if err != nil {
		return fmt.Errorf("list jobs: %w", err)
	}
	alive := map[string]bool{}
	for _, j := range all {
		if j.Cancelled || r.handlers[j.Kind] == nil {
			continue
		}
		slices, err := r.store.States(ctx, j.ID)
		if err != nil {
			return fmt.Errorf("read job %s: %w", j.ID, err)
		}
		sum := Summarize(slices)
		if sum.Ended() {
			continue
		}
		alive[j.ID] = true
		queued, err := r.queue.Len()
		full := err == nil && queued >= sum.Waiting+sum.Running
		for _, s := range seen.due(j.ID, slices, full, time.Now()) {
			if err := r.add(ctx, s); err != nil {
				return err
			}
		}
	}
	seen.forget(alive)
	return nil
}

func (r *Runner) add(ctx context.Context, s Slice) error {
	body, err := json.Marshal(message{s.Job, s.Number, s.Revision})
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	msg := &taskq.Message{Ctx: ctx, TaskName: taskName, ArgsBin: body}
	if err := r.queue.Add(msg); err != nil {
		return fmt.Errorf("dispatch slice %d of job %s: %w", s.Number, s.Job, err)
	}
	return nil
}

// handle is taskq's handler. It always returns nil: whether and when a slice
// is tried again is the record's business, and the message has done its work.
func (r *Runner) handle(msg *taskq.Message) error {
	r.open.RLock()
	if r.stopped {
		r.open.RUnlock()
		return nil
	}
	r.working.Add(1)
	r.open.RUnlock()
	defer r.working.Done()
	var m message
	if err := json.Unmarshal(msg.ArgsBin, &m); err != nil {
		r.opt.Logger.Warn("a message that is none of ours was dropped", zap.Error(err))
		return nil
	}
	log := r.opt.Logger.With(zap.String("job", m.Job), zap.Int("slice", m.Slice))
	if err := r.do(r.ctx, m, log, func(ctx context.Context) error { return r.queue.Keep(ctx, msg) }); err != nil {
		log.Warn("slice not worked on", zap.Error(err))
	}
	select {
	case r.look <- struct{}{}:
	default:
	}
	return nil
}

// do claims the slice of m, works on it, and records how that ended. Only
// trouble with the store is an error.
func (r *Runner) do(ctx context.Context, m message, log *zap.Logger, keep func(context.Context) error) error {
	j, err := r.store.Job(ctx, m.Job)
	if err != nil {
		return unlessStopped(ctx, "read the job", err)
	}
	s, err := r.store.Slice(ctx, m.Job, m.Slice)
	if err != nil {
		return unlessStopped(ctx, "read the slice", err)
	}
	handler := r.handlers[j.Kind]
	if handler == nil || j.Cancelled || s.Ended() || s.Revision != m.Revision {
		return nil // an old message
	}
	c := &claim{store: r.store, token: newToken(), job: m.Job}
	if held, err := c.put(ctx, s.Claim(r.opt.Worker, c.token)); err != nil || !held {
		return err
	}
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	task := Task{Job: j, Slice: c.current(), Report: c.report, Save: func(ctx context.Context, p json.RawMessage) error {
		c.report(p)
		held, err := c.renew(ctx)
		if err == nil && !held {
			cancel(errLost)
			err = errLost
		}
		return err
	}}
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		r.keepAlive(working, cancel, c, keep)
	}()
	result, err := r.call(working, handler, task)
	cause := context.Cause(working)
	cancel(nil)
	<-beats
	if errors.Is(cause, errLost) {
		log.Warn("the claim was lost; another worker has the slice")
		return nil
	}
	last := c.current()
	next := last.Finish(result)
	switch {
	case cause != nil: // stopped or cancelled: what the handler returned does not count
		next = last.Return()
	case err == nil:
		log.Info("slice done", zap.String("name", s.Name))
	case standpipe.ClassOf(err) == standpipe.Fatal || last.Tries >= r.opt.MaxTries:
		log.Error("slice failed", zap.String("name", s.Name), zap.Error(err), zap.Int("tries", last.Tries))
		next = last.Fail(err.Error())
	default:
		rest := r.rest(last.Tries)
		log.Warn("slice will be tried again", zap.String("name", s.Name), zap.Error(err), zap.Int("tries", last.Tries), zap.Duration("after", rest))
		next = last.Retry(err.Error(), rest)
	}
	return r.record(ctx, c, next)
}

// unlessStopped: before the claim a stop leaves nothing undone.
func unlessStopped(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}

func (r *Runner) rest(tries int) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return rests.Delay(tries, r.rand)
}

// record writes the end of a try, also when the process is being stopped, for
// as long as the claim would last anyway.
func (r *Runner) record(ctx context.Context, c *claim, next Slice) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opt.ClaimTimeout)
	defer cancel()
	for tries := 1; ; tries++ {
		held, err := c.put(ctx, next)
		if err == nil {
			if !held {
				return errLost
			}
			return nil
		}
		if sleep := backoff.Sleep(ctx, r.rest(tries)); sleep != nil {
			return fmt.Errorf("record the end of the slice: %w", err)
		}
	}
}

// call runs the handler; its panic is an error of its slice, not of the process.
func (r *Runner) call(ctx context.Context, h Handler, t Task) (result json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return h(ctx, t)
}

var (
	errLost      = errors.New("the claim of the slice was lost")
	errCancelled = errors.New("the job was cancelled")
)

// keepAlive renews a claim until ctx ends. It ends ctx itself when the claim is
// lost, when nothing could be written for so long that it may be, and when the
// job was cancelled.
func (r *Runner) keepAlive(ctx context.Context, cancel context.CancelCauseFunc, c *claim, keep func(context.Context) error) {
	tick := time.NewTicker(r.opt.Beat)
	defer tick.Stop()
	renewed := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		held, err := c.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && !held:
			cancel(errLost)
			return
		case err == nil:
			renewed = time.Now()
		case time.Since(renewed) > r.opt.ClaimTimeout:
			cancel(errLost)
			return
		}
		// Without the reservation the message would be given to somebody, whose
		// claim then fails: worth no more than a line.
		if err := keep(ctx); err != nil && ctx.Err() == nil {
			r.opt.Logger.Debug("reservation not kept", zap.Error(err))
		}
		if j, err := r.store.Job(ctx, c.job); err == nil && j.Cancelled || errors.Is(err, ErrNotFound) {
			cancel(errCancelled)
			return
		}
	}
}

func newToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}
