//go:build !nolocal

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe/local/kinesis"
)

type kinesisCommand struct {
	Addr      string         `default:"127.0.0.1:4567" placeholder:"HOST:PORT" help:"Listen there; port 0 is any free one."`
	AdminAddr string         `default:"127.0.0.1:4568" placeholder:"HOST:PORT" help:"Clock and faults; GET /admin lists the orders. Anybody who reaches it can delete records."`
	Streams   []servedStream `placeholder:"NAME:SHARDS" help:"Make these streams unless they are there."`
	Data      string         `placeholder:"DIR" help:"Keep everything in this folder; without it, in memory."`
	Throttle  bool           `help:"Enforce the quotas of a shard, as Kinesis does."`
	Delay     time.Duration  `default:"0s" help:"How long a stream is CREATING, UPDATING or DELETING."`
}

func (kinesisCommand) Help() string {
	return `An SDK or a KCL application can't tell it from Amazon Kinesis Data Streams for the operations it
has. Any credentials are accepted. When it answers, it says so in one line on standard output;
Ctrl-C or SIGTERM stops it with 0.

Examples:

    standpipe kinesis --streams class-stream:3,events:1
    standpipe kinesis --addr 127.0.0.1:0 --data ./kinesis --throttle
    AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4567 AWS_REGION=us-east-1 aws kinesis list-streams`
}

// goodbye is how long calls under way may take when the server stops.
const goodbye = 2 * time.Second

func (c *kinesisCommand) Run(ctx context.Context, g *globals, out *console) (err error) {
	log := zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
		zapcore.Lock(zapcore.AddSync(out.stderr)), zap.WarnLevel))
	server, err := kinesis.New(kinesis.Config{
		Dir: c.Data, Region: g.Region, CreateDelay: c.Delay, Throttle: c.Throttle, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	for _, s := range c.Streams {
		if err := server.EnsureStream(s.name, s.shards); err != nil {
			return usage(err)
		}
	}
	api, err := listen(ctx, "--addr", c.Addr)
	if err != nil {
		return err
	}
	admin, err := listen(ctx, "--admin-addr", c.AdminAddr)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	fmt.Fprintf(out.stdout, "kinesis is ready on http://%s, admin on http://%s/admin\n", api.Addr(), admin.Addr())
	return serveBoth(ctx, log, api, server, admin, server.Admin())
}

// serveBoth serves two handlers until ctx ends, which is no error, or one of
// them can't go on.
func serveBoth(ctx context.Context, log *zap.Logger, api net.Listener, apiHandler http.Handler, admin net.Listener, adminHandler http.Handler) error {
	group, failed := errgroup.WithContext(ctx)
	for _, part := range []struct {
		net.Listener
		http.Handler
	}{{api, apiHandler}, {admin, adminHandler}} {
		srv := &http.Server{Handler: part.Handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: zap.NewStdLog(log)}
		group.Go(func() error {
			if err := srv.Serve(part.Listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve on %s: %w", part.Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-failed.Done() // ctx ended, or the other server did
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
			defer cancel()
			if srv.Shutdown(bounded) != nil {
				_ = srv.Close() // calls that take longer than goodbye are cut
			}
			return nil
		})
	}
	return group.Wait()
}

// A servedStream is one of --streams.
type servedStream struct {
	name   string
	shards int
}

// UnmarshalText reads NAME:SHARDS, or NAME for one shard.
func (s *servedStream) UnmarshalText(text []byte) error {
	name, shards, given := strings.Cut(string(text), ":")
	*s = servedStream{name: name, shards: 1}
	if given {
		n, err := strconv.Atoi(shards)
		if err != nil || n < 1 {
			return fmt.Errorf("%q: give a name and its shards, as class-stream:3", text)
		}
		s.shards = n
	}
	return nil
}
