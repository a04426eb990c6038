//go:build !nolocal

package main

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe/cmd/standpipe/internal/cat"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/produce"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/httpclient"
	"github.com/standpipe/standpipe/local"
)

const (
	demoEvents = 200
	demoLines  = 5
	demoLimit  = 2 * time.Minute
)

// demo sends events, waits until all of them are delivered and prints lines of
// one object, read back from S3.
func demo(ctx context.Context, s *service, e local.Endpoints, out *console) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoLimit, errors.New("the demo's events were not delivered in time"))
	defer cancel()
	settings := localAWS(e)
	settings.BaseEndpoint = &e.Kinesis
	settings.HTTPClient = httpclient.InMemory{Base: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	stream, err := produce.OpenStream(ctx, awsclient.Kinesis(settings), e.Stream)
	if err != nil {
		return err
	}
	key, err := produce.ParseKey("random", mathrand.New(mathrand.NewPCG(1, 1)))
	if err != nil {
		return err
	}
	before := s.delivered()
	sender := produce.New(produce.Config{
		Target: stream, Key: key, Newline: true, Count: demoEvents, RecordMax: 1 << 20, Concurrency: 1, GiveUpAfter: demoLimit,
		OnReject: func(produce.Rejection) {}, OnWait: func(error, time.Duration) {},
	})
	if err := sender.Run(ctx, produce.Events(ctx, uint64(time.Now().UnixNano()))); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "\nsent %d events to %s, waiting for their objects\n", demoEvents, e.Stream)
	if err := s.await(ctx, before+demoEvents); err != nil {
		return err
	}
	settings.BaseEndpoint = &e.S3
	return show(ctx, s, e, awsclient.S3(settings), out)
}

func (s *service) delivered() (lines int64) {
	for _, st := range s.worker.Status() {
		lines += st.Lines
	}
	return lines
}

func (s *service) await(ctx context.Context, lines int64) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for s.delivered() < lines {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func show(ctx context.Context, s *service, e local.Endpoints, client *awss3.Client, out *console) error {
	objects, last := int64(0), ""
	for _, st := range s.worker.Status() {
		objects += st.Objects
		if st.LastObject.Key != "" {
			last = st.LastObject.Key
		}
	}
	place := "s3://" + e.Bucket + "/" + last
	fmt.Fprintf(out.stdout, "delivered: %d objects, %d lines; the first lines of %s:\n\n", objects, s.delivered(), place)
	reader := &cat.Reader{S3: func(context.Context) (*awss3.Client, error) { return client, nil }}
	for object, err := range reader.Objects(ctx, place) {
		if err != nil {
			return err
		}
		if _, err := object.Copy(ctx, out.stdout, demoLines); err != nil {
			return err
		}
	}
	return nil
}
