package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare"
	"github.com/standpipe/standpipe/compare/page"
	"github.com/standpipe/standpipe/internal/awsclient"
)

type compareCommand struct {
	Archives compareArchives `cmd:"" default:"withargs" help:"Judge two archives of the same stream (the default)."`
	Sketch   compareSketch   `cmd:"" help:"Write the sketch of one archive, to compare across accounts."`
	Diff     compareDiff     `cmd:"" help:"Judge two sketches."`
	Find     compareFind     `cmd:"" help:"Find lines by the hashes a diff gave."`
}

func (compareCommand) Help() string {
	return `Two archives of the same stream, of standpipe or of Amazon Data Firehose, in any format and cut into
whatever objects: the lines of A and of B as multisets. By convention A is the archive that is to
take over and B the one there was; extra copies in B are duplicates of its at-least-once delivery
and no fault (--at-least-once says otherwise). Both are read once, and again only if they differ. The flags are
those of compare archives, which may be left out: standpipe compare archives --help lists them.

Exit codes: 0 equal, 1 different, 2 wrong flags, 3 incomplete: something could not be read, changed
or is too young to judge; 130 interrupted, go on with --resume.

Examples:

    standpipe compare s3://lake/rawdata/ s3://firehose-bucket/rawdata/ --from 2026-11-21T00:00:00Z --to 2026-11-22T00:00:00Z
    standpipe compare ./lake/rawdata ./firehose --html report.html
    standpipe compare s3://lake/raw/ s3://old/raw/ --truth kinesis://class-stream --manifests s3://lake/
    standpipe compare sketch s3://lake/raw/ -o a.sketch --records json
    standpipe compare diff a.sketch b.sketch --json > diff.json
    standpipe compare find s3://lake/raw/ diff.json`
}

// compareReading are the flags that decide what is read of an archive.
type compareReading struct {
	From      tailTime      `placeholder:"TIME" help:"Begin of the core window, as 2026-11-22T00:00:00Z; by the times in the names of objects."`
	To        tailTime      `placeholder:"TIME" help:"End of the core window, exclusive."`
	Halo      time.Duration `default:"1h" help:"How far around the window both sides are read as well: Firehose files a record under the hour of the oldest one in its object."`
	Settle    time.Duration `default:"30m" help:"How old the window's end has to be for it to be complete."`
	Zone      string        `default:"UTC" placeholder:"NAME" help:"CustomTimeZone of the keys, as Asia/Seoul."`
	Records   string        `default:"auto" enum:"auto,lines,json" help:"What one record is: lines; json also cuts between JSON values without a newline; auto looks."`
	Canonical string        `enum:",json" default:"" placeholder:"json" help:"json compares values, not their spelling: order of keys, escapes, white space, 1.0 and 1."`
	Sample    compareSample `default:"1/1" placeholder:"1/N" help:"Compare one line in N, the same ones on both sides."`
	Capacity  int           `default:"20000" placeholder:"N" help:"How many differences the sketch holds, 60 to 120 bytes each; more are counted on disk."`
	Workers   int           `placeholder:"N" help:"Objects read at a time (default: two per core from S3, one from folders)."`
	Quiet     bool          `short:"q" help:"No progress."`
}

// A compareSample is --sample.
type compareSample uint64

// UnmarshalText reads 1/N.
func (s *compareSample) UnmarshalText(text []byte) error {
	rest, ok := strings.CutPrefix(string(text), "1/")
	n, err := strconv.ParseUint(rest, 10, 32)
	if !ok || err != nil || n == 0 {
		return fmt.Errorf("%q: give 1/N, as 1/100", text)
	}
	*s = compareSample(n)
	return nil
}

// A compareCut is --slice.
type compareCut compare.Cut

// UnmarshalText reads auto, a number of objects, or a time as 1d, 1h or 15m.
func (c *compareCut) UnmarshalText(text []byte) error {
	word := string(text)
	if word == "auto" {
		*c = compareCut{}
		return nil
	}
	if n, err := strconv.Atoi(word); err == nil && n > 0 {
		*c = compareCut{Objects: n}
		return nil
	}
	if days, ok := strings.CutSuffix(word, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && 0 < n && n <= 366 {
			*c = compareCut{Every: time.Duration(n) * 24 * time.Hour}
			return nil
		}
	}
	if d, err := time.ParseDuration(word); err == nil && d >= time.Minute {
		*c = compareCut{Every: d}
		return nil
	}
	return fmt.Errorf("%q: give 1d, 1h, 15m, a number of objects, or auto", text)
}

// config is the part of the configuration that all reading commands share.
func (c *compareReading) config(now time.Time) (compare.Config, error) {
	cfg := compare.Config{
		From: c.From.Time, To: c.To.Time, Halo: c.Halo, Settle: c.Settle, Now: now,
		Records: compare.Records(c.Records), Canonical: c.Canonical == "json", Sample: uint64(c.Sample),
		Capacity: c.Capacity, Workers: c.Workers, Shown: compare.DefaultShown,
	}
	if c.Capacity < 1 || c.Capacity > 1<<26 {
		return cfg, usagef("--capacity %d: give 1 to %d", c.Capacity, 1<<26)
	}
	if c.Workers < 0 {
		return cfg, usagef("--workers %d: give a positive number", c.Workers)
	}
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return cfg, usagef("--zone %s: not a time zone like Asia/Seoul", c.Zone)
	}
	cfg.Zones = [2]*time.Location{zone, zone}
	return cfg, nil
}

// openArchives opens places and, if nobody said how many, chooses the number
// of workers: a folder is as fast as the cores, S3 answers late.
func openArchives(ctx context.Context, g *globals, cfg *compare.Config, places ...string) error {
	perCore := 1
	for i, place := range places {
		store, err := openArchive(ctx, g, place)
		if err != nil {
			return err
		}
		cfg.Stores[i] = store
		if strings.HasPrefix(place, "s3://") {
			perCore = 2
		}
	}
	if cfg.Workers == 0 {
		cfg.Workers = perCore * runtime.GOMAXPROCS(0)
	}
	return nil
}

func openArchive(ctx context.Context, g *globals, place string) (archive.Store, error) {
	store, err := archive.Open(ctx, place, archive.WithS3(func(ctx context.Context) (*s3.Client, error) {
		settings, err := awsclient.Load(ctx, g.Region)
		if err != nil {
			return nil, err
		}
		return awsclient.S3(settings), nil
	}))
	if err != nil {
		return nil, usage(err)
	}
	return store, nil
}

type compareArchives struct {
	compareReading

	ZoneB       string `placeholder:"NAME" help:"CustomTimeZone of B's keys, if it is another."`
	AtLeastOnce string `default:"b" enum:"a,b,both,none" help:"Which side may deliver a line twice: a, b, both or none."`
	Show        int    `default:"1000" placeholder:"N" help:"How many differing lines are located and listed; all are counted."`

	Truth     string `placeholder:"kinesis://NAME" help:"Ask the stream itself which side is right, as far as it is retained."`
	Manifests string `placeholder:"PLACE" help:"The root with standpipe's manifests (_standpipe/) of one side: proves it object by object."`

	JSON     bool   `help:"Print the report as JSON."`
	HTML     string `placeholder:"FILE" help:"Also write the report as one HTML file."`
	Combined string `placeholder:"FILE" help:"Also write one line per difference: + only in A, - only in B, * altered, = duplicate, ! unreadable."`

	SpillDir string `placeholder:"DIR" help:"Where differences are counted that the sketch cannot hold (default: the system's temporary folder)."`
	MaxSpill int64  `default:"20480" placeholder:"MIB" help:"How much room that may take, in MiB."`

	Slice  compareCut `default:"auto" placeholder:"CUT" help:"Into what the work is cut: as 1d, 1h or 15m by the times in names, as 100 by objects; auto takes days or hours, small ones together."`
	Resume bool       `help:"Go on with the comparison of the same flags that was interrupted, or join the one that another machine works on."`
	jobsFolder

	A string `arg:"" help:"The archive that is to take over: s3://bucket/prefix/ or a folder."`
	B string `arg:"" help:"The archive it is held against."`
}

func (compareArchives) Help() string {
	return `What it reads: everything below A and B, or with --from and --to the objects whose names say so.
Keys are Firehose's and standpipe's, their times in --zone; other names are filed by their folders
or, failing that, by when they were last changed.

The work is a job of slices. What is done is kept in the --jobs place until the report is printed, so
after an interruption the same command with --resume goes on; without it a comparison begins anew.
With one place for several machines the same command with --resume on each of them makes them share
the slices, and each prints the report. When more lines differ than --capacity, each of them also counts
on its own disk.

Examples:

    standpipe compare s3://lake/rawdata/ s3://firehose-bucket/rawdata/ --from 2026-11-21T00:00:00Z --to 2026-11-22T00:00:00Z
    standpipe compare ./lake ./firehose --sample 1/100 --json
    standpipe compare s3://lake/raw/ s3://old/raw/ --resume`
}

func (c *compareArchives) Run(ctx context.Context, g *globals, out *console) (err error) {
	defer func() { err = undecided(err) }()
	cfg, err := c.settings(ctx, g, time.Now())
	if err != nil {
		return err
	}
	store, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	bar := newCompareProgress(out, c.Quiet)
	cfg.Progress = bar.show
	work := newCompareWork(out, store, cfg)
	report, err := work.run(ctx, c.Resume)
	bar.end()
	if err != nil {
		return c.failed(ctx, out, work, err)
	}
	if err := c.write(out, report); err != nil {
		return err
	}
	return errors.Join(work.end(ctx, report), verdict(report))
}

func (c *compareArchives) settings(ctx context.Context, g *globals, now time.Time) (compare.Config, error) {
	cfg, err := c.compareReading.config(now)
	if err != nil {
		return cfg, err
	}
	if c.ZoneB != "" {
		if cfg.Zones[compare.B], err = time.LoadLocation(c.ZoneB); err != nil {
			return cfg, usagef("--zone-b %s: not a time zone like Asia/Seoul", c.ZoneB)
		}
	}
	cfg.Legal = [2]bool{c.AtLeastOnce == "a" || c.AtLeastOnce == "both", c.AtLeastOnce == "b" || c.AtLeastOnce == "both"}
	cfg.Shown, cfg.SpillDir, cfg.SpillMax, cfg.Slice = max(c.Show, 0), c.SpillDir, c.MaxSpill<<20, compare.Cut(c.Slice)
	if c.Capacity > compare.MaxCapacity {
		return cfg, usagef("--capacity %d: give up to %d; what the sketch cannot hold is counted on disk", c.Capacity, compare.MaxCapacity)
	}
	for i, place := range []string{c.A, c.B} {
		if cfg.Places[i], err = absolute(place); err != nil {
			return cfg, usage(err)
		}
	}
	if a, b := strings.TrimSuffix(cfg.Places[compare.A], "/"), strings.TrimSuffix(cfg.Places[compare.B], "/"); a == b {
		return cfg, usagef("A and B are both %s: an archive is equal to itself", a)
	}
	if err := openArchives(ctx, g, &cfg, c.A, c.B); err != nil {
		return cfg, err
	}
	if c.Manifests != "" {
		if cfg.Manifests, err = openArchive(ctx, g, c.Manifests); err != nil {
			return cfg, err
		}
	}
	if c.Truth != "" {
		if cfg.Truth, err = c.truth(ctx, g, cfg); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

func (c *compareArchives) truth(ctx context.Context, g *globals, cfg compare.Config) (compare.Truth, error) {
	u, err := url.Parse(c.Truth)
	name, ok := strings.CutPrefix(c.Truth, "kinesis://")
	if err != nil || !ok || u.Host == "" {
		return nil, usagef("--truth %s: give kinesis://NAME; a side's own manifests are --manifests", c.Truth)
	}
	settings, err := awsclient.Load(ctx, g.Region)
	if err != nil {
		return nil, usage(err)
	}
	t := &streamTruth{name: name, settings: settings, now: cfg.Now}
	if !cfg.From.IsZero() {
		t.from = cfg.From.Add(-cfg.Halo)
	}
	if !cfg.To.IsZero() && cfg.To.Add(cfg.Halo).Before(cfg.Now) {
		t.to = cfg.To.Add(cfg.Halo)
	}
	return t, nil
}

// failed turns a run without a report into what a person can do next.
func (c *compareArchives) failed(ctx context.Context, out *console, work *compareWork, err error) error {
	switch {
	case errors.Is(err, compare.ErrSettings):
		return usage(err)
	case ctx.Err() != nil:
		if id := work.kept(); id != "" {
			out.note("standpipe: job %s keeps what is done: go on by the same command with --resume", id)
		}
		return errInterrupted
	}
	return err
}

func (c *compareArchives) write(out *console, r *compare.Report) error {
	if c.HTML != "" {
		if err := writeFile(c.HTML, func(w io.Writer) error { return page.HTML(w, r) }); err != nil {
			return err
		}
	}
	if c.Combined != "" {
		if err := writeFile(c.Combined, func(w io.Writer) error { return page.Combined(w, r) }); err != nil {
			return err
		}
	}
	if c.JSON {
		return out.writeJSON(r)
	}
	return page.Text(out.stdout, r)
}

// verdict is the report as an exit code.
func verdict(r *compare.Report) error {
	switch r.Verdict {
	case compare.Equal:
		return nil
	case compare.Different:
		return &exitError{code: exitDifferent, err: errors.New("the archives differ")}
	}
	return &exitError{code: exitIncomplete, err: errors.New("the comparison is incomplete")}
}
