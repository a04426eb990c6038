package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/produce"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/redrive"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/folder"
	"github.com/standpipe/standpipe/sink/s3"
)

type redriveCommand struct {
	ToStream string `xor:"to" required:"" placeholder:"NAME" help:"Put the records into this Kinesis stream, by name or ARN."`
	ToPrefix string `xor:"to" required:"" placeholder:"PLACE" help:"Write them as lines below s3://bucket/prefix or into a folder."`
	Code     string `placeholder:"CODE" help:"Only records that failed with this error code."`
	DryRun   bool   `help:"Read and count; write nothing."`
	JSON     bool   `help:"Write the report as JSON."`
	Quiet    bool   `short:"q" help:"No progress."`
	jobsFolder
	Source string `arg:"" help:"s3://bucket/prefix or a folder with error-output objects."`
}

func (redriveCommand) Help() string {
	return `Puts the records of error-output objects, standpipe's or Firehose's, back, each once. What is done is
kept in the --jobs folder: the same command again, after an interruption or next week, goes on and takes
only objects that are new. Without that folder it would begin anew, so keep it.

A stream gets each record with a partition key of its own (redrive-…): after an unknown outcome they
are looked for in the stream and only what is missing is sent. A prefix gets one plain object for each
source object, under the same key; an object of somebody else under that key is never replaced.

Exit code 3: some lines could not be read, or the stream will never take them; they are named.

Examples:

    standpipe redrive s3://my-lake/errors/processing-failed --to-stream class-stream --dry-run
    standpipe redrive s3://my-lake/errors/processing-failed --to-stream class-stream --code Lambda.FunctionError
    standpipe redrive ./errors --to-prefix s3://my-lake/redriven --json`
}

func (c *redriveCommand) Run(ctx context.Context, g *globals, out *console) (err error) {
	settings, err := c.settings(ctx, g)
	if err != nil {
		return err
	}
	source, err := absolute(c.Source)
	if err != nil {
		return usage(err)
	}
	from, err := openArchive(ctx, g, source)
	if err != nil {
		return err
	}
	spec := redrive.Spec{Source: from.Location(), Code: c.Code}
	do, to, done, err := c.destination(ctx, from, settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	spec.To = to
	if c.DryRun {
		return c.look(ctx, out, spec, from)
	}
	store, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	run := jobRun{out: out, store: store, handlers: map[string]jobs.Handler{redrive.Kind: do}, parallel: 1, quiet: c.Quiet}
	r, err := c.runFamily(ctx, run, spec, from)
	if err != nil {
		return err
	}
	return c.report(out, r)
}

// settings are loaded only if something of AWS is named.
func (c *redriveCommand) settings(ctx context.Context, g *globals) (aws.Config, error) {
	if c.ToStream == "" && !strings.HasPrefix(c.Source, "s3://") && !strings.HasPrefix(c.ToPrefix, "s3://") {
		return aws.Config{}, nil
	}
	settings, err := awsclient.Load(ctx, g.Region)
	if err != nil {
		return settings, usage(err)
	}
	return settings, nil
}

// absolute is a folder by its absolute path, which is its name in the record;
// a bucket's place is absolute already.
func absolute(place string) (string, error) {
	if strings.HasPrefix(place, "s3://") {
		return place, nil
	}
	return filepath.Abs(strings.TrimPrefix(place, "file://"))
}

// destination is the handler of a slice, the destination's name in the record
// and what closes it.
func (c *redriveCommand) destination(ctx context.Context, from archive.Store, settings aws.Config) (do jobs.Handler, name string, done func() error, err error) {
	if c.ToStream != "" {
		return c.stream(ctx, from, settings)
	}
	p := &redrive.Prefix{From: from}
	done = func() error { return nil }
	if rest, remote := strings.CutPrefix(c.ToPrefix, "s3://"); remote {
		bucket, prefix, _ := strings.Cut(rest, "/")
		if prefix != "" {
			p.Prefix = strings.TrimSuffix(prefix, "/") + "/"
		}
		name = "s3://" + bucket + "/" + p.Prefix
		if bucket == "" {
			return nil, "", nil, usagef("--to-prefix %s names no bucket", c.ToPrefix)
		}
		p.To = s3.New(s3.NewClient(settings), bucket, s3.Options{})
	} else {
		if name, err = filepath.Abs(strings.TrimPrefix(c.ToPrefix, "file://")); err != nil {
			return nil, "", nil, usage(err)
		}
	}
	source := strings.TrimSuffix(strings.TrimSuffix(from.Location(), "*"), "/") + "/"
	if to := strings.TrimSuffix(name, "/") + "/"; strings.HasPrefix(to, source) || strings.HasPrefix(source, to) {
		return nil, "", nil, usagef("--to-prefix %s and %s lie in one another: what is written would be read", c.ToPrefix, c.Source)
	}
	if p.To == nil && !c.DryRun {
		var f *folder.Sink
		if f, err = folder.Open(name); err != nil {
			return nil, "", nil, err
		}
		p.To, done = sink.Sink(f), f.Close
	}
	return p.Do, name, done, nil
}

func (c *redriveCommand) stream(ctx context.Context, from archive.Store, settings aws.Config) (do jobs.Handler, name string, done func() error, err error) {
	target, err := produce.OpenStream(ctx, awsclient.Kinesis(settings), c.ToStream)
	if err != nil {
		return nil, "", nil, err
	}
	client := consumer.NewClient(settings, c.ToStream)
	described, err := client.Describe(ctx)
	if err != nil {
		client.Close()
		return nil, "", nil, err
	}
	find := &redrive.Finder{Client: client}
	s := &redrive.Stream{From: from, To: redriveTarget{target}, Find: find.Find}
	// A stream made anew under the same name is another destination.
	name = described.ARN + " of " + described.Created.UTC().Format(time.RFC3339)
	return s.Do, name, func() error { client.Close(); return nil }, nil
}

// redriveTarget is a produce.Stream in redrive's words.
type redriveTarget struct{ *produce.Stream }

func (t redriveTarget) Send(ctx context.Context, batch []redrive.Record) ([]error, error) {
	records := make([]produce.Record, len(batch))
	for i, r := range batch {
		records[i] = produce.Record{Data: r.Data, Key: r.Key}
	}
	results, err := t.Stream.Send(ctx, records)
	for i := range results {
		results[i] = refusal(results[i])
	}
	return results, refusal(err)
}

func refusal(err error) error {
	if r, ok := errors.AsType[*produce.Refusal](err); ok {
		return &redrive.Refusal{Reason: r.Reason}
	}
	return err
}

// look is --dry-run. A job store is read if there is one, and never made.
func (c *redriveCommand) look(ctx context.Context, out *console, spec redrive.Spec, from archive.Store) error {
	there, err := c.there()
	if err != nil {
		return err
	}
	var store jobs.Store
	if there {
		opened, err := c.open()
		if err != nil {
			return err
		}
		defer opened.Close()
		store = opened
	}
	r, err := spec.Look(ctx, from, store)
	if err != nil {
		return err
	}
	return c.report(out, redriveReport{Report: r, DryRun: true})
}

// A redriveReport is what one call did.
type redriveReport struct {
	redrive.Report
	DryRun bool `json:"dryRun,omitempty"`
	// Jobs are those that were worked on.
	Jobs []string `json:"jobs"`
	// Failed are slices that need a person, also those of earlier calls.
	Failed []redriveFailure `json:"failed"`

	empty   bool // neither now nor before was there an object
	givenUp bool // somebody cancelled what had failed
}

type redriveFailure struct {
	Job   string `json:"job"`
	Slice int    `json:"slice"`
	Error string `json:"error"`
}

// runFamily goes on with the family's unfinished jobs, then plans what is new. What
// failed in one that has ended is in no plan, and still to be said.
func (c *redriveCommand) runFamily(ctx context.Context, run jobRun, spec redrive.Spec, from archive.Store) (total redriveReport, err error) {
	family, err := spec.Earlier(ctx, run.store)
	if err != nil {
		return total, err
	}
	for _, j := range family {
		parts, err := run.store.Slices(ctx, j.ID)
		if err != nil {
			return total, fmt.Errorf("read job %s: %w", j.ID, err)
		}
		if jobs.Summarize(parts).Ended() {
			if err := total.owed(j, parts); err != nil {
				return total, err
			}
			continue
		}
		if err := total.do(ctx, run, j, nil); err != nil {
			return total, err
		}
	}
	j, plan, err := spec.Plan(ctx, from, run.store, time.Now())
	if err != nil || len(plan) == 0 {
		total.empty = len(family) == 0
		return total, err
	}
	return total, total.do(ctx, run, j, plan)
}

// owed takes over what failed in an earlier call and was not resumed; cancelling
// its job gives it up.
func (r *redriveReport) owed(j jobs.Job, parts []jobs.Slice) error {
	for _, s := range parts {
		owes, err := redrive.Owes(s)
		if err != nil {
			return fmt.Errorf("read slice %d of job %s: %w", s.Number, s.Job, err)
		}
		switch {
		case !owes:
		case j.Cancelled:
			r.givenUp = true
		default:
			r.Failed = append(r.Failed, redriveFailure{s.Job, s.Number, s.Error})
		}
	}
	return nil
}

func (r *redriveReport) do(ctx context.Context, run jobRun, j jobs.Job, plan []jobs.Slice) error {
	all, err := run.run(ctx, j, plan)
	if err != nil {
		return err
	}
	r.Jobs = append(r.Jobs, j.ID)
	for _, s := range all {
		part, err := redrive.ReportOf(s)
		if err != nil {
			return fmt.Errorf("read slice %d of job %s: %w", s.Number, j.ID, err)
		}
		r.Add(part)
		if s.State == jobs.Failed {
			r.Failed = append(r.Failed, redriveFailure{j.ID, s.Number, s.Error})
		}
	}
	return nil
}

// report writes what was done and judges it.
func (c *redriveCommand) report(out *console, r redriveReport) error {
	if r.Rejections == nil {
		r.Rejections = []redrive.Rejection{}
	}
	for _, one := range r.Rejections[:min(len(r.Rejections), rejectionsShown)] {
		out.note("rejected %v", one)
	}
	if more := r.Rejected - rejectionsShown; more > 0 {
		out.note("… and %s more rejected", formatCount(more))
	}
	for _, f := range r.Failed {
		out.note("slice %d of job %s failed: %s", f.Slice, f.Job, f.Error)
	}
	var err error
	if c.JSON {
		err = out.writeJSON(r)
	} else {
		_, err = fmt.Fprintln(out.stdout, redriveText(r))
	}
	switch {
	case err != nil:
		return err
	case len(r.Failed) > 0:
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "redrive " + c.Source, Err: fmt.Errorf("%s failed", plural(len(r.Failed), "slice")),
			Hint: "mend it, then standpipe jobs resume " + r.Failed[0].Job + " and the same command again, or jobs cancel to give it up; an object that changed is taken as a new one by the same command",
		}
	case r.Rejected > 0:
		return &exitError{code: exitRejected, err: fmt.Errorf("%s lines rejected", formatCount(r.Rejected))}
	}
	return nil
}

// redriveText is a report for people.
func redriveText(r redriveReport) string {
	var b strings.Builder
	switch {
	case r.DryRun:
		fmt.Fprintf(&b, "would redrive %s records, %s, of %s objects", formatCount(r.Records-r.LeftOut), formatBytes(r.Bytes), formatCount(r.Objects))
	case len(r.Jobs) == 0 && (len(r.Failed) > 0 || r.givenUp):
		return "nothing new to redrive"
	case len(r.Jobs) == 0 && r.empty:
		return "nothing to redrive: there are no objects"
	case len(r.Jobs) == 0:
		return "nothing to redrive: every object was redriven before"
	default:
		fmt.Fprintf(&b, "redrove %s of %s records, %s, of %s objects", formatCount(r.Redriven), formatCount(r.Records), formatBytes(r.Bytes), formatCount(r.Objects))
	}
	for _, part := range []struct {
		n    int64
		what string
	}{{r.LeftOut, "with other codes"}, {r.Unchanged, "output objects were there already"}, {r.Rejected, "rejected"}} {
		if part.n > 0 {
			fmt.Fprintf(&b, ", %s %s", formatCount(part.n), part.what)
		}
	}
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		fmt.Fprintf(&b, "\n%10s  %s", formatCount(r.Codes[code]), code)
	}
	return b.String()
}
