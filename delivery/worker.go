package delivery

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// Settings is what a user tunes.
type Settings struct {
	// Worker names this process; unique per process start.
	Worker string
	// Delivery is the delivery stream's name, for the manifests.
	Delivery string
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
	Lease        LeaseSettings
}

// LeaseSettings is how a worker shares its stream with others.
type LeaseSettings struct {
	// Duration is for how long an owner may show no sign of life before others
	// take its leases. 0: the store belongs to this process alone, so every
	// lease is its own and nobody has to be shown that it lives.
	Duration time.Duration
	// Capacity is the most shards this worker delivers at once, 0 for no limit.
	Capacity int
	// Version and Address are shown to people who look at the fleet.
	Version, Address string
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

// A Worker delivers its share of a stream's shards: one goroutine per shard,
// children after all their parents. Workers that share a store divide the
// shards among themselves, see fleet.go.
type Worker struct {
	settings Settings
	parts    Parts
	log      *zap.Logger
	metrics  *metrics
	pulse    *pulse
	breaks   breaks
	inline   int // see inlineMax; the simulation varies it

	begun atomic.Bool  // the start-up checks passed
	made  time.Time    // the origin of beat: a jump of the wall clock must not look like a stall
	beat  atomic.Int64 // the loop's last turn, nanoseconds after made; 0 while it is not running

	mu     sync.Mutex // covers what follows; never held across I/O
	stream standpipe.Stream
	unfit  error // why the stream cannot be delivered, until a later look finds otherwise
	// listing is why the leases cannot be listed, where waiting does not help.
	listing error
	shards  map[standpipe.ShardID]*running
	fleet   Fleet
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
		made: time.Now(), inline: inlineMax, metrics: newMetrics(parts.Registerer, parts.Budget), shards: map[standpipe.ShardID]*running{},
	}
	w.pulse = newPulse(w)
	w.registerStates(parts.Registerer)
	return w
}

// Run delivers until ctx ends, then drains: intake stops, what is buffered is
// delivered, each lease is handed over as soon as its shard is drained. It
// returns nil when everything taken was committed or left, prepared, to a
// successor, else an error that says what was left; what was left is read
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
	var group sync.WaitGroup
	beating, still := context.WithCancel(working)
	defer still()
	nudged, changed := make(chan struct{}, 1), make(chan struct{}, 1)
	group.Go(func() { w.pulse.run(beating, nudged) })
	group.Go(func() { w.watch(ctx, changed) })

	l := newLoop(w, working)
	w.begun.Store(true)
	if w.settings.Lease.Duration == 0 {
		l.look(ctx) // else with the first heartbeat, which nudges
	}
	turn := time.NewTicker(stuckAfter / 6)
	defer turn.Stop()
	for ctx.Err() == nil {
		w.beat.Store(int64(time.Since(w.made)) + 1)
		select {
		case f := <-l.finished:
			l.ended(f)
			l.look(ctx)
		case <-nudged:
			l.look(ctx)
		case <-changed:
			l.look(ctx)
		case <-l.due.C:
			l.look(ctx)
		case <-turn.C: // to be seen turning
		case <-ctx.Done():
		}
	}
	w.beat.Store(0)
	timeout := time.AfterFunc(w.settings.DrainTimeout, func() { abandon(errDrainTimeout) })
	defer timeout.Stop()
	w.pulse.leave()
	err := l.leave()
	l.farewell(working)
	l.close()
	still()
	group.Wait() // or a heartbeat on its way would make the row anew
	w.pulse.forget()
	return err
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
