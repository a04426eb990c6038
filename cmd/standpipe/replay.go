package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/replay"
	"github.com/standpipe/standpipe/verify"
)

type replayCommand struct {
	Config     string   `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	From       string   `placeholder:"POINT" help:"Begin: a time, a duration ago, a sequence number, after:NUMBER, TRIM_HORIZON, or a file of checkpoint export."`
	To         string   `placeholder:"POINT" help:"End, not included when it is a time. Default now."`
	Manifest   []string `placeholder:"KEY" help:"Restore the objects of this manifest. May be repeated."`
	FromReport string   `placeholder:"FILE" help:"Restore what a report of verify --json names."`
	Shard      []string `placeholder:"ID" help:"Only this shard. May be repeated."`
	ToPrefix   string   `placeholder:"PREFIX/" help:"Deliver into this prefix instead: an archive of its own."`
	State      string   `placeholder:"DIR" help:"Where a replay into a prefix keeps its position. Default: replay/PREFIX under Standpipe.Checkpoint.Path."`
	Rate       float64  `default:"2" help:"Reads per second and shard, of the 5 that all readers share."`
	Parallel   int      `default:"4" help:"Slices at a time."`
	Deep       bool     `help:"Read objects that are there; else their size is believed."`
	Replace    bool     `help:"Write objects anew that are there and damaged; with --deep, for damage may leave the size as it was."`
	DryRun     bool     `help:"Say what would be looked at, and touch nothing."`
	JSON       bool     `help:"Write the result as JSON."`
	LogLevel   string   `default:"warn" help:"debug, info, warn or error."`
}

func (replayCommand) Help() string {
	return `Without --to-prefix it restores: objects that the range's manifests name and that are not there are
made again from the stream, under their own keys, with exactly their lines. What is whole is left
alone, so running it twice changes nothing.

With --to-prefix it delivers the range once more, into a prefix with manifests and a position of its
own. Interrupted, it goes on where it stood; done, it does nothing.

A live reader beside it keeps its share of the stream: see --rate. What retention has taken is named.

Exit codes: 0 done, 1 failed, 2 wrong flags or range, 3 something could not be restored, 130 interrupted.

Examples:

    standpipe replay -c standpipe.yaml --from-report report.json
    standpipe replay -c standpipe.yaml --from 2026-11-21T10:00:00Z --to 2026-11-21T11:00:00Z
    standpipe replay -c standpipe.yaml --from 24h --to-prefix again/2026-11-22/`
}

// A request is a checked command line.
type request struct {
	replay.Range
	deep bool
	left []verify.Finding // what restoring cannot mend
}

func (k *replayCommand) Run(ctx context.Context, g *globals, out *console) error {
	now := time.Now()
	r, err := k.request(now)
	if err != nil {
		return usage(err)
	}
	c, err := loadConfig(k.Config, out)
	if err != nil {
		return err
	}
	if k.ToPrefix != "" {
		if err := freePrefix(c, k.ToPrefix, now); err != nil {
			return usage(err)
		}
	}
	log, err := newLogger(k.LogLevel, out)
	if err != nil {
		return err
	}
	settings, err := loadAWS(ctx, g.Region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return err
	}
	if k.ToPrefix != "" {
		return k.deliver(ctx, c, settings, r, log, out)
	}
	return k.restore(ctx, g, c, settings, r, log, out)
}

// request reads the flags.
func (k *replayCommand) request(now time.Time) (r request, err error) {
	if err := checkRate(k.Rate); err != nil {
		return r, err
	}
	if k.Parallel < 1 || k.Parallel > 64 {
		return r, fmt.Errorf("--parallel %d: give 1 to 64", k.Parallel)
	}
	for _, id := range k.Shard {
		r.Shards = append(r.Shards, standpipe.ShardID(id))
	}
	ways := 0
	for _, given := range []bool{k.From != "" || k.To != "", len(k.Manifest) > 0, k.FromReport != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways == 0:
		return r, errors.New("say what to replay: --from and --to, --manifest, or --from-report")
	case ways > 1:
		return r, errors.New("--from and --to, --manifest, and --from-report say different things: give one of them")
	case k.ToPrefix != "" && k.From == "" && k.To == "":
		return r, errors.New("--to-prefix delivers a range: give --from and --to")
	case len(k.Manifest) > 0:
		r.Manifests = k.Manifest
		return r, nil
	case k.FromReport != "":
		b, err := os.ReadFile(k.FromReport)
		if err != nil {
			return r, err
		}
		r.Manifests, r.deep, r.left, err = replay.FromReport(b)
		return r, err
	}
	if r.From, err = point(k.From, now); err != nil {
		return r, fmt.Errorf("--from: %w", err)
	}
	if r.To, err = point(k.To, now); err != nil {
		return r, fmt.Errorf("--to: %w", err)
	}
	if r.From.Time.After(now) {
		return r, fmt.Errorf("--from %s lies ahead", k.From)
	}
	return r, replay.Ordered(r.From, r.To)
}

// point reads one end of a range, or the file that has it.
func point(s string, now time.Time) (replay.Point, error) {
	b, err := os.ReadFile(s)
	if s == "" || errors.Is(err, fs.ErrNotExist) {
		return replay.ParsePoint(s, now)
	}
	if err != nil {
		return replay.Point{}, err
	}
	var e exported
	if err := json.Unmarshal(b, &e); err != nil || e.Schema != exportSchema {
		return replay.Point{}, fmt.Errorf("%s is no file of standpipe checkpoint export: %w", s, err)
	}
	return replay.Point{Shards: e.positions()}, nil
}

// retained refuses a range that has left the stream, and names the part of one
// that has.
func retained(r request, stream standpipe.Stream, now time.Time, out *console) error {
	if stream.Retention <= 0 || r.Manifests != nil {
		return nil
	}
	horizon := now.Add(-stream.Retention).UTC()
	if !r.To.Time.IsZero() && !r.To.Time.After(horizon) {
		return usagef("the range ends at %s, and the stream keeps records from %s on: nothing of it can be read again. Versions or a copy of the bucket may have its objects; a longer retention (aws kinesis increase-stream-retention-period) helps from now on",
			r.To.Time.Format(time.RFC3339), horizon.Format(time.RFC3339))
	}
	if !r.From.Time.IsZero() && r.From.Time.Before(horizon) {
		out.note("records that arrived before %s have left retention: the replay begins there", horizon.Format(time.RFC3339))
	}
	return nil
}

func (k *replayCommand) restore(ctx context.Context, g *globals, c *config.Config, settings aws.Config, r request, log *zap.Logger, out *console) error {
	root, err := openRoot(ctx, placeOf(c), s3Of(c, g.Region))
	if err != nil {
		return err
	}
	target, closeSink, err := openSink(c, settings)
	if err != nil {
		return err
	}
	defer func() { _ = closeSink() }()
	reader, err := openReplaying(ctx, c, settings, k.Rate, target, nil, log)
	if err != nil {
		return err
	}
	defer reader.close()
	if err := retained(r, reader.stream, time.Now(), out); err != nil {
		return err
	}
	restorer := &replay.Restorer{Archive: root.Store, Replay: reader.Replay, Shards: reader.shards, Deep: k.Deep || k.Replace || r.deep, Replace: k.Replace}
	total := replay.Result{Left: r.left}
	var mu sync.Mutex
	work := newCrew(ctx, k.Parallel)
	err = replay.Plan(ctx, root.Store, r.Range, func(s replay.Slice) error {
		if k.DryRun {
			total.Manifests += int64(len(s.Manifests))
			return nil
		}
		return work.do(func(ctx context.Context) error {
			one, err := restorer.Restore(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			total.Add(one)
			if err != nil {
				return fmt.Errorf("restore %s: %w", s.ID, err)
			}
			return nil
		})
	})
	err = errors.Join(err, work.wait())
	return k.restored(total, err, out)
}

// restored shows the result, and an error after it.
func (k *replayCommand) restored(total replay.Result, err error, out *console) error {
	if k.JSON {
		err = errors.Join(err, out.writeJSON(total))
	} else {
		verb := "looked at"
		if k.DryRun {
			verb = "would be looked at"
		}
		_, werr := fmt.Fprintf(out.stdout, "%s %s: %s whole, %s restored with %s, %s damaged, %s beyond retention\n",
			amount(total.Manifests, "manifest"), verb, amount(total.Whole, "object"), formatCount(total.Restored), amount(total.Lines, "line"),
			formatCount(total.Damaged), formatCount(total.Beyond))
		err = errors.Join(err, werr)
		for _, f := range total.Left {
			var b strings.Builder
			writeFinding(&b, f, out)
			out.note("%s", strings.TrimRight(b.String(), "\n"))
		}
	}
	if err == nil && len(total.Left) > 0 {
		return &exitError{code: exitIncomplete, err: fmt.Errorf("not restored: %s", amount(int64(len(total.Left)), "finding"))}
	}
	return err
}

// A crew runs functions, some at a time, and stops at the first error.
type crew struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	room   chan struct{}
	group  sync.WaitGroup
}

func newCrew(ctx context.Context, n int) *crew {
	c := &crew{room: make(chan struct{}, n)}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// do waits for room.
func (c *crew) do(f func(context.Context) error) error {
	select {
	case c.room <- struct{}{}:
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	c.group.Go(func() {
		defer func() { <-c.room }()
		if err := f(c.ctx); err != nil {
			c.cancel(err)
		}
	})
	return nil
}

func (c *crew) wait() error {
	c.group.Wait()
	defer c.cancel(nil)
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return nil
}
