package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe/config"
)

type runCommand struct {
	Config   string `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	LogLevel string `default:"info" help:"debug, info, warn or error."`

	CreateTable bool `help:"Make the table of Standpipe.Checkpoint.Table unless it is there, and wait for it."`
}

func (runCommand) Help() string {
	return `Runs until SIGTERM or Ctrl-C. Then reading stops, what is in hand is delivered and committed
within Standpipe.DrainTimeout, and the exit code is 0. A second signal ends it at once: what was
in hand is read again at the next start, and still delivered once.

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
	s, err := newService(ctx, c, settings, log)
	if err != nil {
		return err
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
