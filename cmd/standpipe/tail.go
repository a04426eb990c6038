package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/tail"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/awsclient"
)

type tailCommand struct {
	From   tailStart   `default:"LATEST" placeholder:"WHEN" help:"Where to begin: LATEST (the default), TRIM_HORIZON (the oldest), a time as 2026-11-22T21:00:00+09:00, or how long ago as 10m."`
	To     tailTime    `placeholder:"TIME" help:"Leave out what arrived at that time or later, and end there."`
	Shards []shardName `name:"shard" placeholder:"ID" help:"Read this shard only, by its id or its number; may be repeated."`
	Follow bool        `default:"true" negatable:"" help:"Wait for more; --no-follow ends when everything there was is printed."`

	Grep  string `placeholder:"REGEXP" help:"Print only lines that match (with --json and --raw: records)."`
	Count int64  `short:"n" placeholder:"N" help:"End after N lines (with --json and --raw: records)."`
	JSON  bool   `xor:"form" help:"Print one JSON object per record: shard, sequence, sub, arrival, partitionKey, data."`
	Raw   bool   `xor:"form" help:"Print the bytes of each record as they are, with nothing between them."`

	Deaggregation string `default:"keep-all" enum:"keep-all,off" help:"KPL aggregates: keep-all unpacks them, off prints them as they are."`

	Stream string `arg:"" name:"stream" help:"Kinesis stream, by name or ARN."`
}

func (tailCommand) Help() string {
	return `Order holds within a shard, not between shards; after a reshard, children come after their
parents. Reading takes at most half of a shard's bandwidth and one call a second of its five once it
has caught up. Nothing is stored: the next tail begins anew. Notes go to standard error: shards that
ended, throttling, records that left retention. Ctrl-C ends with 0, unless --to, --count or
--no-follow set an end that was not reached.

With --json, data that is not UTF-8 stands in base64 in dataBase64 instead of data.

Examples:

    standpipe tail class-stream
    standpipe tail class-stream --from 10m --grep '"type":"error"'
    standpipe tail class-stream --from TRIM_HORIZON --no-follow --json | jq -r .partitionKey
    standpipe tail class-stream --from 2026-11-22T21:00:00+09:00 --to 2026-11-22T22:00:00+09:00`
}

func (c *tailCommand) Run(ctx context.Context, g *globals, out *console) error {
	now := time.Now()
	cfg, err := c.config(now)
	if err != nil {
		return usage(err)
	}
	settings, err := awsclient.Load(ctx, g.Region)
	if err != nil {
		return usage(err)
	}
	cfg.Client = consumer.NewClient(settings, c.Stream, consumer.WithLimits(tail.Limits()))
	defer cfg.Client.Close()
	cfg.Out = out.stdout
	cfg.Note = func(format string, args ...any) { out.note("standpipe: "+format, args...) }
	err = tail.Run(ctx, cfg)
	if err != nil && ctx.Err() != nil {
		if c.endless() {
			return nil
		}
		return errInterrupted
	}
	return err
}

// endless says that nothing but an interrupt ends the command.
func (c *tailCommand) endless() bool { return c.Follow && c.To.IsZero() && c.Count == 0 }

// config is what the flags say, at the time now.
func (c *tailCommand) config(now time.Time) (tail.Config, error) {
	cfg := tail.Config{
		Began: now, To: c.To.Time, Count: c.Count, Follow: c.Follow, Form: tail.Lines,
		Deaggregation: consumer.Deaggregation(c.Deaggregation),
		From:          c.From.at(now),
	}
	from := cfg.From.Time
	if cfg.From.Position.Sequence == standpipe.Latest {
		from = now
	}
	if from.After(now) {
		return cfg, fmt.Errorf("--from %s lies ahead", from.Format(time.RFC3339))
	}
	if !c.To.IsZero() && !from.Before(c.To.Time) {
		return cfg, fmt.Errorf("--to %s is not after --from, %s", c.To.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	if c.Count < 0 {
		return cfg, fmt.Errorf("--count %d: give a positive number", c.Count)
	}
	switch {
	case c.JSON:
		cfg.Form = tail.JSON
	case c.Raw:
		cfg.Form = tail.Raw
	}
	if c.Grep != "" {
		match, err := regexp.Compile(c.Grep)
		if err != nil {
			return cfg, fmt.Errorf("--grep: %w", err)
		}
		cfg.Match = match
	}
	for _, s := range c.Shards {
		cfg.Shards = append(cfg.Shards, standpipe.ShardID(s))
	}
	return cfg, nil
}

// A tailStart is --from: a sentinel, a time, or so long ago.
type tailStart struct {
	sentinel string
	time     time.Time
	ago      time.Duration
}

// UnmarshalText reads LATEST, TRIM_HORIZON, a time with a zone (RFC 3339), or
// a length of time.
func (s *tailStart) UnmarshalText(text []byte) error {
	word := string(text)
	for _, sentinel := range []string{standpipe.Latest, standpipe.TrimHorizon} {
		if strings.EqualFold(strings.ReplaceAll(word, "-", "_"), sentinel) {
			*s = tailStart{sentinel: sentinel}
			return nil
		}
	}
	if t, err := time.Parse(time.RFC3339, word); err == nil {
		*s = tailStart{time: t}
		return nil
	}
	ago, err := time.ParseDuration(word)
	if err != nil || ago < 0 {
		return fmt.Errorf("%q: give LATEST, TRIM_HORIZON, a time as 2026-11-22T21:00:00+09:00, or how long ago as 10m or 24h", word)
	}
	*s = tailStart{ago: ago}
	return nil
}

func (s tailStart) at(now time.Time) consumer.Start {
	switch {
	case s.sentinel != "":
		return consumer.Start{Position: standpipe.Position{Sequence: s.sentinel}}
	case s.time.IsZero():
		s.time = now.Add(-s.ago)
	}
	return consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: s.time}
}

// A tailTime is --to.
type tailTime struct{ time.Time }

// UnmarshalText reads a time with a zone (RFC 3339).
func (t *tailTime) UnmarshalText(text []byte) (err error) {
	if t.Time, err = time.Parse(time.RFC3339, string(text)); err != nil {
		return fmt.Errorf("%q: give a time as 2026-11-22T21:00:00+09:00", text)
	}
	return nil
}

// A shardName is a shard's id, which may be given as its number alone.
type shardName standpipe.ShardID

func (s *shardName) UnmarshalText(text []byte) error {
	*s = shardName(text)
	if n, err := strconv.ParseUint(string(text), 10, 32); err == nil {
		*s = shardName(fmt.Sprintf("shardId-%012d", n))
	}
	return nil
}
