package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/embedded"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/replay"
)

type checkpointCommand struct {
	Show   checkpointShow   `cmd:"" help:"Show how far each shard is delivered."`
	Set    checkpointSet    `cmd:"" help:"Move checkpoints; nothing may be running."`
	Export checkpointExport `cmd:"" help:"Write all checkpoints to standard output, for replay --from and checkpoint set."`
}

func (checkpointCommand) Help() string {
	return `A checkpoint says up to which record a shard is delivered. These commands open the checkpoint
store themselves, so the standpipe that uses it has to be stopped; standpipe status asks a running one.

Exit codes: 0 ok, 1 failed, 2 wrong flags, or in use.

Examples:

    standpipe checkpoint show -c standpipe.yaml
    standpipe checkpoint export -c standpipe.yaml > before-the-upgrade.json
    standpipe checkpoint set -c standpipe.yaml --at before-the-upgrade.json --reason "roll back" --yes`
}

const exportSchema = 1

// exported is what checkpoint export writes.
type exported struct {
	Schema int             `json:"schema"`
	Time   time.Time       `json:"time"`
	Stream string          `json:"stream"`
	Shards []exportedShard `json:"shards"`
}

type exportedShard struct {
	Shard      standpipe.ShardID  `json:"shard"`
	Checkpoint standpipe.Position `json:"checkpoint"`
	StartTime  time.Time          `json:"startTime,omitzero"`
	// Seen is the arrival of the last delivered record.
	Seen        time.Time `json:"seen,omitzero"`
	Incarnation string    `json:"incarnation"`
	Commits     int64     `json:"commits"`
	Pending     bool      `json:"pending,omitempty"`
}

func export(stream string, leases []checkpoint.Lease, now time.Time) exported {
	e := exported{Schema: exportSchema, Time: now.UTC(), Stream: stream, Shards: []exportedShard{}}
	for _, l := range leases {
		e.Shards = append(e.Shards, exportedShard{
			Shard: l.Shard, Checkpoint: l.Checkpoint, StartTime: l.StartTime, Seen: l.Delivered(),
			Incarnation: l.Incarnation, Commits: l.Commits, Pending: l.Pending != nil,
		})
	}
	return e
}

func (e exported) positions() map[standpipe.ShardID]standpipe.Position {
	all := map[standpipe.ShardID]standpipe.Position{}
	for _, s := range e.Shards {
		all[s.Shard] = s.Checkpoint
	}
	return all
}

// existingStore opens a configuration's store, but makes none: a file that is not
// there holds no checkpoints. One process at a time holds the file.
func existingStore(ctx context.Context, c *config.Config, settings aws.Config) (checkpoint.Store, error) {
	switch c.Standpipe.Checkpoint.Type {
	case config.CheckpointMemory:
		return nil, usagef("Standpipe.Checkpoint.Type %s keeps nothing between runs", c.Standpipe.Checkpoint.Type)
	case config.CheckpointEmbedded:
		file := filepath.Join(c.Standpipe.Checkpoint.Path, embedded.FileName)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("there are no checkpoints: %s does not exist (Standpipe.Checkpoint.Path is relative to where standpipe runs)", file)
		}
	}
	s, err := openStore(ctx, c, settings)
	if err != nil {
		return nil, usage(err)
	}
	return s, nil
}

// still returns the leases of a store that nobody works with. A file is ours
// alone while it is open. A table may have workers: their rows are looked at
// twice, a lease apart, and a row that moved is a worker that lives.
func still(ctx context.Context, store checkpoint.Store, c *config.Config, note func(string, ...any)) ([]checkpoint.Lease, error) {
	before, err := store.Roster(ctx)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	if c.Standpipe.Checkpoint.Type != config.CheckpointDynamoDB || len(before.Workers) == 0 {
		return before.Leases, nil
	}
	watch := c.Standpipe.Lease.Duration.Std()
	note("watching table %s for %s: nobody may be at work on it", c.Standpipe.Checkpoint.Table, watch)
	if err := backoff.Sleep(ctx, watch); err != nil {
		return nil, err
	}
	after, err := store.Roster(ctx)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	if alive := moving(before, after); len(alive) > 0 {
		return nil, &standpipe.Error{
			Class: standpipe.Fenced, Op: "use table " + c.Standpipe.Checkpoint.Table,
			Err:  fmt.Errorf("somebody is at work on it: %s", strings.Join(shorten(alive, 10), ", ")),
			Hint: "stop every worker of it, then run the command again",
		}
	}
	return after.Leases, nil
}

// moving names the workers and shards whose rows were written between two looks.
func moving(before, after checkpoint.Roster) (names []string) {
	counters := map[string]int64{}
	for _, w := range before.Workers {
		counters[w.ID] = w.Counter
	}
	for _, l := range before.Leases {
		counters[string(l.Shard)] = l.Counter
	}
	look := func(name string, counter int64) {
		if was, known := counters[name]; !known || was != counter {
			names = append(names, name)
		}
	}
	for _, w := range after.Workers {
		look(w.ID, w.Counter)
	}
	for _, l := range after.Leases {
		look(string(l.Shard), l.Counter)
	}
	return names
}

// leases opens the store and reads it.
func leases(ctx context.Context, file, region string, out *console) (*config.Config, checkpoint.Store, []checkpoint.Lease, error) {
	c, err := loadConfig(file, out)
	if err != nil {
		return nil, nil, nil, err
	}
	settings, err := loadAWS(ctx, region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return nil, nil, nil, err
	}
	store, err := existingStore(ctx, c, settings)
	if err != nil {
		return nil, nil, nil, err
	}
	roster, err := store.Roster(ctx)
	if err != nil {
		return nil, nil, nil, errors.Join(err, store.Close())
	}
	return c, store, roster.Leases, nil
}

type checkpointShow struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	JSON   bool   `help:"As checkpoint export."`
}

func (checkpointShow) Help() string {
	return `Where each shard stands, the arrival of its last delivered record, how many manifests its chain has, and
whether a flush is prepared, which the next start finishes.

Examples:

    standpipe checkpoint show -c standpipe.yaml
    standpipe checkpoint show -c standpipe.yaml --json | jq -r '.shards[] | select(.pending) | .shard'`
}

func (k *checkpointShow) Run(ctx context.Context, g *globals, out *console) error {
	c, store, all, err := leases(ctx, k.Config, g.Region, out)
	if err != nil {
		return err
	}
	defer store.Close()
	if k.JSON {
		return out.writeJSON(export(c.KinesisStreamSourceConfiguration.StreamName(), all, time.Now()))
	}
	rows := [][]cell{{}}
	for _, h := range []string{"SHARD", "CHECKPOINT", "LAST RECORD", "MANIFESTS", "CHAIN", "PREPARED"} {
		rows[0] = append(rows[0], cell{text: h, right: h == "MANIFESTS", dress: out.bold})
	}
	for _, l := range all {
		at, seen, pending := l.Checkpoint.String(), "-", "-"
		if l.Checkpoint.Sequence == standpipe.AtTimestamp {
			at += " " + l.StartTime.UTC().Format(time.RFC3339)
		}
		if at := l.Delivered(); !at.IsZero() {
			seen = at.UTC().Format(time.RFC3339)
		}
		if l.Pending != nil {
			pending = "to " + l.Pending.Position.String()
		}
		rows = append(rows, []cell{{text: string(l.Shard)}, {text: at}, {text: seen}, {text: strconv.FormatInt(l.Commits, 10), right: true}, {text: l.Incarnation}, {text: pending}})
	}
	return writeTable(out.stdout, rows)
}

type checkpointExport struct {
	Config string `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
}

func (checkpointExport) Help() string {
	return `Examples:

    standpipe checkpoint export -c standpipe.yaml > before-the-upgrade.json
    standpipe replay -c standpipe.yaml --from before-the-upgrade.json --to-prefix again/`
}

func (k *checkpointExport) Run(ctx context.Context, g *globals, out *console) error {
	c, store, all, err := leases(ctx, k.Config, g.Region, out)
	if err != nil {
		return err
	}
	defer store.Close()
	return out.writeJSON(export(c.KinesisStreamSourceConfiguration.StreamName(), all, time.Now()))
}

type checkpointSet struct {
	Config string      `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	At     string      `required:"" placeholder:"POINT" help:"TRIM_HORIZON, LATEST, a time, a duration ago, a sequence number (done up to it), or a file of checkpoint export."`
	Shard  []shardName `placeholder:"ID" help:"Only this shard, by its id or its number; may be repeated."`
	Reason string      `placeholder:"TEXT" help:"Why, for the record."`
	Yes    bool        `help:"Do it. Without it the change is only shown."`
}

func (checkpointSet) Help() string {
	return `Records after the new position are delivered, whether they were before or not: a position moved back
puts lines into the archive twice, one moved ahead leaves lines out. To restore objects, or to deliver
a range once more, use standpipe replay.

Each shard moved begins a new chain of manifests. What was done is written to _standpipe/audit/ first.

Exit codes: 0 moved, 1 failed, 2 nothing was moved: wrong flags, no --yes, in use, or a prepared flush
is in the way.

Examples:

    standpipe checkpoint set -c standpipe.yaml --at before-the-upgrade.json --reason "roll back" --yes
    standpipe checkpoint set -c standpipe.yaml --at 2026-11-22T10:00:00Z --shard shardId-000000000000 --reason "skip a flood" --yes`
}

func (k *checkpointSet) Run(ctx context.Context, g *globals, out *console) error {
	now := time.Now()
	at, err := point(latest(k.At, now), now)
	if err != nil {
		return usagef("--at: %w", err)
	}
	c, store, all, err := leases(ctx, k.Config, g.Region, out)
	if err != nil {
		return err
	}
	defer store.Close()
	moved, err := moves(all, k.Shard, at)
	if err != nil {
		return usage(err)
	}
	for _, m := range moved {
		out.note("%s  %s -> %s", m.before.Shard, m.before.Checkpoint, m.text())
	}
	if !k.Yes {
		return usagef("nothing was changed: %s would be moved, give --yes to do it", amount(int64(len(moved)), "checkpoint"))
	}
	if all, err = still(ctx, store, c, out.note); standpipe.ClassOf(err) == standpipe.Fenced {
		return usage(err) // in use, as a folder is
	} else if err != nil {
		return err
	}
	if moved, err = moves(all, k.Shard, at); err != nil {
		return usage(err)
	}
	settings, err := loadAWS(ctx, g.Region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return err
	}
	target, closeSink, err := openSink(c, settings)
	if err != nil {
		return err
	}
	defer func() { _ = closeSink() }()
	record, err := restart(ctx, store, target, moved, audit{Command: "checkpoint set --at " + k.At, Reason: k.Reason, Time: now.UTC()})
	if err != nil {
		return err
	}
	out.note("recorded in %s", record)
	return nil
}

// latest makes LATEST the moment it was asked for.
func latest(s string, now time.Time) string {
	if s == "latest" || s == standpipe.Latest {
		return now.UTC().Format(time.RFC3339Nano)
	}
	return s
}

// A move is one checkpoint and where it goes.
type move struct {
	before checkpoint.Lease
	to     standpipe.Position
	time   time.Time
}

func (m move) text() string {
	if m.time.IsZero() {
		return m.to.String()
	}
	return m.to.String() + " " + m.time.Format(time.RFC3339)
}

// moves says what setting the checkpoints of shards, or of all, to a point
// means. A prepared flush belongs to the old position: it has to be finished.
func moves(all []checkpoint.Lease, shards []shardName, at replay.Point) (moved []move, err error) {
	for _, id := range shards {
		if !slices.ContainsFunc(all, func(l checkpoint.Lease) bool { return l.Shard == standpipe.ShardID(id) }) {
			return nil, fmt.Errorf("there is no checkpoint of %s", id)
		}
	}
	for _, l := range all {
		if len(shards) > 0 && !slices.Contains(shards, shardName(l.Shard)) {
			continue
		}
		m := move{before: l, to: standpipe.Position{Sequence: standpipe.TrimHorizon}}
		switch position, known := at.Shards[l.Shard]; {
		case at.Shards != nil && !known:
			continue
		case known:
			m.to = position
		case at.Sequence != "":
			m.to.Sequence = at.Sequence
		case !at.Time.IsZero():
			m.to.Sequence, m.time = standpipe.AtTimestamp, at.Time
		}
		if m.to.Sequence == standpipe.AtTimestamp && m.time.IsZero() {
			return nil, fmt.Errorf("%s was exported before its first commit, at a time: give the time instead of the file", l.Shard)
		}
		if l.Pending != nil {
			return nil, fmt.Errorf("%s has a prepared flush up to %s: start standpipe run once and stop it, which finishes it", l.Shard, l.Pending.Position)
		}
		moved = append(moved, m)
	}
	switch {
	case len(moved) == 0:
		return nil, errors.New("no checkpoint would be moved")
	case at.Sequence != "" && len(moved) > 1:
		return nil, errors.New("a sequence number belongs to one shard: say which with --shard")
	}
	return moved, nil
}
