package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/verify"
)

const (
	// readsPerSecond is what Kinesis grants all readers of a shard together.
	readsPerSecond = 5
	// shardBytes is the bandwidth that they share.
	shardBytes = 2 << 20
	// replayMemory bounds what a replay holds, in bytes; the live process beside
	// it has a budget of its own.
	replayMemory = 256 << 20
	// replayDrain bounds what a slice that is stopped still delivers: less than
	// the time after which others take it over. What is left is read again.
	replayDrain = 10 * time.Second
)

// replaying is what reads ranges again: the stream with a share of its
// capacity, and delivery's parts.
type replaying struct {
	*delivery.Replay
	stream standpipe.Stream
	shards []standpipe.Shard
	close  func()
}

// openReplaying wires it. target may be nil for one that only reads.
func openReplaying(ctx context.Context, c *config.Config, settings aws.Config, rate float64, target sink.Sink, log *zap.Logger) (r replaying, err error) {
	limits := consumer.DefaultLimits()
	limits.MaxPerSecond = rate
	limits.BytesPerSecond = int64(shardBytes * rate / readsPerSecond)
	client := kinesisReader(c, settings, limits)
	r.close = client.Close
	defer func() {
		if err != nil {
			client.Close()
		}
	}()
	if r.stream, err = client.Describe(ctx); err != nil {
		return r, fmt.Errorf("describe the stream: %w", err)
	}
	if r.shards, err = client.Shards(ctx); err != nil {
		return r, fmt.Errorf("list shards: %w", err)
	}
	codec, err := codecOf(c)
	if err != nil {
		return r, err
	}
	keyer, err := keyerOf(c, codec)
	if err != nil {
		return r, err
	}
	if target == nil {
		target = nowhere{}
	}
	worker := settingsOf(c, workerID())
	worker.AtLeastOnce = false // the store is its own, so exactly once costs nothing
	worker.DrainTimeout = min(worker.DrainTimeout, replayDrain)
	r.Replay = delivery.NewReplay(worker, delivery.Parts{
		Stream: delivery.Kinesis{Client: client}, Sink: target, Keyer: keyer, Codec: codec,
		Slots: sink.NewSlots(0), Budget: delivery.NewBudget(min(c.Standpipe.MemoryLimit.Bytes(), replayMemory)), Logger: log,
	}, time.Duration(float64(time.Second)/rate))
	return r, nil
}

// nowhere is the sink of a replay that only reads.
type nowhere struct{ sink.Sink }

func (nowhere) Location() string { return "nowhere" }

func checkRate(rate float64) error {
	if rate > 0 && rate <= readsPerSecond {
		return nil
	}
	return usagef("--rate %g: give more than 0 and at most %d reads per second, which all readers of a shard share", rate, readsPerSecond)
}

// of is a shard as the stream lists it; one that is not listed has left it.
func (r replaying) of(id standpipe.ShardID) standpipe.Shard {
	for _, s := range r.shards {
		if s.ID == id {
			return s
		}
	}
	return standpipe.Shard{ID: id}
}

// stream asks the stream about manifests.
func (k *verifyCommand) stream(ctx context.Context, c *config.Config, g *globals) (func(context.Context, manifest.Manifest) (standpipe.Digest, int64, error), func(), error) {
	settings, err := loadAWS(ctx, g.Region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return nil, nil, err
	}
	r, err := openReplaying(ctx, c, settings, k.Rate, nil, zap.NewNop())
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, m manifest.Manifest) (standpipe.Digest, int64, error) {
		d, n, err := r.Digest(ctx, m, r.of(m.Shard))
		return d, n, beyond(err)
	}, r.close, nil
}

// beyond says in verify's words that records are gone.
func beyond(err error) error {
	if errors.Is(err, delivery.ErrTrimmed) {
		return fmt.Errorf("%w: %w", verify.ErrBeyond, err)
	}
	return err
}

// A sliceFailure is a slice that needs a person.
type sliceFailure struct {
	Slice int    `json:"slice"`
	Name  string `json:"name"`
	Error string `json:"error"`
}

func failedOf(all []jobs.Slice) (failed []sliceFailure) {
	for _, s := range all {
		if s.State == jobs.Failed {
			failed = append(failed, sliceFailure{s.Number, s.Name, s.Error})
		}
	}
	return failed
}

// resultOf reads what a slice found; one that failed has found nothing.
func resultOf(s jobs.Slice, into any) error {
	if s.State != jobs.Done {
		return nil
	}
	if err := json.Unmarshal(s.Result, into); err != nil {
		return fmt.Errorf("read the result of slice %d of job %s: %w", s.Number, s.Job, err)
	}
	return nil
}

// slicesFailed shows them and is the error of their command.
func slicesFailed(out *console, job string, failed []sliceFailure, hint string) error {
	for _, f := range failed[:min(len(failed), rejectionsShown)] {
		out.note("slice %d of job %s failed: %s: %s", f.Slice, job, f.Name, f.Error)
	}
	if more := len(failed) - rejectionsShown; more > 0 {
		out.note("… and %s more failed", formatCount(int64(more)))
	}
	return &exitError{code: exitIncomplete, err: &standpipe.Error{
		Class: standpipe.Fatal, Op: "replay", Err: fmt.Errorf("%s of job %s failed", plural(len(failed), "slice"), job), Hint: hint,
	}}
}
