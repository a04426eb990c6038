//go:build !nolocal

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/deploy"
	"github.com/standpipe/standpipe/directput"
	"github.com/standpipe/standpipe/gateway"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/local"
	"github.com/standpipe/standpipe/local/kinesis"
	"github.com/standpipe/standpipe/local/s3"
)

// localCommands are those that bring servers of their own.
type localCommands struct {
	Local   localCommand   `cmd:"" help:"Run everything on this machine: a stream, a bucket and the delivery between them."`
	Kinesis kinesisCommand `cmd:"" help:"Serve Kinesis on this machine, for tests and trials."`
}

// child runs a hidden sub-command: the S3 server is this program again.
func child(args []string) (code int, ok bool) {
	if len(args) == 0 || args[0] != s3.ChildCommand {
		return 0, false
	}
	return s3.ChildMain(args[1:]), true
}

type localCommand struct {
	Data         string `default:"./.standpipe" placeholder:"DIR" help:"Folder that keeps everything; a restart continues."`
	Shards       int    `default:"3" help:"Shards of the stream, when it is made."`
	Size         int    `default:"5" placeholder:"MIB" help:"BufferingHints.SizeInMBs, 1 to 128."`
	Interval     int    `default:"5" placeholder:"SECONDS" help:"BufferingHints.IntervalInSeconds, 0 to 900."`
	Prefix       string `default:"rawdata/!{timestamp:yyyy/MM/dd/HH}/" help:"Prefix of the objects."`
	Compression  string `default:"GZIP" enum:"GZIP,ZSTD,NONE" help:"GZIP, ZSTD or NONE."`
	Timezone     string `default:"UTC" help:"CustomTimeZone of the prefix, such as Asia/Seoul."`
	KinesisAddr  string `default:"127.0.0.1:4567" placeholder:"HOST:PORT" help:"Listen there; port 0 is any free one."`
	AdminAddr    string `default:"127.0.0.1:0" placeholder:"HOST:PORT" help:"Clock and faults of the Kinesis server."`
	S3Addr       string `name:"s3-addr" default:"127.0.0.1:4566" placeholder:"HOST:PORT" help:"Listen there; port 0 is any free one."`
	GatewayAddr  string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Listen there for the REST API of deploy/openapi.yaml; port 0 is any free one."`
	FirehoseAddr string `default:"127.0.0.1:4573" placeholder:"HOST:PORT" help:"Firehose's API listens there; port 0 is any free one."`
	StatusAddr   string `default:"127.0.0.1:9410" placeholder:"HOST:PORT" help:"Listen there; port 0 is any free one."`
	Delivery     bool   `default:"true" negatable:"" help:"Deliver the stream to the bucket; --no-delivery leaves that to standpipe run."`
	Demo         bool   `help:"Send events, wait for their objects, print one, exit. Uses free ports."`
	LogLevel     string `default:"warn" help:"debug, info, warn or error."`
}

const (
	localStream = "class-stream"
	localBucket = "standpipe"
	localRegion = "us-east-1"
)

func (localCommand) Help() string {
	return `Starts a Kinesis-compatible server, an S3 server, a REST API in front of the stream, the delivery
from the stream to the bucket and the status page, all on loopback. No AWS account is used. When ready it prints the addresses and writes
DIR/endpoints.json. Ctrl-C delivers what is in hand and stops.

With --no-delivery nothing reads the stream and there is no status page: that is the place to try a
configuration of one's own with standpipe run.

Examples:

    standpipe local --demo
    standpipe local --no-delivery
    standpipe local --timezone Asia/Seoul --interval 10
    standpipe local --data /tmp/trial --shards 6 --compression ZSTD`
}

func (l *localCommand) Run(ctx context.Context, out *console) (err error) {
	log, err := newLogger(l.LogLevel, out)
	if err != nil {
		return err
	}
	if l.Demo && !l.Delivery {
		return usagef("--demo shows a delivery: leave --no-delivery out")
	}
	if l.Shards < 1 || l.Shards > kinesis.ShardsMax {
		return usagef("--shards %d: give 1 to %d", l.Shards, kinesis.ShardsMax)
	}
	if err := checkAdminAddr(l.AdminAddr); err != nil {
		return err
	}
	if l.Demo {
		l.KinesisAddr, l.S3Addr, l.GatewayAddr, l.FirehoseAddr, l.StatusAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	}
	c, err := l.config(out)
	if err != nil {
		return err
	}
	stack, err := local.Start(ctx, local.Config{
		Dir: l.Data, KinesisAddr: l.KinesisAddr, AdminAddr: l.AdminAddr, S3Addr: l.S3Addr, Region: localRegion,
		Stream: localStream, Shards: l.Shards, Bucket: localBucket, Logger: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Stop()) }()
	c.Standpipe.Endpoint = config.Endpoint{Kinesis: stack.Endpoints.Kinesis, S3: stack.Endpoints.S3, PathStyle: true}
	if stack.Endpoints.Firehose, err = l.serveFirehose(ctx, c, stack, log); err != nil {
		return err
	}
	if !l.Delivery {
		return l.serve(ctx, stack, log, out)
	}
	s, err := newService(ctx, c, localAWS(stack.Endpoints), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return l.deliver(ctx, s, stack, out)
}

// config is what `run` would read from a file.
func (l *localCommand) config(out *console) (*config.Config, error) {
	document := fmt.Sprintf(`DeliveryStreamName: %s
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration:
  KinesisStreamARN: arn:aws:kinesis:%s:%s:stream/%s
ExtendedS3DestinationConfiguration:
  BucketARN: arn:aws:s3:::%s
  Prefix: %q
  ErrorOutputPrefix: "errors/!{firehose:error-output-type}/"
  CustomTimeZone: %q
  BufferingHints: {SizeInMBs: %d, IntervalInSeconds: %d}
Standpipe:
  Checkpoint: {Type: embedded, Path: %q}
  Compression: {Format: %s}
  DrainTimeout: 10s
  StatusAddress: %q
`, localStream, localRegion, local.Account, localStream, localBucket, l.Prefix, l.Timezone, l.Size, l.Interval,
		filepath.Join(l.Data, "state"), l.Compression, l.StatusAddr)
	c, err := validators().Parse("the flags", []byte(document), func(string) (string, bool) { return "", false })
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			out.note("standpipe local: %s: %s", p.Path, p.Message)
		}
		return nil, usagef("wrong flags; see standpipe local --help")
	}
	return c, err
}

func localAWS(e local.Endpoints) aws.Config {
	return aws.Config{Region: e.Region, Credentials: credentials.NewStaticCredentialsProvider(e.AccessKeyID, e.SecretAccessKey, "")}
}

func (l *localCommand) serveFirehose(ctx context.Context, c *config.Config, stack *local.Stack, log *zap.Logger) (string, error) {
	door, err := directput.New(directput.Config{
		Streams: []*directput.DeliveryStream{deliveryStream(c, localAWS(stack.Endpoints))}, Logger: log.Named("firehose"),
	})
	if err != nil {
		return "", err
	}
	return stack.Serve(ctx, "--firehose-addr", l.FirehoseAddr, firehoseServer(door, log))
}

const (
	// frontStage is the stage of the tutorial.
	frontStage = "PROD"
	// frontGoodbye is for a caller that hangs in the middle of its request: the
	// stream behind the gateway answers at once.
	frontGoodbye = 3 * time.Second
)

// openFront makes the gateway before the stream, and where it listens.
func (l *localCommand) openFront(ctx context.Context, stack *local.Stack, metrics prometheus.Registerer, log *zap.Logger) (*gateway.Gateway, net.Listener, error) {
	api, err := gateway.Parse("deploy/openapi.yaml", deploy.OpenAPI)
	if err != nil {
		return nil, nil, err
	}
	settings := awsclient.ManyConnections(localAWS(stack.Endpoints))
	settings.BaseEndpoint = &stack.Endpoints.Kinesis
	front, err := gateway.New(gateway.Config{
		API: api, Backend: gateway.NewKinesis(awsclient.Kinesis(settings)), Stage: frontStage, Goodbye: frontGoodbye,
		Registerer: metrics, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	listener, err := listenOn(ctx, "--gateway-addr", l.GatewayAddr)
	if err != nil {
		front.Close()
		return nil, nil, err
	}
	stack.Endpoints.Gateway = "http://" + listener.Addr().String()
	return front, listener, nil
}

// serve is deliver with nothing to deliver: the gateway until ctx ends or a
// server dies.
func (l *localCommand) serve(ctx context.Context, stack *local.Stack, log *zap.Logger, out *console) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	front, listener, err := l.openFront(ctx, stack, nil, log)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- front.Serve(ctx, listener) }()
	if err := stack.Publish(""); err != nil {
		stop()
		return errors.Join(err, <-served)
	}
	l.announce(stack, out)
	select {
	case err := <-served:
		return err
	case err := <-stack.Failed():
		stop()
		return errors.Join(err, <-served)
	}
}

// deliver runs the service and the gateway until ctx ends, the demo is over or
// a server dies. The gateway ends first: what it answered is in the stream
// before the delivery drains.
func (l *localCommand) deliver(ctx context.Context, s *service, stack *local.Stack, out *console) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	front, listener, err := l.openFront(ctx, stack, s.registry, s.log)
	if err != nil {
		return err
	}
	delivering, stopDelivery := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopDelivery(nil)
	done := make(chan error, 1)
	go func() {
		served := make(chan error, 1)
		go func() {
			err := front.Serve(ctx, listener)
			stopDelivery(context.Cause(ctx))
			served <- err
		}()
		err := s.Run(delivering)
		stop(err) // a delivery that fails takes the gateway with it
		done <- errors.Join(err, <-served)
	}()
	if err := s.ready(ctx, done); err != nil {
		return err
	}
	if err := stack.Publish("http://" + s.status.Addr()); err != nil {
		stop(err)
		return errors.Join(err, <-done)
	}
	l.announce(stack, out)
	if l.Demo {
		err := demo(ctx, s, stack.Endpoints, out)
		stop(nil)
		return errors.Join(err, <-done)
	}
	select {
	case err := <-done:
		return err
	case err := <-stack.Failed():
		err = fmt.Errorf("%w; what was read is delivered at the next start", err)
		stop(err)
		s.log.Error("stopping", zap.Error(err))
		return errors.Join(err, <-done)
	}
}

// ready waits until the worker has begun.
func (s *service) ready(ctx context.Context, done <-chan error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for s.worker.Ready() != nil {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), <-done)
		}
	}
	return nil
}

func (l *localCommand) announce(stack *local.Stack, out *console) {
	e := stack.Endpoints
	prefix, page := l.Prefix, e.Status
	if !l.Delivery {
		prefix, page = "", "none: nothing is delivered, standpipe run -c FILE does it"
	}
	fmt.Fprintf(out.stdout, `standpipe is ready
  stream   %s  on %s  (admin: %s/admin)
  firehose %s  on %s
  bucket   s3://%s/%s  on %s
  gateway  %s/%s/v1
  status   %s
  data     %s

  export AWS_ENDPOINT_URL_KINESIS=%s AWS_ENDPOINT_URL_S3=%s AWS_ENDPOINT_URL_FIREHOSE=%s
  export AWS_REGION=%s AWS_DEFAULT_REGION=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s
  curl -d "{\"value\":\"30\",\"type\":\"Tip 3\"}" -H "Content-Type: application/json" -X POST %s/%s/v1
  echo '{"value":"30","type":"Tip 3"}' | standpipe produce --stream %s
  standpipe cat s3://%s/
`, e.Stream, e.Kinesis, e.KinesisAdmin, localStream, e.Firehose, e.Bucket, prefix, e.S3, e.Gateway, frontStage, page, l.Data,
		e.Kinesis, e.S3, e.Firehose, e.Region, e.Region, e.AccessKeyID, e.SecretAccessKey, e.Gateway, frontStage, e.Stream, e.Bucket)
}
