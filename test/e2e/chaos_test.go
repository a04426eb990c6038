package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/standpipe/standpipe/test/e2e/harness"
	"golang.org/x/sync/errgroup"
)

const (
	chaosShards = 12
	// chaosDrain bounds what comes after the faults: a lease has to expire, and a
	// shard that was not read for a minute catches up at Kinesis's 2 MiB a second
	// while 1.7 arrive.
	chaosDrain = 4 * time.Minute
	// shortLease, in seconds, is the least that is allowed: the shorter, the more
	// often shards change hands.
	shortLease = 5
)

// Three workers, twelve shards and 20 MB/s for three minutes, while workers are
// killed, stopped for longer than a lease and continued, told to stop and
// started again, cut off from the store or from S3 in every way a network has,
// and shards are split and merged. When it is over every line is there once, in
// its shard's order, and every chain of manifests is whole.
//
// STANDPIPE_CHAOS_MINUTES and STANDPIPE_CHAOS_MBPS change its length and rate,
// STANDPIPE_E2E_SEED repeats what was done to whom and when; how the processes
// meet it differs from run to run.
func TestChaosLosesNoLineAndDeliversNoneTwice(t *testing.T) {
	length := time.Duration(setting(t, "STANDPIPE_CHAOS_MINUTES", 3) * float64(time.Minute))
	rate := setting(t, "STANDPIPE_CHAOS_MBPS", 20)
	seed := harness.Seed(t)
	f := newFleet(t, fleetOptions{name: "chaos", workers: 3, shards: chaosShards, bytesPerSecond: int(rate * 1e6), leaseSeconds: shortLease})
	acts := harness.Schedule(seed, len(f.workers), length, shortLease*time.Second)
	t.Logf("what is done to whom:\n%s", harness.Describe(acts))

	ctx := limited(t, length+testLimit)
	over := make(chan struct{})
	group, running := errgroup.WithContext(ctx)
	f.load.Start(ctx)
	group.Go(func() error { return f.sweeping(running, t, over) })
	timer := time.AfterFunc(length, func() { close(over) })
	defer timer.Stop()
	reshards := &resharder{stream: f.stream, random: rand.New(rand.NewPCG(seed, 2))}
	group.Go(func() error { return reshards.run(running, over) })
	fates := make([]*fate, len(f.workers))
	for i, w := range f.workers {
		fates[i] = &fate{t: t, worker: w, done: map[string]int{}}
		group.Go(func() error { return fates[i].run(running, acts[i], over) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, fate := range fates {
		t.Logf("worker %s: %v; ended by itself %v", fate.worker.Name, fate.done, fate.ended)
		if !alive(fate.worker.Process()) {
			fate.worker.Start(t)
		}
	}
	t.Logf("%d splits and %d merges", reshards.splits, reshards.merges)
	f.close(t, chaosDrain)
}

// setting is a number of the environment.
func setting(t *testing.T, name string, otherwise float64) float64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%q is not a number above 0", name, text)
	}
	return n
}

// A fate is what happens to one worker, and the orchestrator that starts it
// again.
type fate struct {
	t      *testing.T
	worker *harness.Worker
	done   map[string]int // acts by kind
	ended  []int          // exit codes of processes that gave up by themselves
}

// run does the acts and keeps the worker running until over is closed. On a
// slow machine what the last acts would have been is left out.
func (f *fate) run(ctx context.Context, acts []harness.Act, over <-chan struct{}) error {
	f.worker.Start(f.t)
	defer f.worker.Heal()
	for _, act := range acts {
		if err := f.runs(ctx, act.Calm, over); err != nil {
			return err
		}
		select {
		case <-over:
			return nil
		default:
		}
		if err := f.act(ctx, act); err != nil {
			return fmt.Errorf("worker %s, %v: %w", f.worker.Name, act, err)
		}
		f.done[act.Kind]++
	}
	return f.runs(ctx, time.Hour, over)
}

// runs lets the worker run for that long or until something happens, and
// starts it again when it gives up, as an orchestrator would. Only a stack
// trace is never an answer.
func (f *fate) runs(ctx context.Context, d time.Duration, until <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return nil
		case <-until:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.worker.Process().Done():
		}
		if err := f.gaveUp(); err != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		f.worker.Start(f.t)
	}
}

// gaveUp notes that a process has ended by itself.
func (f *fate) gaveUp() error {
	p := f.worker.Process()
	if wreck := p.Wrecked(); wreck != "" {
		return fmt.Errorf("worker %s: %s", f.worker.Name, wreck)
	}
	f.ended = append(f.ended, p.ExitCode())
	return nil
}

// pause waits for that long: what is done to a worker has a length.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *fate) act(ctx context.Context, act harness.Act) error {
	w := f.worker
	switch act.Kind {
	case harness.KindFault:
		link := w.Links()[act.Link]
		if link == nil {
			return nil // a store that is a file has no network
		}
		link.Set(act.Fault)
		defer link.Set(harness.Fault{})
		return f.runs(ctx, act.Lasts, nil)
	case harness.KindPause:
		w.Process().Pause()
		defer w.Process().Resume()
		return pause(ctx, act.Lasts)
	case harness.KindKillAt:
		wire := map[string]*harness.Tripwire{"s3": w.OnS3, "store": w.OnStore}[act.Link]
		if wire != nil {
			// A worker without a shard writes nothing: then it dies a little later.
			if err := f.runs(ctx, 2*shortLease*time.Second, wire.Arm(act.Write, act.Answered)); err != nil {
				return err
			}
			defer wire.Arm(0, false)
		}
		w.Process().Crash()
	case harness.KindKill:
		w.Process().Crash()
	case harness.KindTerm:
		if err := f.term(ctx); err != nil {
			return err
		}
	}
	if err := pause(ctx, act.Lasts); err != nil {
		return err
	}
	w.Start(f.t)
	return nil
}

// term stops the worker as a deploy does. Nothing else is done to it meanwhile,
// so it has to end well, unless it had given up before.
func (f *fate) term(ctx context.Context) error {
	if err := f.worker.Started(ctx); err != nil {
		if alive(f.worker.Process()) {
			return err
		}
		return f.gaveUp()
	}
	_, err := f.worker.Stop(stopLimit)
	return err
}

// A resharder splits shards of the original width and merges narrower ones, so
// that no shard ever gets more than its reader may read.
type resharder struct {
	stream         *harness.Stream
	random         *rand.Rand
	splits, merges int
}

func (r *resharder) run(ctx context.Context, over <-chan struct{}) error {
	for {
		timer := time.NewTimer(5*time.Second + time.Duration(r.random.Int64N(int64(6*time.Second))))
		select {
		case <-timer.C:
		case <-over:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		if err := r.step(ctx); err != nil {
			return err
		}
	}
}

func (r *resharder) step(ctx context.Context) error {
	open, err := r.stream.Open(ctx)
	if err != nil {
		return err
	}
	const half = 0.75 / chaosShards
	wide := slices.DeleteFunc(slices.Clone(open), func(s types.Shard) bool { return harness.Width(s) < half })
	narrow := slices.DeleteFunc(open, func(s types.Shard) bool { return harness.Width(s) >= half })
	// Chance alone would split them all in one run of a hundred. Then there are
	// neighbours: narrow ones are all there is.
	if len(wide) == 0 || len(narrow) > 2 && r.random.IntN(2) == 0 {
		if err := r.stream.MergeOf(ctx, narrow); !errors.Is(err, harness.ErrNoNeighbours) {
			r.merges++
			return err
		}
	}
	r.splits++
	return r.stream.Split(ctx, wide[r.random.IntN(len(wide))])
}
