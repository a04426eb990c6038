package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/replay"
	"github.com/standpipe/standpipe/sink"
)

// freePrefix refuses a prefix that the live configuration writes to, or that
// leads nowhere.
func freePrefix(c *config.Config, prefix string, now time.Time) error {
	if !strings.HasSuffix(prefix, "/") || !fs.ValidPath(strings.TrimSuffix(prefix, "/")) {
		return fmt.Errorf("--to-prefix %s: give a path that ends in a slash, as again/2026-11-22/", prefix)
	}
	codec, err := codecOf(c)
	if err != nil {
		return err
	}
	keyer, err := keyerOf(c, codec)
	if err != nil {
		return err
	}
	first := func(key string) string {
		head, _, _ := strings.Cut(key, "/")
		return head
	}
	d := c.ExtendedS3DestinationConfiguration
	live := []string{keyer.Route(now), keyer.ErrorRoute("processing-failed", now), "_standpipe/"}
	for _, static := range []string{d.Prefix, d.ErrorOutputPrefix} {
		if static, _, _ = strings.Cut(static, "!{"); static != "" {
			live = append(live, static)
		}
	}
	for _, l := range live {
		if first(l) == first(prefix) || strings.HasPrefix(prefix, l) || strings.HasPrefix(l, prefix) {
			return fmt.Errorf("--to-prefix %s: the live configuration writes to %s; give a prefix beside it, as again/%s", prefix, l, prefix)
		}
	}
	return nil
}

// A delivering is everything that a replay into a prefix needs.
type delivering struct {
	cmd      *replayCommand
	out      *console
	config   *config.Config
	settings aws.Config
	reader   replaying
	request  request
	spec     replay.Spec
}

func (k *replayCommand) deliver(ctx context.Context, g *globals, c *config.Config, settings aws.Config, r request, log *zap.Logger, out *console) (err error) {
	if r.from != "" || r.to != "" {
		root, err := openRoot(ctx, placeOf(c), s3Of(c, g.Region))
		if err != nil {
			return err
		}
		if err := r.locate(ctx, root.Store); err != nil {
			return err
		}
	}
	live, closeSink, err := openSink(c, settings)
	if err != nil {
		return err
	}
	defer func() { _ = closeSink() }()
	place, err := absolute(placeOf(c))
	if err != nil {
		return err
	}
	reader, err := openReplaying(ctx, c, settings, k.Rate, sink.Under(live, k.ToPrefix), log)
	if err != nil {
		return err
	}
	defer reader.close()
	w := delivering{cmd: k, out: out, config: c, settings: settings, reader: reader, request: r, spec: k.spec(place, reader, r)}
	if k.DryRun {
		return w.look(ctx)
	}
	store, err := k.jobsFolder.of(c).open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	deliverer := &replay.Deliverer{Store: store, Replay: reader.Replay}
	run := jobRun{out: out, store: store, handlers: map[string]jobs.Handler{replay.DeliverKind: deliverer.Do}, parallel: k.Parallel, quiet: k.Quiet}
	return w.run(ctx, run)
}

// look is --dry-run. A job store is read if there is one, and never made.
func (w *delivering) look(ctx context.Context) (err error) {
	store, err := w.cmd.jobsFolder.of(w.config).existing()
	switch {
	case standpipe.ClassOf(err) == standpipe.NotFound:
		j, _, err := w.plan(ctx)
		if err != nil {
			return err
		}
		return w.would(j.Slices)
	case err != nil:
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	j, _, err := w.job(ctx, store)
	if err != nil {
		return err
	}
	return w.would(j.Slices)
}

func (w *delivering) would(shards int) error {
	if w.cmd.JSON {
		return w.out.writeJSON(deliverReport{DryRun: true, Slices: shards, Place: w.place()})
	}
	_, err := fmt.Fprintf(w.out.stdout, "%s would be replayed\n", amount(int64(shards), "shard"))
	return err
}

func (w *delivering) run(ctx context.Context, run jobRun) error {
	j, plan, err := w.job(ctx, run.store)
	switch {
	case err != nil:
		return err
	case j.Slices == 0: // a job of nothing would keep the prefix from ever having one
		return w.report(deliverReport{Place: w.place()})
	}
	if len(plan) > 0 { // another machine may have been first, with other words
		if err := run.store.Create(ctx, j, plan); err != nil && !errors.Is(err, jobs.ErrExists) {
			return fmt.Errorf("create job %s: %w", j.ID, err)
		}
		if j, _, err = w.begun(ctx, run.store); err != nil {
			return err
		}
	}
	all, err := run.run(ctx, j, plan)
	if err != nil {
		return err
	}
	r := deliverReport{Job: j.ID, Place: w.place(), Slices: len(all)}
	for _, s := range all {
		var one replay.Delivered
		if err := resultOf(s, &one); err != nil {
			return err
		}
		r.Add(one)
	}
	r.Failed = failedOf(all)
	return w.report(r)
}

// job is the prefix's, or a plan of it.
func (w *delivering) job(ctx context.Context, store jobs.Store) (jobs.Job, []jobs.Slice, error) {
	j, found, err := w.begun(ctx, store)
	if found || err != nil {
		return j, nil, err
	}
	planned, plan, err := w.plan(ctx)
	if err != nil { // it may have been begun meanwhile, and so fill the prefix
		if j, found, again := w.begun(ctx, store); found || again != nil {
			return j, nil, again
		}
	}
	return planned, plan, err
}

// begun reads the prefix's job, if there is one, and refuses it if something
// else was asked of it.
func (w *delivering) begun(ctx context.Context, store jobs.Store) (j jobs.Job, found bool, err error) {
	j, err = store.Job(ctx, w.spec.DeliverID())
	if errors.Is(err, jobs.ErrNotFound) {
		return j, false, nil
	}
	if err != nil {
		return j, false, fmt.Errorf("read job %s: %w", w.spec.DeliverID(), err)
	}
	first, err := replay.SpecOf(j)
	if err != nil {
		return j, true, err
	}
	if !first.Asks(w.spec) {
		return j, true, usagef("%s is job %s: %s of shards %q of %s: give the same flags to go on with it, or another --to-prefix",
			w.cmd.ToPrefix, j.ID, first.Asked, first.Shards, first.Stream)
	}
	return j, true, nil
}

func (w *delivering) plan(ctx context.Context) (j jobs.Job, plan []jobs.Slice, err error) {
	if err := retained(w.request, w.reader.stream, time.Now(), w.out); err != nil {
		return j, nil, err
	}
	if err := w.unused(ctx); err != nil {
		return j, nil, err
	}
	ranges, err := replay.Ranges(w.reader.shards, w.request.Range, time.Now())
	if err != nil {
		return j, nil, usage(err)
	}
	return w.spec.Delivery(ranges, time.Now())
}

func (w *delivering) place() string {
	return strings.TrimSuffix(w.spec.Archive, "/") + "/" + w.cmd.ToPrefix
}

// A deliverReport is what the job of a prefix has done so far.
type deliverReport struct {
	replay.Delivered
	DryRun bool           `json:"dryRun,omitempty"`
	Job    string         `json:"job,omitempty"`
	Place  string         `json:"place"`
	Slices int            `json:"slices"`
	Failed []sliceFailure `json:"failed,omitempty"`
}

// report shows the result and judges it.
func (w *delivering) report(r deliverReport) (err error) {
	if w.cmd.JSON {
		err = w.out.writeJSON(r)
	} else {
		_, err = fmt.Fprintf(w.out.stdout, "%s replayed to %s: %s\n", amount(r.Shards, "shard"), r.Place, amount(r.Flushes, "manifest"))
		if r.Gaps > 0 {
			w.out.note("records had left retention in %s, which the manifests name", amount(r.Gaps, "place"))
		}
	}
	switch {
	case err != nil:
		return err
	case len(r.Failed) > 0:
		return slicesFailed(w.out, r.Job, r.Failed, "mend it, then standpipe jobs resume "+r.Job+" and the same command again")
	case r.Gaps > 0:
		return &exitError{code: exitIncomplete, err: errors.New("not replayed: what had left retention")}
	}
	return nil
}

// unused refuses a prefix that already holds an archive of which nobody here
// knows how far it has come: its records would be there twice.
func (w *delivering) unused(ctx context.Context) error {
	place := w.place()
	if w.config.Standpipe.Folder != "" {
		if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	store, err := archive.Open(ctx, place, archive.WithS3(func(context.Context) (*s3.Client, error) { return bucketClient(w.config, w.settings), nil }))
	if err != nil {
		return err
	}
	found, err := hasManifests(ctx, store)
	if found {
		return usagef("%s holds an archive already: give another --to-prefix, or the --jobs of the replay that wrote it", place)
	}
	return err
}
