package main

import (
	"bytes"
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/tail"
	"github.com/standpipe/standpipe/consumer"
)

// A streamTruth reads the stream once more, at half of its bandwidth.
type streamTruth struct {
	name     string
	settings aws.Config
	now      time.Time
	from, to time.Time // zero: from the oldest record, to the newest
}

func (t *streamTruth) String() string { return "kinesis://" + t.name }

// Lines visits the lines of the stream as delivery cuts them.
func (t *streamTruth) Lines(ctx context.Context, visit func([]byte)) error {
	client := consumer.NewClient(t.settings, t.name, consumer.WithLimits(tail.Limits()))
	defer client.Close()
	start := consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}}
	if !t.from.IsZero() {
		start = consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: t.from}
	}
	return tail.Run(ctx, tail.Config{
		Client: client, From: start, Began: t.now, To: t.to, Form: tail.Lines,
		Deaggregation: "keep-all", Out: &lineWriter{visit: visit}, Note: func(string, ...any) {},
	})
}

// A lineWriter visits each whole line that is written to it.
type lineWriter struct {
	visit func([]byte)
	begun []byte // a line without its end
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			w.begun = append(w.begun, p...)
			return n, nil
		}
		line := p[:i]
		if len(w.begun) > 0 {
			w.begun = append(w.begun, line...)
			line = w.begun
		}
		w.visit(line)
		w.begun, p = w.begun[:0], p[i+1:]
	}
}
