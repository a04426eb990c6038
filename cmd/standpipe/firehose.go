package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/directput"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/listen"
	"github.com/standpipe/standpipe/status"
)

type firehoseCommand struct {
	Config     []string    `short:"c" required:"" placeholder:"FILE" help:"Configuration of a delivery stream; may be repeated."`
	Addr       string      `default:"127.0.0.1:4573" placeholder:"HOST:PORT" help:"Listen there; port 0 is any free one."`
	StatusAddr string      `default:"127.0.0.1:9411" placeholder:"HOST:PORT" help:"Health and metrics."`
	Memory     config.Size `default:"256MiB" help:"For requests in hand; above it producers are told to slow down."`
	LogLevel   string      `default:"info" help:"debug, info, warn or error. info writes a line for each request."`
}

func (firehoseCommand) Help() string {
	return `A second door to the stream of a delivery stream's configuration: it speaks Firehose's own API
(PutRecord, PutRecordBatch, DescribeDeliveryStream, ListDeliveryStreams), so a producer of Firehose
needs a new endpoint and nothing else. A RecordId means that Kinesis has the record, and says where:
shard:sequence number. The records are delivered by standpipe run.

It needs kinesis:PutRecords on the stream. It asks nobody for a password: signatures are not looked
at, so open it to a trusted network only. SIGTERM lets the requests under way end, and exits with 0.

Examples:

    standpipe firehose -c standpipe.yaml
    standpipe firehose -c clicks.yaml -c logs.yaml --addr 0.0.0.0:4573 --log-level warn
    AWS_ENDPOINT_URL_FIREHOSE=http://127.0.0.1:4573 aws firehose list-delivery-streams`
}

// The limits of a connection. A full batch of 5.6 MiB arrives within readTimeout
// at 200 KB/s; its answer has been worked on for up to 36 s.
const (
	firehoseReadTimeout  = 30 * time.Second
	firehoseWriteTimeout = 90 * time.Second
	// firehoseGoodbye lets a request that is being put come to its end.
	firehoseGoodbye = 40 * time.Second
)

func (f *firehoseCommand) Run(ctx context.Context, g *globals, out *console) error {
	log, err := newLogger(f.LogLevel, out)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	cfg := directput.Config{Memory: f.Memory.Bytes(), Registerer: registry, Logger: log.Named("firehose")}
	for _, file := range f.Config {
		c, err := loadConfig(file, out)
		if err != nil {
			return err
		}
		region := c.KinesisStreamSourceConfiguration.Region()
		if g.Region != "" {
			region = g.Region
		}
		settings, err := awsclient.Load(ctx, region)
		if err != nil {
			return usage(err)
		}
		cfg.Streams = append(cfg.Streams, deliveryStream(c, settings))
	}
	door, err := directput.New(cfg)
	if err != nil {
		return usage(err)
	}
	page, err := status.New(status.Config{
		Addr: f.StatusAddr, Registry: registry, Reporter: doorReport{time.Now()}, Health: doorReport{}, Build: build(), Logger: log,
	})
	if err != nil {
		return err
	}
	return f.serve(ctx, door, page, log)
}

// serve answers until ctx ends, then lets the requests under way end. The status
// page answers to the last.
func (f *firehoseCommand) serve(ctx context.Context, door http.Handler, page *status.Server, log *zap.Logger) error {
	l, err := listenOn(ctx, "--addr", f.Addr)
	if err != nil {
		return errors.Join(err, page.Close())
	}
	srv := firehoseServer(door, log)
	log.Info("firehose is ready", zap.String("address", "http://"+l.Addr().String()), zap.String("status", "http://"+page.Addr()))
	group, failed := errgroup.WithContext(ctx)
	serving, served := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error { return page.Run(serving) })
	group.Go(func() error {
		defer served()
		err := listen.HTTP(failed, srv, l, firehoseGoodbye)
		if errors.Is(err, listen.ErrCut) {
			log.Warn("requests were cut; their producers got no answer and send again")
			return nil
		}
		return err
	})
	return group.Wait()
}

func firehoseServer(door http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler: door, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: firehoseReadTimeout,
		WriteTimeout: firehoseWriteTimeout, IdleTimeout: 2 * time.Minute, ErrorLog: zap.NewStdLog(log),
	}
}

// deliveryStream is the door to what a configuration describes.
func deliveryStream(c *config.Config, settings aws.Config) *directput.DeliveryStream {
	source, d := c.KinesisStreamSourceConfiguration, c.ExtendedS3DestinationConfiguration
	settings.Region = source.Region()
	compression := config.CompressionNone // ZSTD has no name at Firehose
	if codec, _ := c.Codec(); codec == config.CodecGZIP {
		compression = config.CompressionGZIP
	}
	if u := c.Standpipe.Endpoint.Kinesis; u != "" {
		settings.BaseEndpoint = &u
	}
	return &directput.DeliveryStream{
		Name: c.DeliveryStreamName, Region: source.Region(), Account: strings.Split(source.KinesisStreamARN, ":")[4],
		Stream: streamID(source, settings), Client: awsclient.Kinesis(awsclient.ManyConnections(settings)),
		Destination: directput.Destination{
			BucketARN: d.BucketARN, Prefix: d.Prefix, ErrorOutputPrefix: d.ErrorOutputPrefix,
			CompressionFormat: string(compression), CustomTimeZone: d.CustomTimeZone, FileExtension: d.FileExtension,
			SizeInMBs: d.BufferingHints.SizeInMBs, IntervalInSeconds: d.BufferingHints.IntervalInSeconds,
		},
	}
}

// doorReport is what the status page shows of a process without a delivery: that
// it lives. It is ready as long as it listens; whether Kinesis is, each answer says.
type doorReport struct{ began time.Time }

func (d doorReport) Report(now time.Time) status.Report {
	return status.Report{Time: now, Worker: status.Worker{
		Version: build().Version, Started: d.began, UptimeSeconds: status.Seconds(now.Sub(d.began).Seconds()),
	}}
}

func (doorReport) Live() error  { return nil }
func (doorReport) Ready() error { return nil }
