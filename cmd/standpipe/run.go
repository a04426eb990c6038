package main

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

type runCommand struct {
	Config   string `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	LogLevel string `default:"info" help:"debug, info, warn or error."`
}

func (runCommand) Help() string {
	return `Runs until SIGTERM or Ctrl-C. Then reading stops, what is in hand is delivered and committed
within Standpipe.DrainTimeout, and the exit code is 0. A second signal ends it at once: what was
in hand is read again at the next start, and still delivered once.

Logs are JSON lines on standard error, one for each object.

Examples:

    standpipe run -c standpipe.yaml
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
