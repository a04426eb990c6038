package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/gateway"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/status"
)

type gatewayCommand struct {
	Serve  gatewayServeCommand  `cmd:"" default:"withargs" help:"Serve the API until told to stop; the default."`
	Check  gatewayCheckCommand  `cmd:"" help:"Check an API file and name the traps it sets."`
	Render gatewayRenderCommand `cmd:"" help:"Show what a template makes of a body; sends nothing."`
}

func (gatewayCommand) Help() string {
	return `An API whose methods call Kinesis PutRecord or PutRecords by mapping templates, served here as
Amazon API Gateway serves it; the same OpenAPI file deploys to AWS. Streams and credentials come
from the usual AWS settings. Ctrl-C or SIGTERM answers the requests under way and stops with 0.

A 200 means that Kinesis has the record. When Kinesis refuses, the caller gets a 4xx or 5xx
whatever the file says, unless --failures as-in-tutorial asks for 200s. The flags are those of
standpipe gateway serve --help.

Examples:

    standpipe gateway -c deploy/openapi.yaml
    standpipe gateway -c openapi.yaml --addr 127.0.0.1:0 --stage prod --variable stream=events
    standpipe gateway -c openapi.yaml --batch 5ms --execution-log - --data-trace
    standpipe gateway check -c openapi.yaml
    standpipe gateway render -c openapi.yaml -d '{"value":"30","type":"Tip 3"}'`
}

type gatewayServeCommand struct {
	Config       string            `short:"c" required:"" placeholder:"FILE" help:"OpenAPI file with x-amazon-apigateway-integration."`
	Addr         string            `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Listen there; port 0 is any free one."`
	Stage        string            `default:"PROD" placeholder:"NAME" help:"First part of every path."`
	Variable     map[string]string `placeholder:"NAME=VALUE" help:"Stage variables."`
	Failures     string            `default:"mapped" enum:"mapped,as-in-tutorial" help:"mapped: never a 200 for what Kinesis refused. as-in-tutorial: 200 always."`
	Batch        time.Duration     `default:"0s" help:"Gather records into PutRecords; the first waits so long for others."`
	ExecutionLog string            `placeholder:"FILE" help:"API Gateway's execution log; - is standard error."`
	LogLevel     string            `name:"execution-level" default:"INFO" enum:"INFO,ERROR" help:"What the execution log tells: INFO or ERROR."`
	DataTrace    bool              `help:"Headers and bodies too, in the execution log."`
	AccessLog    string            `placeholder:"FILE" help:"Access log; - is standard error."`
	AccessFormat string            `placeholder:"LINE" help:"Its line, with $$context variables; JSON by default."`
	StatusAddr   string            `placeholder:"HOST:PORT" help:"Serve /metrics and /livez there; not served by default."`
}

func (s *gatewayServeCommand) Run(ctx context.Context, g *globals, out *console) (err error) {
	api, err := loadAPI(s.Config, out)
	if err != nil {
		return err
	}
	log, err := newLogger("warn", out)
	if err != nil {
		return err
	}
	settings, err := awsclient.Load(ctx, g.Region)
	if err != nil {
		return usage(err)
	}
	registry := prometheus.NewRegistry()
	cfg := gateway.Config{
		API: api, Backend: gateway.NewKinesis(awsclient.Kinesis(awsclient.ManyConnections(settings))), Stage: s.Stage, Variables: s.Variable,
		Failures: gateway.Failures(s.Failures), Batch: s.Batch, Registerer: registry, Logger: log,
	}
	closeLogs, err := s.logs(&cfg, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLogs()) }()
	front, err := gateway.New(cfg)
	if err != nil {
		return usage(err)
	}
	l, err := listenOn(ctx, "--addr", s.Addr)
	if err != nil {
		front.Close()
		return err
	}
	fmt.Fprintf(out.stdout, "gateway is ready on http://%s/%s\n", l.Addr(), s.Stage)
	return s.serve(ctx, front, l, registry, log)
}

// serve runs the gateway and, if asked for, its status page.
func (s *gatewayServeCommand) serve(ctx context.Context, front *gateway.Gateway, l net.Listener, registry *prometheus.Registry, log *zap.Logger) error {
	if s.StatusAddr == "" {
		return front.Serve(ctx, l)
	}
	page := gatewayPage{id: workerID(), start: time.Now()}
	server, err := status.New(status.Config{Addr: s.StatusAddr, Registry: registry, Reporter: page, Health: page, Build: build(), Logger: log})
	if err != nil {
		front.Close()
		return errors.Join(err, l.Close())
	}
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return front.Serve(both, l) })
	group.Go(func() error { return server.Run(both) })
	return group.Wait()
}

// logs opens what the flags name. The returned function closes it.
func (s *gatewayServeCommand) logs(cfg *gateway.Config, out *console) (closeAll func() error, err error) {
	var files []io.Closer
	closeAll = func() error {
		var errs []error
		for _, f := range files {
			errs = append(errs, f.Close())
		}
		return errors.Join(errs...)
	}
	open := func(flag, name string) (io.Writer, error) {
		if name == "-" {
			return errorStream{out}, nil
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, usagef("%s: %w", flag, err)
		}
		files = append(files, f)
		return f, nil
	}
	if s.ExecutionLog != "" {
		cfg.Level, cfg.DataTrace = gateway.Level(s.LogLevel), s.DataTrace
		if cfg.Execution, err = open("--execution-log", s.ExecutionLog); err != nil {
			return nil, err
		}
	}
	if s.AccessFormat != "" {
		if cfg.AccessFormat, err = gateway.ParseAccessFormat(s.AccessFormat); err != nil {
			return nil, usagef("--access-format: %w", err)
		}
	}
	if s.AccessLog != "" {
		if cfg.Access, err = open("--access-log", s.AccessLog); err != nil {
			return nil, errors.Join(err, closeAll())
		}
	}
	return closeAll, nil
}

// loadAPI reads an API file. A wrong one is shown whole, each problem under its
// line, and ends with the usage code.
func loadAPI(path string, out *console) (*gateway.API, error) {
	api, err := gateway.Load(path)
	problems, wrong := errors.AsType[gateway.Problems](err)
	if !wrong {
		if err != nil {
			return nil, usage(err)
		}
		return api, nil
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	if err := asProblems(problems).Render(out.stderr); err != nil {
		return nil, err
	}
	return nil, usagef("%s has %s", path, plural(len(problems), "problem"))
}

// asProblems lends package config's way of showing problems.
func asProblems(ps gateway.Problems) config.Problems {
	shown := make(config.Problems, len(ps))
	for i, p := range ps {
		shown[i] = config.Problem(p)
	}
	return shown
}

// A gatewayPage answers the status page of a process that is a gateway only.
type gatewayPage struct {
	id    string
	start time.Time
}

// Live and Ready implement status.Health: a gateway that runs is both.
func (gatewayPage) Live() error  { return nil }
func (gatewayPage) Ready() error { return nil }

// Report implements status.Reporter.
func (p gatewayPage) Report(now time.Time) status.Report {
	return status.Report{Time: now.UTC(), Worker: status.Worker{
		ID: p.id, Version: build().Version, Started: p.start.UTC(), UptimeSeconds: *status.SecondsOf(now.Sub(p.start)),
	}}
}
