package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/replay"
)

// A restoring is everything that a replay into the original prefix needs.
type restoring struct {
	cmd     *replayCommand
	out     *console
	archive archive.Store
	reader  replaying
	request request
	spec    replay.Spec
}

func (k *replayCommand) restore(ctx context.Context, g *globals, c *config.Config, settings aws.Config, r request, log *zap.Logger, out *console) (err error) {
	root, err := openRoot(ctx, placeOf(c), s3Of(c, g.Region))
	if err != nil {
		return err
	}
	if r.of != "" && r.of != root.Location() {
		return usagef("%s is about %s, and %s delivers to %s: only that can be mended with it", k.FromReport, r.of, k.Config, root.Location())
	}
	if err := r.locate(ctx, root.Store); err != nil {
		return err
	}
	target, closeSink, err := openSink(c, settings)
	if err != nil {
		return err
	}
	defer func() { _ = closeSink() }()
	reader, err := openReplaying(ctx, c, settings, k.Rate, target, log)
	if err != nil {
		return err
	}
	defer reader.close()
	w := restoring{cmd: k, out: out, archive: root.Store, reader: reader, request: r, spec: k.spec(root.Location(), reader, r)}
	if k.DryRun {
		return w.look(ctx)
	}
	store, err := k.jobsFolder.of(c).open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	restorer := &replay.Restorer{Archive: root.Store, Replay: reader.Replay, Delivery: c.DeliveryStreamName, Shards: reader.shards}
	run := jobRun{out: out, store: store, handlers: map[string]jobs.Handler{replay.RestoreKind: restorer.Do}, parallel: k.Parallel, quiet: k.Quiet}
	return w.run(ctx, run)
}

// spec is the question of a job.
func (k *replayCommand) spec(place string, reader replaying, r request) replay.Spec {
	return replay.Spec{
		Stream:  reader.stream.ARN + " of " + reader.stream.Created.UTC().Format(time.RFC3339),
		Archive: place, Prefix: k.ToPrefix, Asked: r.asked, From: r.From, To: r.To, Shards: r.Shards,
		Deep: k.Deep || k.Replace || r.deep, Replace: k.Replace,
	}
}

// plan cuts the range into slices.
func (w *restoring) plan(ctx context.Context) (plan []replay.Slice, manifests int64, err error) {
	if err := retained(w.request, w.reader.stream, time.Now(), w.out); err != nil {
		return nil, 0, err
	}
	others, err := replay.Plan(ctx, w.archive, w.request.Range, w.cmd.Slice, func(s replay.Slice) error {
		if len(plan) == replay.SlicesMax {
			return usagef("the range has more than %d slices of %s: give a larger --slice", replay.SlicesMax, amount(int64(w.cmd.Slice), "manifest"))
		}
		plan = append(plan, s)
		manifests += s.Len()
		return nil
	})
	switch {
	case err != nil && w.request.Manifests != nil: // a key that is none
		return nil, 0, usage(err)
	case err != nil:
		return nil, 0, err
	case len(others) > 0:
	case len(plan) == 0 && w.request.Manifests == nil:
		return nil, 0, &exitError{code: exitIncomplete, err: fmt.Errorf(
			"nothing was looked at: no manifest in %s has records of the range (standpipe verify says whether one is gone)", w.archive.Location())}
	default:
		return plan, manifests, nil
	}
	also := fmt.Sprintf("the range has manifests of the delivery stream %s, whose objects its own configuration makes; %s is of %s",
		strings.Join(others, ", "), w.cmd.Config, w.request.Delivery)
	if len(plan) == 0 {
		return nil, 0, &exitError{code: exitIncomplete, err: errors.New("nothing was looked at: " + also)}
	}
	w.out.note("standpipe: %s", also)
	return plan, manifests, nil
}

// look is --dry-run.
func (w *restoring) look(ctx context.Context) error {
	plan, manifests, err := w.plan(ctx)
	if err != nil {
		return err
	}
	r := restoreReport{Result: replay.Result{Manifests: manifests}, DryRun: true, Slices: len(plan)}
	return w.report(r)
}

// run goes on with the job that was asked for in the same words, or plans one.
func (w *restoring) run(ctx context.Context, run jobRun) error {
	j, found, next, err := w.spec.Ongoing(ctx, run.store)
	if err != nil {
		return err
	}
	var slices []jobs.Slice
	if found {
		w.out.note("standpipe: going on with job %s of %s: %s as of then", j.ID, j.Created.UTC().Format(time.RFC3339), w.spec.Asked)
	} else {
		plan, _, err := w.plan(ctx)
		if err != nil {
			return err
		}
		if len(plan) == 0 {
			return w.report(restoreReport{})
		}
		if j, slices, err = w.spec.Restoration(next, plan, time.Now()); err != nil {
			return err
		}
	}
	all, err := run.run(ctx, j, slices)
	if err != nil {
		return err
	}
	r := restoreReport{Job: j.ID, Slices: len(all)}
	for _, s := range all {
		var one replay.Result
		if err := resultOf(s, &one); err != nil {
			return err
		}
		r.Add(one)
	}
	r.Failed = failedOf(all)
	return w.report(r)
}

// A restoreReport is what one job did.
type restoreReport struct {
	replay.Result
	DryRun bool           `json:"dryRun,omitempty"`
	Job    string         `json:"job,omitempty"`
	Slices int            `json:"slices"`
	Failed []sliceFailure `json:"failed,omitempty"`
}

// report shows the result and judges it.
func (w *restoring) report(r restoreReport) (err error) {
	incomplete := r.Incomplete() + int64(len(w.request.left))
	r.Left = append(w.request.left, r.Left...)
	if w.cmd.JSON {
		err = w.out.writeJSON(r)
	} else {
		_, err = fmt.Fprintln(w.out.stdout, r)
		for _, f := range r.Left {
			var b strings.Builder
			writeFinding(&b, f, w.out)
			w.out.note("%s", strings.TrimRight(b.String(), "\n"))
		}
		if more := incomplete - int64(len(r.Left)); more > 0 {
			w.out.note("… and %s more", formatCount(more))
		}
	}
	switch {
	case err != nil:
		return err
	case len(r.Failed) > 0:
		return slicesFailed(w.out, r.Job, r.Failed, "mend it and run the same command again: a new job looks at everything")
	case incomplete > 0:
		return &exitError{code: exitIncomplete, err: fmt.Errorf("not restored: %s", amount(incomplete, "finding"))}
	}
	return nil
}

// String is a report for people.
func (r restoreReport) String() string {
	verb := "looked at"
	if r.DryRun {
		verb = fmt.Sprintf("in %s would be looked at", amount(int64(r.Slices), "slice"))
	}
	text := fmt.Sprintf("%s %s: %s whole, %s restored with %s, %s damaged, %s beyond retention",
		amount(r.Manifests, "manifest"), verb, amount(r.Whole, "object"), formatCount(r.Restored), amount(r.Lines, "line"),
		formatCount(r.Damaged), formatCount(r.Beyond))
	if r.Unlike > 0 {
		text += ", " + formatCount(r.Unlike) + " with other lines now"
	}
	if r.Foreign > 0 {
		text += ", " + formatCount(r.Foreign) + " of another delivery stream"
	}
	return text
}
