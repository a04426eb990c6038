//go:build !nolocal

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/listen"
	"github.com/standpipe/standpipe/local/kinesis"
)

type kinesisCommand struct {
	Addr      string         `default:"127.0.0.1:4567" placeholder:"HOST:PORT" help:"Listen there; port 0 is any free one. HTTP/1.1 and HTTP/2."`
	AdminAddr string         `default:"127.0.0.1:4568" placeholder:"HOST:PORT" help:"Clock and faults; GET /admin lists the orders. Loopback only."`
	TLS       bool           `name:"tls" help:"Serve HTTPS with a certificate made now."`
	Cert      string         `placeholder:"FILE" help:"Write that certificate there, for AWS_CA_BUNDLE of the clients."`
	Streams   []servedStream `placeholder:"NAME:SHARDS" help:"Make these streams unless they are there."`
	Data      string         `placeholder:"DIR" help:"Keep everything in this folder; without it, in memory."`
	ShardMIB  int64          `name:"shard-mib" placeholder:"MIB" help:"Keep at most about this much of a shard, the newest. All records are in memory, with --data too."`
	Account   string         `default:"000000000000" placeholder:"ID" help:"Account in ARNs and messages, twelve digits."`
	Throttle  bool           `help:"Enforce the quotas of a shard, as Kinesis does."`
	Limit     int            `name:"shard-limit" default:"20000" placeholder:"N" help:"Open shards there may be in all."`
	Delay     time.Duration  `default:"0s" help:"How long a stream is CREATING, UPDATING or DELETING."`
	Fanout    time.Duration  `name:"subscription" default:"5m" help:"How long SubscribeToShard sends before the client has to call again."`
	Signed    bool           `help:"Accept only requests signed with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of this environment."`
	Clock     time.Time      `placeholder:"TIME" format:"2006-01-02T15:04:05Z07:00" help:"Let time stand still there until /admin/clock moves it, and count ids: two runs answer alike."`
	LogLevel  string         `default:"warn" help:"debug, info, warn or error."`
}

func (kinesisCommand) Help() string {
	return `An SDK, the KCL or a producer can't tell it from Amazon Kinesis Data Streams: JSON and CBOR,
fan-out, resharding, the service's errors. docs/kinesis-server.md lists what it does. Any
credentials are accepted, or none. When it answers, it says so in one line on standard output;
Ctrl-C or SIGTERM stops it with 0.

Examples:

    standpipe kinesis --streams class-stream:3,events:1
    standpipe kinesis --addr 127.0.0.1:0 --data ./kinesis --throttle
    standpipe kinesis --tls --cert ./kinesis.pem
    AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4567 AWS_REGION=us-east-1 aws kinesis list-streams`
}

// goodbye is how long calls under way may take when the server stops; longer
// ones are cut.
const goodbye = 2 * time.Second

func (c *kinesisCommand) Run(ctx context.Context, g *globals, out *console) (err error) {
	log, err := newLogger(c.LogLevel, out)
	if err != nil {
		return err
	}
	cfg, err := c.config(g.Region)
	if err != nil {
		return err
	}
	cfg.Logger = log
	server, err := kinesis.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	for _, s := range c.Streams {
		if err := server.EnsureStream(s.name, s.shards); err != nil {
			return usage(err)
		}
	}
	api, err := listenOn(ctx, "--addr", c.Addr)
	if err != nil {
		return err
	}
	admin, err := listenOn(ctx, "--admin-addr", c.AdminAddr)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	scheme, web := "http", server.HTTPServer()
	if c.TLS {
		scheme = "https"
		if web.TLSConfig, err = c.certificate(); err != nil {
			return errors.Join(err, api.Close(), admin.Close())
		}
	}
	fmt.Fprintf(out.stdout, "kinesis is ready on %s://%s, admin on http://%s/admin\n", scheme, api.Addr(), admin.Addr())
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listen.HTTP(gctx, web, api, goodbye) })
	group.Go(func() error { return listen.HTTP(gctx, server.AdminServer(), admin, goodbye) })
	if err := group.Wait(); !errors.Is(err, listen.ErrCut) {
		return err
	}
	return nil
}

var accountID = regexp.MustCompile(`^\d{12}$`)

// config checks the flags that kinesis.New would take for granted.
func (c *kinesisCommand) config(region string) (kinesis.Config, error) {
	cfg := kinesis.Config{
		Dir: c.Data, Region: region, Account: c.Account, CreateDelay: c.Delay, Throttle: c.Throttle,
		ShardLimit: c.Limit, ShardBytes: c.ShardMIB << 20, SubscriptionLife: c.Fanout,
	}
	if err := checkAdminAddr(c.AdminAddr); err != nil {
		return cfg, err
	}
	switch {
	case !accountID.MatchString(c.Account):
		return cfg, usagef("--account %s: give twelve digits", c.Account)
	case c.Limit < 1 || c.ShardMIB < 0 || c.Delay < 0 || c.Fanout <= 0:
		return cfg, usagef("--shard-limit and --subscription must be positive, --shard-mib and --delay not negative")
	case c.Cert != "" && !c.TLS:
		return cfg, usagef("--cert %s: there is no certificate without --tls", c.Cert)
	}
	if !c.Clock.IsZero() {
		cfg.Now, cfg.Deterministic = func() time.Time { return c.Clock }, true
	}
	if c.Signed {
		id, secret := os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY")
		if id == "" || secret == "" {
			return cfg, usagef("--signed: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to the key to accept")
		}
		cfg.Keys = map[string]string{id: secret}
	}
	return cfg, nil
}

// checkAdminAddr takes addresses of this machine only.
func checkAdminAddr(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("--admin-addr %s: give a loopback address; whoever reaches it can delete records", addr)
	}
	return nil
}

// certificate makes the server's and tells it to whom it may concern.
func (c *kinesisCommand) certificate() (*tls.Config, error) {
	host, _, _ := net.SplitHostPort(c.Addr) // Listen took it
	cert, text, err := kinesis.SelfSigned(host)
	if err != nil {
		return nil, err
	}
	if c.Cert != "" {
		if err := os.WriteFile(c.Cert, text, 0o644); err != nil {
			return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "write the certificate", Err: err, Hint: "give --cert a file this user may write"}
		}
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
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
