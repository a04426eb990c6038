package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/verify"
)

type verifyCommand struct {
	Config string        `short:"c" placeholder:"FILE" help:"Configuration: its destination is verified, its checkpoints and its stream asked."`
	Deep   bool          `help:"Read every object: bytes, lines and hashes, not only names and sizes."`
	Stream bool          `help:"Read the records again that the stream still has, and compare. Needs -c."`
	Rate   float64       `default:"2" help:"With --stream: reads per second and shard, of the 5 that all readers share."`
	Settle time.Duration `default:"1h" help:"How old an object of an unproved flush must be to count as foreign."`
	Temp   string        `placeholder:"DIR" help:"Where names are sorted: a few hundred bytes per object."`
	Show   int           `default:"50" help:"Findings shown; --json has all."`
	JSON   bool          `help:"Write the report as JSON: replay --from-report takes it."`
	Quiet  bool          `short:"q" help:"No progress."`
	Place  string        `arg:"" optional:"" help:"s3://bucket, s3://bucket/prefix/ or a folder, instead of -c's."`
}

func (verifyCommand) Help() string {
	return `Follows each shard's manifests and looks at the objects they name. What is wrong gets one of these
verdicts, with its shard, its range and the command that mends it:

    missing   named by a manifest, and not there     gap       records that no manifest covers
    altered   other bytes than were written          overlap   records that two manifests cover
    lines     lines are missing, or too many         proof     a manifest contradicts itself
    doubled   the lines of an object, once more      stream    the stream has other records
    foreign   in no manifest

What could not be judged is unreadable, changed (during the run) or unsettled (of a flush under way).

Without --deep an object is taken for whole when its size is as written and it is not younger than its
manifest. Others are read: what replay restored, and in a plain copy of an archive perhaps every one.
With -c the checkpoints are asked where each chain ends; those of a file only while standpipe is stopped.
A prefix restricts the objects, not the chains. Memory does not grow with the archive.

Exit codes: 0 whole, 1 damaged, 2 wrong flags, 3 not everything could be judged, 130 interrupted.

Examples:

    standpipe verify s3://my-lake
    standpipe verify --deep s3://my-lake/rawdata/2026/11/22/
    standpipe verify -c standpipe.yaml --deep --stream --json > report.json`
}

func (k *verifyCommand) Run(ctx context.Context, g *globals, out *console) (err error) {
	defer func() { err = undecided(err) }()
	var c *config.Config
	if k.Config != "" {
		if c, err = loadConfig(k.Config, out); err != nil {
			return err
		}
	}
	switch {
	case k.Place == "" && c == nil:
		return usagef("nothing to verify: give a place or -c FILE")
	case k.Stream && c == nil:
		return usagef("--stream needs -c FILE: it names the stream")
	case k.Rate <= 0 || k.Rate > 5:
		return usagef("--rate %g: give more than 0 and at most 5 reads per second", k.Rate)
	case k.Place == "":
		k.Place = placeOf(c)
	}
	root, err := openRoot(ctx, k.Place, s3Of(c, g.Region))
	if err != nil {
		return err
	}
	intent, done, err := root.intents()
	if err != nil {
		return err
	}
	name := k.Config
	if name == "" {
		name = "standpipe.yaml"
	}
	o := verify.Options{
		Store: root.Store, Prefix: root.prefix, Deep: k.Deep, Intent: intent, Settle: k.Settle, TempDir: k.Temp, Now: time.Now(),
	}
	if !k.Quiet {
		o.Progress = k.progress(out)
	}
	if c != nil {
		if o.Ends, err = k.ends(ctx, c, g, root); err != nil {
			out.note("the ends of the chains are not held against the checkpoints: %v", err)
		}
		if errors.Is(err, errElsewhere) {
			name = ""
		}
	}
	o.Repair = verify.Commands{Config: name, Archive: root.Location()}.Repair
	if k.Stream {
		stream, closing, err := k.stream(ctx, c, g)
		if err != nil {
			return err
		}
		defer closing()
		o.Stream = stream
	}
	report, err := verify.Run(ctx, o)
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	return k.show(report, out)
}

var errElsewhere = errors.New("not the configuration's archive")

// ends asks the checkpoints how far the chains go, when the archive is that of
// the configuration: another one, a replay's, has checkpoints of its own.
func (k *verifyCommand) ends(ctx context.Context, c *config.Config, g *globals, at root) ([]verify.End, error) {
	own, err := openRoot(ctx, placeOf(c), s3Of(c, g.Region))
	if err != nil || own.Location() != at.Location() {
		return nil, errors.Join(err, fmt.Errorf("%s is %w", at.Location(), errElsewhere))
	}
	settings, err := loadAWS(ctx, g.Region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return nil, err
	}
	store, err := existingStore(ctx, c, settings)
	if err != nil {
		return nil, err
	}
	roster, err := store.Roster(ctx)
	if err := errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	if len(roster.Leases) == 0 {
		return nil, errors.New("there are none")
	}
	ends := []verify.End{}
	for _, l := range roster.Leases {
		chain := manifest.Origin{Stream: c.KinesisStreamSourceConfiguration.StreamName(), Incarnation: l.Incarnation, Shard: l.Shard}
		ends = append(ends, verify.End{Folder: chain.Folder(), Shard: l.Shard, Number: l.Commits, Last: l.Checkpoint})
	}
	return ends, nil
}

// progress is one line now and then.
func (k *verifyCommand) progress(out *console) func(verify.Counts) {
	last := time.Now()
	return func(c verify.Counts) {
		if now := time.Now(); now.Sub(last) >= lineInterval {
			last = now
			out.note("%s manifests, %s objects, %s read", formatCount(c.Manifests), formatCount(c.Objects), formatBytes(c.Read))
		}
	}
}

func (k *verifyCommand) show(r verify.Report, out *console) error {
	var err error
	if k.JSON {
		err = out.writeJSON(r)
	} else {
		err = writeVerified(out.stdout, r, k.Show, out)
	}
	if err != nil {
		return err
	}
	switch r.Verdict {
	case verify.Damaged:
		return &exitError{code: exitFailed, err: fmt.Errorf("%s is damaged: %s", r.Archive, foundText(r.Found))}
	case verify.Incomplete:
		return &exitError{code: exitIncomplete, err: fmt.Errorf("not everything in %s could be judged: %s", r.Archive, foundText(r.Found))}
	}
	return nil
}

// foundText is "3 missing, 1 gap".
func foundText(found map[verify.Kind]int64) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(found)) {
		parts = append(parts, formatCount(found[k])+" "+string(k))
	}
	return strings.Join(parts, ", ")
}

// writeVerified renders a report for people.
func writeVerified(w io.Writer, r verify.Report, show int, p paint) error {
	var b strings.Builder
	verdict := string(r.Verdict)
	if r.Verdict != verify.Whole {
		verdict = p.red(verdict)
	}
	fmt.Fprintf(&b, "%s%s  %s\n", r.Archive, r.Prefix, p.bold(verdict))
	c := r.Counts
	how := "names and sizes"
	if r.Deep {
		how = "every byte"
	}
	fmt.Fprintf(&b, "%s of %s; %s of %s compared by %s, %s read\n", amount(c.Manifests, "manifest"), amount(c.Chains, "chain"),
		amount(c.Objects, "object"), formatBytes(c.Bytes), how, formatBytes(c.Read))
	fmt.Fprintf(&b, "%s proved, %s\n", amount(c.Records, "record"), amount(c.Lines, "line"))
	if c.Ends > 0 {
		fmt.Fprintf(&b, "the ends of %s held against the checkpoints\n", amount(c.Ends, "chain"))
	}
	if r.Stream {
		fmt.Fprintf(&b, "%s compared with the stream; the records of %s have left its retention\n", amount(c.Streamed, "manifest"), amount(c.Beyond, "manifest"))
	}
	if c.Late > 0 {
		fmt.Fprintf(&b, "%s written after the manifest, and read for that\n", amount(c.Late, "object"))
	}
	if c.Outside > 0 {
		fmt.Fprintf(&b, "%s beside the archive, not judged\n", amount(c.Outside, "object"))
	}
	if c.Trimmed > 0 {
		fmt.Fprintf(&b, "%s\n", p.red(fmt.Sprintf("%s in the manifests themselves: records were gone before they could be read", amount(c.Trimmed, "gap"))))
	}
	if len(r.Findings) > 0 {
		fmt.Fprintf(&b, "\n%s\n", foundText(r.Found))
	}
	for _, f := range r.Findings[:min(max(show, 0), len(r.Findings))] {
		writeFinding(&b, f, p)
	}
	if more := int64(len(r.Findings)-max(show, 0)) + r.Unlisted; more > 0 && len(r.Findings) > 0 {
		fmt.Fprintf(&b, "\n… and %s more: --show N or --json\n", formatCount(more))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFinding(b *strings.Builder, f verify.Finding, p paint) {
	fmt.Fprintf(b, "\n%s", p.red(string(f.Kind)))
	if f.Key != "" {
		fmt.Fprintf(b, "  %s", f.Key)
	}
	fmt.Fprintf(b, "\n  %s\n", f.Detail)
	if f.Shard != "" {
		fmt.Fprintf(b, "  shard %s, after %s up to %s\n", f.Shard, whole(f.After), whole(f.Last))
	}
	if f.Manifest != "" {
		fmt.Fprintf(b, "  manifest %s\n", f.Manifest)
	}
	if f.Repair != "" {
		fmt.Fprintf(b, "  repair: %s\n", f.Repair)
	}
}

// whole is a position to its last digit, to be copied.
func whole(p *standpipe.Position) string {
	if p == nil {
		return "?"
	}
	return p.String()
}

func amount(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return formatCount(n) + " " + word + "s"
}
