package delivery

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// Settings is what a user tunes.
type Settings struct {
	// Worker names this process; unique per process start.
	Worker string
	// Start is where a shard begins that has no lease and no leased ancestor.
	Start         consumer.Start
	RecordFormat  RecordFormat
	Deaggregation consumer.Deaggregation
	// OldestInObject chooses Firehose's rule for prefixes, see router.
	OldestInObject bool
	// AtLeastOnce is the cheap mode: one put per object, no intent, no manifest.
	AtLeastOnce bool
	Limits      batcher.Limits
	Absence     Absence
	// DrainTimeout bounds a graceful stop.
	DrainTimeout time.Duration
}

// Parts is what a program injects. All of them are safe for concurrent use and
// outlive the worker.
type Parts struct {
	Stream Stream
	Store  checkpoint.Store
	Sink   sink.Sink
	Keyer  *sink.Keyer
	Codec  sink.Codec
	Slots  *sink.Slots
	Budget *Budget
	// Logger and Registerer may be nil.
	Logger     *zap.Logger
	Registerer prometheus.Registerer
	// Random makes object names and intent ids: unique names are what
	// exactly-once rests on, so only a simulation sets it. nil is crypto/rand.
	Random io.Reader
}

// A Stream is the source as delivery needs it. Safe for concurrent use.
type Stream interface {
	Describe(ctx context.Context) (standpipe.Stream, error)
	Shards(ctx context.Context) ([]standpipe.Shard, error)
	Open(shard standpipe.Shard, from consumer.Start) Source
}

// Kinesis makes a consumer.Client a Stream.
type Kinesis struct{ *consumer.Client }

// Open implements Stream.
func (k Kinesis) Open(shard standpipe.Shard, from consumer.Start) Source {
	return k.Client.Open(shard, from)
}

// syncEvery is how often the worker looks for shards it has not met. Growth
// is noticed at once, at the parent's end; this finds what was missed.
const syncEvery = time.Minute

// restarts is how long a shard that failed rests before it is begun again.
var restarts = backoff.Policy{Min: time.Second, Max: time.Minute}

// A Worker delivers all shards of a stream: one goroutine per shard, children
// after all their parents. It is one node's worker: it takes every lease.
type Worker struct {
	settings Settings
	parts    Parts
	log      *zap.Logger
	metrics  *metrics
	breaks   breaks
	inline   int // see inlineMax; the simulation varies it

	begun atomic.Bool  // the start-up checks passed
	beat  atomic.Int64 // Unix seconds of the loop's last turn; 0 while it is not running

	mu     sync.Mutex // covers what follows; never held across I/O
	stream standpipe.Stream
	shards map[standpipe.ShardID]*running
}

// running is the worker's view of one shard's goroutine.
type running struct {
	shard    *shard
	done     bool
	from     standpipe.Position // the checkpoint it was begun at
	failures int                // in a row, without a commit in between
	resume   time.Time          // not before, after a failure
	last     ShardStatus
}

// NewWorker wires a worker. Run starts it.
func NewWorker(settings Settings, parts Parts) *Worker {
	if parts.Logger == nil {
		parts.Logger = zap.NewNop()
	}
	if parts.Random == nil {
		parts.Random = rand.Reader
	}
	w := &Worker{
		settings: settings, parts: parts, log: parts.Logger.With(zap.String("worker", settings.Worker)),
		inline: inlineMax, metrics: newMetrics(parts.Registerer, parts.Budget), shards: map[standpipe.ShardID]*running{},
	}
	w.registerStates(parts.Registerer)
	return w
}

// A finish is what a shard's goroutine reports when it ends.
type finish struct {
	shard  standpipe.ShardID
	reason standpipe.StopReason
	err    error
}

// Run delivers until ctx ends, then drains: intake stops, what is buffered is
// delivered, the leases are given up. It returns nil when everything taken was
// committed, else an error that says what was left; what was left is read
// again by the next owner. Run is called once.
func (w *Worker) Run(ctx context.Context) error {
	working, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)
	if err := w.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before anything was taken
		}
		return err
	}
	reading, stop := context.WithCancelCause(working)
	defer stop(nil)

	finished := make(chan finish)
	var group sync.WaitGroup
	alive := 0
	start := func() {
		for _, l := range w.startable(ctx) {
			alive++
			group.Go(func() { finished <- w.deliver(reading, working, l) })
		}
	}
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	w.begun.Store(true)
	for start(); ctx.Err() == nil; {
		w.beat.Store(time.Now().Unix())
		select {
		case f := <-finished:
			alive--
			w.finished(f)
			start()
		case <-tick.C:
			if err := w.refresh(ctx); err != nil && ctx.Err() == nil {
				w.log.Warn("the stream could not be looked at", zap.Error(err))
			}
			start()
		case <-retry.C:
			if w.anyResumes(time.Now()) {
				start()
			}
		case <-ctx.Done():
		}
	}
	w.beat.Store(0)
	w.log.Info("stopping", zap.Int("shards", alive))
	stop(context.Cause(ctx))
	timeout := time.AfterFunc(w.settings.DrainTimeout, func() { abandon(errDrainTimeout) })
	defer timeout.Stop()
	var left []error
	for ; alive > 0; alive-- {
		f := <-finished
		w.finished(f)
		if f.reason == standpipe.StopFailed {
			left = append(left, fmt.Errorf("%s: %w", f.shard, f.err))
		}
	}
	group.Wait()
	return errors.Join(left...)
}

var errDrainTimeout = errors.New("the drain timeout passed before everything was delivered")

// begin checks what only a person can mend, so that a wrong setting is one
// clear error at the start, and makes the first leases.
func (w *Worker) begin(ctx context.Context) error {
	switch err := w.describe(ctx); {
	case standpipe.ClassOf(err) == standpipe.NotFound:
		return atStart(err, "find the stream", "check KinesisStreamSourceConfiguration.KinesisStreamARN, the region and the endpoint")
	case err != nil:
		return fmt.Errorf("describe the stream: %w", err)
	}
	_, err := w.parts.Sink.Probe(ctx, manifest.StatePrefix+"probe")
	switch class := standpipe.ClassOf(err); {
	case err == nil || errors.Is(err, sink.ErrNotFound):
	case class == standpipe.Retryable || class == standpipe.Throttled:
		// An outage is no mistake: shards are read as far as memory goes and held.
		w.log.Warn("the destination does not answer yet", zap.Error(err))
	default:
		return atStart(err, "look into "+w.parts.Sink.Location(),
			"check ExtendedS3DestinationConfiguration.BucketARN, the credentials, and s3:GetObject and s3:ListBucket on it")
	}
	return w.sync(ctx)
}

// atStart makes a failed check final, with the hint that names the settings in
// place of the component's own.
func atStart(err error, op, hint string) error {
	cause := err
	if e, ok := errors.AsType[*standpipe.Error](err); ok && e.Err != nil {
		cause = e.Err
	}
	return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: cause, Hint: hint}
}

func (w *Worker) describe(ctx context.Context) error {
	stream, err := w.parts.Stream.Describe(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.stream = stream
	w.mu.Unlock()
	return nil
}

// refresh looks at the stream again: its retention may have changed, it may
// have been made anew, it may have shards that were missed.
func (w *Worker) refresh(ctx context.Context) error {
	if err := w.describe(ctx); err != nil {
		return err
	}
	return w.sync(ctx)
}

// sync makes a lease for every listed shard that has none.
func (w *Worker) sync(ctx context.Context) error {
	listed, err := w.parts.Stream.Shards(ctx)
	if err != nil {
		return fmt.Errorf("list shards: %w", err)
	}
	leases, err := w.parts.Store.List(ctx)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	if err := w.sameStream(leases); err != nil {
		return err
	}
	start := w.settings.Start
	for _, l := range leases { // a start that was fixed once stays
		if l.Checkpoint.Sequence == standpipe.AtTimestamp && !l.StartTime.IsZero() {
			start.Time = l.StartTime
		}
	}
	if start.Position.Sequence == standpipe.Latest {
		// LATEST is made a time at once: a restart before the first commit
		// must not skip what arrived meanwhile.
		start.Position.Sequence = standpipe.AtTimestamp
		if start.Time.IsZero() {
			start.Time = time.Now().UTC()
		}
	}
	for _, s := range missing(listed, leases) {
		from := start
		if s.descends {
			from = consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}}
		}
		if err := w.create(ctx, s.Shard, from); err != nil {
			return err
		}
	}
	return nil
}

// sameStream refuses positions of another stream of the same name.
func (w *Worker) sameStream(leases []checkpoint.Lease) error {
	stream := w.Stream()
	for _, l := range leases {
		if d := l.StreamCreated.Sub(stream.Created).Abs(); !l.StreamCreated.IsZero() && d > time.Second {
			return &standpipe.Error{
				Class: standpipe.Fatal, Op: "continue stream " + stream.Name,
				Err: fmt.Errorf("its checkpoints belong to a stream created at %s, this one was created at %s",
					l.StreamCreated.UTC().Format(time.RFC3339), stream.Created.UTC().Format(time.RFC3339)),
				Hint: "the stream was deleted and created again: keep the old checkpoints for the record and set Standpipe.Checkpoint.Path to a new folder",
			}
		}
	}
	return nil
}

// create makes the lease of a shard, free and at its start.
func (w *Worker) create(ctx context.Context, s standpipe.Shard, from consumer.Start) error {
	var inc [8]byte
	if _, err := io.ReadFull(w.parts.Random, inc[:]); err != nil {
		return fmt.Errorf("name an incarnation: %w", err)
	}
	err := w.parts.Store.Create(ctx, checkpoint.Lease{
		Shard: s.ID, Checkpoint: from.Position, StartTime: from.Time,
		Parents: s.Parents, HashStart: s.HashStart, HashEnd: s.HashEnd,
		Incarnation: fmt.Sprintf("%x", inc), StreamCreated: w.Stream().Created.UTC(),
	})
	if err != nil && !errors.Is(err, checkpoint.ErrExists) {
		return fmt.Errorf("create lease of %s: %w", s.ID, err)
	}
	return nil
}

// spawn makes the leases of a shard's children, at their beginnings, before
// the parent's end is committed. named is what the last page said; where the
// server says nothing, the listing does. hold is the parent's own, so that its
// status shows what it waits for.
func (w *Worker) spawn(ctx context.Context, hold *holder, parent standpipe.ShardID, named []standpipe.Shard) (ids []standpipe.ShardID, err error) {
	if len(named) == 0 {
		var listed []standpipe.Shard
		err := hold.do(ctx, "list the children of "+string(parent), callLimit, func(ctx context.Context) (err error) {
			listed, err = w.parts.Stream.Shards(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		named = consumer.Children(listed, parent)
	}
	if slices.ContainsFunc(named, func(c standpipe.Shard) bool { return len(c.Parents) > 1 }) {
		// The other parent of a merge may be so young that nobody has listed
		// it. Without a lease it would be taken for one that left retention,
		// and the merged shard would not wait for it.
		err := hold.do(ctx, "list the parents of the children of "+string(parent), callLimit, w.sync)
		if err != nil {
			return nil, err
		}
	}
	for _, c := range named {
		from := consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}}
		err := hold.do(ctx, "create lease of "+string(c.ID), callLimit, func(ctx context.Context) error { return w.create(ctx, c, from) })
		if err != nil {
			return nil, err
		}
		ids = append(ids, c.ID)
	}
	return ids, nil
}

// holder makes a retry policy with jitter of its own.
func (w *Worker) holder(log *zap.Logger, waiting func(string)) *holder {
	return &holder{rand: w.random(), log: log, metrics: w.metrics, waiting: waiting}
}

func (w *Worker) random() *mathrand.Rand {
	var seed [16]byte
	if _, err := io.ReadFull(w.parts.Random, seed[:]); err != nil {
		panic(fmt.Sprintf("seed back-off: %v", err))
	}
	return mathrand.New(mathrand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:])))
}

// startable takes note of the shards that can begin now: not ended, not
// running, and every parent that has a lease is ended.
func (w *Worker) startable(ctx context.Context) []checkpoint.Lease {
	leases, err := w.parts.Store.List(ctx)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn("leases could not be listed", zap.Error(err))
		}
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var ready []checkpoint.Lease
	for _, l := range leases {
		r := w.shards[l.Shard]
		if r == nil {
			r = &running{}
			w.shards[l.Shard] = r
		}
		if r.shard != nil || r.done || now.Before(r.resume) {
			continue
		}
		r.last = ShardStatus{Shard: l.Shard, Parents: l.Parents, Checkpoint: l.Checkpoint, Committed: l.Seen, State: StateEnded, Error: r.last.Error}
		if l.Checkpoint.AtEnd() {
			r.done = true
			continue
		}
		if r.last.WaitingFor = unfinished(l, leases); len(r.last.WaitingFor) > 0 {
			r.last.State = StateWaiting
			continue
		}
		r.last.State, r.from = StateOpening, l.Checkpoint
		r.shard = newShard(w, l, standpipe.Shard{ID: l.Shard, Parents: l.Parents, HashStart: l.HashStart, HashEnd: l.HashEnd})
		ready = append(ready, l)
	}
	return ready
}

// unfinished names the parents of l that have to end before it may begin. A
// parent without a lease has left retention and cannot be waited for.
func unfinished(l checkpoint.Lease, leases []checkpoint.Lease) (parents []standpipe.ShardID) {
	for _, p := range leases {
		if slices.Contains(l.Parents, p.Shard) && !p.Checkpoint.AtEnd() {
			parents = append(parents, p.Shard)
		}
	}
	return parents
}

// deliver takes the lease and runs the shard. A panic in one shard is that
// shard's failure: it is reported with its stack and the shard begun again.
func (w *Worker) deliver(reading, working context.Context, l checkpoint.Lease) (f finish) {
	f.shard = l.Shard
	w.mu.Lock()
	s := w.shards[l.Shard].shard
	w.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			f.reason, f.err = standpipe.StopFailed, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := s.protocol.take(working, w.settings.Worker); err != nil {
		f.reason, f.err = standpipe.StopFailed, err
		return f
	}
	f.reason, f.err = s.run(reading, working)
	return f
}

// finished takes note of how a shard's goroutine ended.
func (w *Worker) finished(f finish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.shards[f.shard]
	r.last = *r.shard.status.Load()
	r.last.Buffered = 0 // given back, however it ended
	r.shard = nil
	w.metrics.forget(f.shard)
	log := w.log.With(zap.String("shard", string(f.shard)), zap.String("reason", string(f.reason)))
	switch f.reason {
	case standpipe.StopShardEnd:
		r.done = true
	case standpipe.StopLeaseLost:
		// Whoever took it delivers it. One node's store has no other worker,
		// so this is worth a look.
		r.done = true
		log.Warn("lease lost")
	case standpipe.StopFailed:
		if r.last.Checkpoint != r.from {
			r.failures = 0
		}
		r.failures++
		wait := restarts.Delay(r.failures, w.random())
		r.resume = time.Now().Add(wait)
		r.last.State, r.last.Error = StateFailed, f.err.Error()
		w.metrics.failures.Inc()
		log.Error("delivery failed, beginning again", zap.Error(f.err), zap.Duration("after", wait))
	default:
		log.Info("released")
	}
}

func (w *Worker) anyResumes(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.shards {
		if r.shard == nil && !r.done && r.failures > 0 && !now.Before(r.resume) {
			return true
		}
	}
	return false
}

// Status is what every shard is doing, ordered by shard id.
func (w *Worker) Status() []ShardStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]ShardStatus, 0, len(w.shards))
	for _, r := range w.shards {
		st := r.last
		if r.shard != nil {
			st = *r.shard.status.Load()
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b ShardStatus) int {
		if a.Shard < b.Shard {
			return -1
		}
		return 1
	})
	return all
}

// Stream is the source as it described itself; zero before Run has asked.
func (w *Worker) Stream() standpipe.Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream
}

// stuckAfter is how long the worker's loop, which turns every second, may
// stand still before a restart would help.
const stuckAfter = time.Minute

// Live reports a loop that no longer turns. An outage of a peer holds shards,
// never the loop.
func (w *Worker) Live() error {
	if beat := w.beat.Load(); beat != 0 {
		if still := time.Since(time.Unix(beat, 0)); still > stuckAfter {
			return fmt.Errorf("the worker has stood still for %s", still.Round(time.Second))
		}
	}
	return nil
}

// Ready reports why the worker does not deliver: it has not begun, or shards
// have failed.
func (w *Worker) Ready() error {
	if !w.begun.Load() {
		return errors.New("not started yet: the stream, the checkpoint store or the destination has not answered")
	}
	var reasons []error
	for _, s := range w.Status() {
		if s.State == StateFailed {
			reasons = append(reasons, fmt.Errorf("%s: %s", s.Shard, s.Error))
		}
	}
	return errors.Join(reasons...)
}
