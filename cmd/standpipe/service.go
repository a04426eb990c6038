package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/dynamodb"
	"github.com/standpipe/standpipe/checkpoint/embedded"
	"github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/folder"
	"github.com/standpipe/standpipe/sink/s3"
	"github.com/standpipe/standpipe/status"
)

// A service is one delivery stream at work: every component, wired.
type service struct {
	cfg    *config.Config
	log    *zap.Logger
	worker *delivery.Worker
	store  checkpoint.Store
	sink   sink.Sink
	budget *delivery.Budget
	status *status.Server
	// registry holds the metrics of everything in the process.
	registry *prometheus.Registry
	id       string
	start    time.Time
	dest     string
	close    []func() error // in the order in which things were opened
}

// newService builds what a configuration describes. aws is the environment's
// settings. The errors are clear ones: every component names its setting.
func newService(ctx context.Context, c *config.Config, settings aws.Config, log *zap.Logger) (_ *service, err error) {
	s := &service{cfg: c, log: log, id: workerID(), start: time.Now(), budget: delivery.NewBudget(c.Standpipe.MemoryLimit.Bytes())}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	limitMemory(c.Standpipe.MemoryLimit.Bytes(), log)
	codec, err := codecOf(c)
	if err != nil {
		return nil, err
	}
	keyer, err := keyerOf(c, codec)
	if err != nil {
		return nil, err
	}
	store, err := openStore(ctx, c, settings)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, store.Close)
	target, closeSink, err := openSink(c, settings)
	if err != nil {
		return nil, err
	}
	s.close = append(s.close, closeSink)
	client := kinesisClient(c, settings)
	s.close = append(s.close, func() error { client.Close(); return nil })
	s.registry = prometheus.NewRegistry()
	s.worker = delivery.NewWorker(settingsOf(c, s.id), delivery.Parts{
		Stream: delivery.Kinesis{Client: client}, Store: store, Sink: target, Keyer: keyer, Codec: codec,
		Slots: sink.NewSlots(0), Budget: s.budget, Logger: log, Registerer: s.registry,
	})
	s.store, s.sink, s.dest = store, target, target.Location()
	s.status, err = status.New(status.Config{
		Addr: c.Standpipe.StatusAddress, Registry: s.registry, Reporter: s, Health: s.worker, Build: build(), Logger: log,
	})
	return s, err
}

// Run delivers until ctx ends and everything taken is delivered. The status
// server answers to the last.
func (s *service) Run(ctx context.Context) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- s.status.Run(serving) }()
	saved := make(chan struct{})
	go func() { defer close(saved); saveMemory(serving) }()
	err := s.worker.Run(ctx)
	stop()
	<-saved
	return errors.Join(err, <-served)
}

// Close gives back what was opened, last first. After Run.
func (s *service) Close() error {
	var errs []error
	for i := len(s.close) - 1; i >= 0; i-- {
		errs = append(errs, s.close[i]())
	}
	return errors.Join(errs...)
}

// workerID is unique for each start of a process: a predecessor's leases are
// never taken for one's own.
func workerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:8])
}

// limitMemory tells the garbage collector where the process should stay, so
// that garbage does not double the budget. GOMEMLIMIT in the environment wins.
func limitMemory(budget int64, log *zap.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	const besides = 64 << 20 // code, stacks, connections, encoders
	debug.SetMemoryLimit(budget + besides)
	log.Debug("memory limit set", zap.Int64("bytes", budget+besides))
}

func openStore(ctx context.Context, c *config.Config, settings aws.Config) (checkpoint.Store, error) {
	switch c.Standpipe.Checkpoint.Type {
	case config.CheckpointMemory:
		return new(memory.Store), nil
	case config.CheckpointDynamoDB:
		table := tableOf(c, settings, c.Standpipe.Checkpoint.Table)
		store, err := dynamodb.Open(ctx, table)
		if err != nil {
			table.Close()
			return nil, err // never a Store that holds nothing
		}
		return store, nil
	}
	return embedded.Open(c.Standpipe.Checkpoint.Path)
}

// tableOf is a table in the stream's region, whatever the environment's: a KCL
// application has its own there too.
func tableOf(c *config.Config, settings aws.Config, name string) *dynamodb.Table {
	settings.Region = c.KinesisStreamSourceConfiguration.Region()
	if u := c.Standpipe.Endpoint.DynamoDB; u != "" {
		settings.BaseEndpoint = &u
	}
	return dynamodb.NewTable(settings, name)
}

// openSink opens the destination of a configuration and says how to close it.
func openSink(c *config.Config, settings aws.Config) (sink.Sink, func() error, error) {
	if dir := c.Standpipe.Folder; dir != "" {
		f, err := folder.Open(dir)
		if err != nil {
			return nil, nil, &standpipe.Error{
				Class: standpipe.Fatal, Op: "open the destination " + dir, Err: err,
				Hint: "Standpipe.Folder must name a folder this user may write",
			}
		}
		return f, f.Close, nil
	}
	nothing := func() error { return nil }
	return s3.New(bucketClient(c, settings), c.ExtendedS3DestinationConfiguration.Bucket(), s3.Options{}), nothing, nil
}

// kinesisClient reads the stream in its own region, whatever the environment's.
func kinesisClient(c *config.Config, settings aws.Config) *consumer.Client {
	limits := consumer.DefaultLimits()
	limits.MaxPerSecond = float64(c.Standpipe.MaxReadsPerSecond)
	return kinesisReader(c, settings, limits)
}

// kinesisReader is kinesisClient with a pace of its own.
func kinesisReader(c *config.Config, settings aws.Config, limits consumer.Limits) *consumer.Client {
	source := c.KinesisStreamSourceConfiguration
	settings.Region = source.Region()
	if u := c.Standpipe.Endpoint.Kinesis; u != "" {
		settings.BaseEndpoint = &u
	}
	stream := streamID(source, settings)
	return consumer.NewClient(settings, stream, consumer.WithLimits(limits), consumer.WithKinesisOptions(func(o *kinesis.Options) {
		o.ClientLogMode = 0 // never bodies
	}))
}

// streamID is what to call a stream: emulators know streams by name, and some
// don't know ARNs at all.
func streamID(source config.KinesisSource, settings aws.Config) string {
	if settings.BaseEndpoint != nil || os.Getenv("AWS_ENDPOINT_URL_KINESIS") != "" || os.Getenv("AWS_ENDPOINT_URL") != "" {
		return source.StreamName()
	}
	return source.KinesisStreamARN
}

// loadAWS reads the environment's AWS settings. region is used when the
// environment names none.
func loadAWS(ctx context.Context, flag, region string) (aws.Config, error) {
	settings, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(flag), awsconfig.WithDefaultRegion(region))
	if err != nil {
		return settings, &standpipe.Error{
			Class: standpipe.Fatal, Op: "load the AWS settings", Err: err,
			Hint: "look at AWS_PROFILE, AWS_CA_BUNDLE, ~/.aws/config and ~/.aws/credentials",
		}
	}
	return settings, nil
}

// newLogger writes JSON lines to standard error: one line per event, never a payload.
func newLogger(level string, out *console) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, usagef("--log-level %s: give debug, info, warn or error", level)
	}
	e := zap.NewProductionEncoderConfig()
	e.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(e), zapcore.AddSync(errorStream{out}), l)), nil
}

// errorStream shares standard error with the console's own lines.
type errorStream struct{ c *console }

func (s errorStream) Write(p []byte) (int, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.c.stderr.Write(p)
}
