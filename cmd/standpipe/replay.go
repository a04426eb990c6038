package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/replay"
	"github.com/standpipe/standpipe/verify"
)

// sliceMax bounds --slice: a slice is work that is done in one go.
const sliceMax = 10_000

type replayCommand struct {
	Config     string      `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	From       string      `placeholder:"POINT" help:"Begin: a time, a duration ago, a sequence number, after:NUMBER, a manifest's key, TRIM_HORIZON, or a file of checkpoint export."`
	To         string      `placeholder:"POINT" help:"End, not included when it is a time. Default now."`
	Manifest   []string    `placeholder:"KEY" help:"Restore the objects of this manifest. May be repeated."`
	FromReport string      `placeholder:"FILE" help:"Restore what a report of verify --json names."`
	Shard      []shardName `placeholder:"ID" help:"Only this shard, by its id or its number; may be repeated."`
	ToPrefix   string      `placeholder:"PREFIX/" help:"Deliver into this prefix instead: an archive of its own."`
	Rate       float64     `default:"2" help:"Reads per second and shard, of the 5 that all readers share, by this process."`
	Parallel   int         `default:"4" help:"Slices at a time in this process."`
	Slice      int         `default:"100" placeholder:"N" help:"Manifests in a slice of a restore (default: 100)."`
	Deep       bool        `help:"Read objects that are there; else their size is believed."`
	Replace    bool        `help:"Write objects anew that are there and damaged; with --deep, for damage may leave the size as it was."`
	DryRun     bool        `help:"Say what would be looked at, and touch nothing."`
	JSON       bool        `help:"Write the result as JSON."`
	Quiet      bool        `short:"q" help:"No progress."`
	LogLevel   string      `default:"warn" help:"debug, info, warn or error."`
	jobsFolder
}

func (replayCommand) Help() string {
	return `Without --to-prefix it restores: objects that the range's manifests name and that are not there are
made again from the stream, under their own keys, with exactly their lines. What is whole is left
alone, so running it twice changes nothing.

With --to-prefix it delivers the range once more, into a prefix with manifests and a position of its
own. Done, it does nothing; a prefix is delivered into once.

Both are jobs (see standpipe jobs): slices of --slice manifests, or one for each shard, and a record
in --jobs of what is done. Killed or stopped, the same command goes on; given on several machines
with one --jobs place, they share the slices and print the same result. A range is fixed when its job
begins: "24h" and "now" keep their meaning until it has ended. A restore that has ended is followed
by a new one, which looks at everything again: objects can be lost twice.

A live reader beside it keeps its share of the stream: --rate holds for a process, however many
slices it works on, so N machines read N times as often. What retention has taken is named.

Exit codes: 0 done, 1 failed, 2 wrong flags or range, 3 something had left retention or could not be
restored, a slice failed or no manifest has records of the range, 130 interrupted.

Examples:

    standpipe replay -c standpipe.yaml --from-report report.json
    standpipe replay -c standpipe.yaml --from 2026-11-21T10:00:00Z --to 2026-11-21T11:00:00Z
    standpipe replay -c standpipe.yaml --from 24h --to-prefix again/2026-11-22/`
}

// A request is a checked command line.
type request struct {
	replay.Range
	// asked is the range in words that mean the same on every machine.
	asked string
	deep  bool
	left  []verify.Finding // what restoring cannot mend
	of    string           // the archive that a report is about
	// from and to are keys of manifests, where one was given.
	from, to string
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
	r.Delivery = c.DeliveryStreamName
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
		return k.deliver(ctx, g, c, settings, r, log, out)
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
	if k.Slice < 1 || k.Slice > sliceMax {
		return r, fmt.Errorf("--slice %d: give 1 to %d", k.Slice, sliceMax)
	}
	for _, id := range k.Shard {
		r.Shards = append(r.Shards, standpipe.ShardID(id))
	}
	slices.Sort(r.Shards)
	r.Shards = slices.Compact(r.Shards)
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
		r.Manifests = slices.Compact(slices.Sorted(slices.Values(k.Manifest)))
		r.asked = named("--manifest", r.Manifests)
		return r, nil
	case k.FromReport != "":
		b, err := os.ReadFile(k.FromReport)
		if err != nil {
			return r, err
		}
		report, manifests, left, err := replay.FromReport(b)
		r.Manifests, r.deep, r.left, r.of = manifests, report.Deep, left, report.Archive
		r.asked = named("--from-report", r.Manifests)
		return r, err
	}
	var from, to string
	if r.From, from, err = rangeEnd(k.From, now); err != nil {
		return r, fmt.Errorf("--from: %w", err)
	}
	if r.To, to, err = rangeEnd(k.To, now); err != nil {
		return r, fmt.Errorf("--to: %w", err)
	}
	r.asked = fmt.Sprintf("from %s to %s", cmp.Or(from, "TRIM_HORIZON"), cmp.Or(to, "NOW"))
	if isManifest(k.From) {
		r.from = k.From
	}
	if isManifest(k.To) {
		r.to = k.To
	}
	if r.From.Time.After(now) {
		return r, fmt.Errorf("--from %s lies ahead", k.From)
	}
	return r, replay.Ordered(r.From, r.To)
}

// named says in few words which manifests were given.
func named(flag string, keys []string) string {
	if len(keys) == 1 {
		return flag + " " + keys[0]
	}
	return fmt.Sprintf("%s of %s, %s", flag, amount(int64(len(keys)), "manifest"), fingerprint([]byte(strings.Join(keys, "\n"))))
}

// fingerprint names what is too long to be said.
func fingerprint(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:6])
}

func isManifest(s string) bool {
	_, _, _, ok := manifest.ParseKey(s)
	return ok
}

// rangeEnd reads one end of a range, and says in words that mean the same on every
// machine what was given. What a manifest's key means is for locate to find out.
func rangeEnd(s string, now time.Time) (p replay.Point, words string, err error) {
	if isManifest(s) {
		return p, s, nil
	}
	if p, err = point(s, now); err != nil || p.Shards == nil {
		return p, s, err
	}
	b, err := json.Marshal(p)
	return p, "the checkpoints " + fingerprint(b), err
}

// point reads a place in the stream, or the file that has it.
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

// locate looks up the manifests that a range begins or ends with: it begins
// with the first one's first record and ends with the other's last.
func (r *request) locate(ctx context.Context, s archive.Store) error {
	for _, one := range []struct {
		flag, key string
		at        *replay.Point
		point     func(manifest.Manifest) replay.Point
	}{
		{"--from", r.from, &r.From, replay.Before},
		{"--to", r.to, &r.To, replay.UpTo},
	} {
		if one.key == "" {
			continue
		}
		m, err := verify.ReadManifest(ctx, s, one.key)
		if err != nil {
			return fmt.Errorf("%s: read %s: %w", one.flag, one.key, err)
		}
		if len(r.Shards) == 0 {
			r.Shards = []standpipe.ShardID{m.Shard}
		}
		if !slices.Equal(r.Shards, []standpipe.ShardID{m.Shard}) {
			return usagef("%s: the manifest is of %s: a range that it bounds is one of that shard", one.flag, m.Shard)
		}
		*one.at = one.point(m)
	}
	if err := replay.Ordered(r.From, r.To); err != nil {
		return usage(err)
	}
	return nil
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
