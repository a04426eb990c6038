package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/replay"
)

type runCommand struct {
	Config   string `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	From     string `default:"checkpoint" placeholder:"POINT" help:"checkpoint, or begin anew at trim_horizon, latest or a time: once, and recorded."`
	LogLevel string `default:"info" help:"debug, info, warn or error."`

	CreateTable bool `help:"Make the table of Standpipe.Checkpoint.Table unless it is there, and wait for it."`
}

func (runCommand) Help() string {
	return `Runs until SIGTERM or Ctrl-C. Then reading stops, what is in hand is delivered and committed
within Standpipe.DrainTimeout, and the exit code is 0. A second signal ends it at once: what was
in hand is read again at the next start, and still delivered once.

--from moves every checkpoint before it starts: what lies after the new position is delivered,
whether it was before or not. It does so at every start it is given at, so it has no place in a unit
file. The change is logged and recorded under _standpipe/audit/; standpipe replay is what restores
objects or delivers a range once more.

Logs are JSON lines on standard error, one for each object.

Workers that share Standpipe.Checkpoint.Table share the shards. --create-table makes the table: paid
per request, protected against deletion. Without the flag a missing table is an error.

Examples:

    standpipe run -c standpipe.yaml
    standpipe run -c standpipe.yaml --create-table
    AWS_ENDPOINT_URL_S3=http://127.0.0.1:9000 standpipe run -c standpipe.yaml`
}

func (r *runCommand) Run(ctx context.Context, g *globals, out *console) error {
	c, err := loadConfig(r.Config, out)
	if err != nil {
		return err
	}
	log, err := newLogger(r.LogLevel, out)
	if err != nil {
		return err
	}
	settings, err := loadAWS(ctx, g.Region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return err
	}
	if r.CreateTable {
		if err := createTable(ctx, c, settings, log); err != nil {
			return err
		}
	}
	moving, err := r.anew(c, time.Now())
	if err != nil {
		return err
	}
	s, err := newService(ctx, c, settings, log)
	if err != nil {
		return err
	}
	if moving {
		if err := s.beginAt(ctx, c.Standpipe.StartingPosition, r.From); err != nil {
			return errors.Join(err, s.Close())
		}
	}
	for _, w := range c.Warnings {
		log.Warn("configuration", zap.String("at", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column)), zap.String("path", w.Path), zap.String("warning", w.Message))
	}
	log.Info("started", zap.String("delivery", c.DeliveryStreamName), zap.String("version", build().Version),
		zap.String("source", c.KinesisStreamSourceConfiguration.KinesisStreamARN), zap.String("destination", s.dest),
		zap.String("status", "http://"+s.status.Addr()))
	err = s.Run(ctx)
	if closing := s.Close(); err == nil {
		err = closing
	}
	if err == nil {
		log.Info("stopped, everything read is delivered")
	}
	return err
}

// createTable makes the checkpoint table, which a configuration without one has no use for.
func createTable(ctx context.Context, c *config.Config, settings aws.Config, log *zap.Logger) error {
	if c.Standpipe.Checkpoint.Type != config.CheckpointDynamoDB {
		return usagef("--create-table: Standpipe.Checkpoint.Type is %s; write dynamodb", c.Standpipe.Checkpoint.Type)
	}
	table := tableOf(c, settings, c.Standpipe.Checkpoint.Table)
	defer table.Close()
	log.Info("creating the checkpoint table unless it is there", zap.String("table", table.Name()))
	return table.Create(ctx)
}

// anew puts an explicit position into the configuration, as if it were there.
// It reports false for the default: each shard at its checkpoint.
func (r *runCommand) anew(c *config.Config, now time.Time) (bool, error) {
	start := &c.Standpipe.StartingPosition
	switch {
	case r.From == "" || strings.EqualFold(r.From, "checkpoint"):
		return false, nil
	case strings.EqualFold(r.From, standpipe.TrimHorizon):
		start.At, start.Time = standpipe.TrimHorizon, time.Time{}
		return true, nil
	case strings.EqualFold(r.From, standpipe.Latest):
		start.At, start.Time = standpipe.AtTimestamp, now.UTC()
		return true, nil
	}
	at, err := replay.ParsePoint(r.From, now)
	if err != nil || at.Time.IsZero() {
		return false, usagef("--from %s: give checkpoint, trim_horizon, latest or a time; one shard is moved by standpipe checkpoint set", r.From)
	}
	start.At, start.Time = standpipe.AtTimestamp, at.Time
	return true, nil
}

// beginAt moves the checkpoints there are, if nobody else lives who uses them.
// New shards take the position from the configuration.
func (s *service) beginAt(ctx context.Context, start config.Start, from string) error {
	all, err := still(ctx, s.store, s.cfg, func(format string, args ...any) { s.log.Info(fmt.Sprintf(format, args...)) })
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return nil
	}
	moved, err := moves(all, nil, replay.Point{Time: start.Time})
	if err != nil {
		return usage(err)
	}
	record, err := restart(ctx, s.store, s.sink, moved, audit{Command: "run --from " + from, Time: time.Now().UTC()})
	if err != nil {
		return err
	}
	s.log.Warn("checkpoints moved by --from", zap.String("to", moved[0].text()), zap.Int("shards", len(moved)), zap.String("record", record))
	return nil
}
