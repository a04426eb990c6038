package sdk

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

const shard0 = "shardId-000000000000"

// A goSession is what the other sessions are, in Go.
type goSession struct {
	t      *testing.T
	ctx    context.Context
	client *kinesis.Client
	stream *string
}

// The SDK for Go speaks JSON, here over TLS with HTTP/2.
func TestTheSDKForGoCannotTellItFromKinesis(t *testing.T) {
	t.Parallel()
	cert := filepath.Join(t.TempDir(), "cert.pem")
	s := serve(t, "--tls", "--cert", cert, "--signed")
	ctx, cancel := context.WithTimeout(t.Context(), sessionLimit)
	defer cancel()
	g := &goSession{t: t, ctx: ctx, client: goClient(t, s, cert), stream: aws.String("session-go")}
	g.run()
}

func goClient(t *testing.T, s server, cert string) *kinesis.Client {
	t.Helper()
	if s.admin == "" {
		cfg, err := config.LoadDefaultConfig(t.Context(), config.WithBaseEndpoint(s.url))
		if err != nil {
			t.Fatal(err)
		}
		return kinesis.NewFromConfig(cfg)
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	web := awshttp.NewBuildableClient().WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		tr.ForceAttemptHTTP2 = true
	})
	return kinesis.New(kinesis.Options{
		Region: harness.Region, BaseEndpoint: &s.url, HTTPClient: web,
		Credentials: credentials.NewStaticCredentialsProvider(harness.AccessKey, harness.SecretKey, ""),
	})
}

func (g *goSession) check(err error, what string) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("%s: %v", what, err)
	}
}

func (g *goSession) settled() *types.StreamDescriptionSummary {
	g.t.Helper()
	var out *types.StreamDescriptionSummary
	err := harness.Poll(g.ctx, "an ACTIVE stream", func() error {
		d, err := g.client.DescribeStreamSummary(g.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: g.stream})
		if err != nil {
			return err
		}
		if out = d.StreamDescriptionSummary; out.StreamStatus != types.StreamStatusActive {
			return fmt.Errorf("the stream is %s", out.StreamStatus)
		}
		return nil
	})
	g.check(err, "wait")
	return out
}

func (g *goSession) run() {
	t := g.t
	_, err := g.client.CreateStream(g.ctx, &kinesis.CreateStreamInput{StreamName: g.stream, ShardCount: aws.Int32(2)})
	g.check(err, "create")
	_, err = g.client.CreateStream(g.ctx, &kinesis.CreateStreamInput{StreamName: g.stream, ShardCount: aws.Int32(2)})
	if _, ok := errors.AsType[*types.ResourceInUseException](err); !ok {
		t.Errorf("creating it again: %v", err)
	}
	summary := g.settled()

	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	wanted := []string{string(every)}
	entries := []types.PutRecordsRequestEntry{{PartitionKey: aws.String("é😀"), ExplicitHashKey: aws.String("0"), Data: every}}
	for i := range 200 {
		wanted = append(wanted, fmt.Sprint("record ", i))
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprint("key-", i)), Data: fmt.Append(nil, "record ", i)})
	}
	put, err := g.client.PutRecords(g.ctx, &kinesis.PutRecordsInput{StreamName: g.stream, Records: entries})
	g.check(err, "put")
	if *put.FailedRecordCount != 0 {
		t.Fatalf("%d records failed", *put.FailedRecordCount)
	}

	fan := g.fanOut(*summary.StreamARN)
	g.settled()
	_, err = g.client.MergeShards(g.ctx, &kinesis.MergeShardsInput{
		StreamName: g.stream, ShardToMerge: aws.String("shardId-000000000002"), AdjacentShardToMerge: aws.String("shardId-000000000003"),
	})
	g.check(err, "merge")
	g.settled()

	shards, err := g.client.ListShards(g.ctx, &kinesis.ListShardsInput{StreamName: g.stream})
	g.check(err, "list")
	var got []string
	for _, shard := range shards.Shards {
		seen := g.poll(shard)
		for _, r := range seen {
			got = append(got, string(r.Data))
		}
		if *shard.ShardId == shard0 && !slices.EqualFunc(seen, fan, func(a, b types.Record) bool {
			return *a.SequenceNumber == *b.SequenceNumber && bytes.Equal(a.Data, b.Data) && *a.PartitionKey == *b.PartitionKey
		}) {
			t.Errorf("fan-out saw %d records, polling %d", len(fan), len(seen))
		}
	}
	slices.Sort(got)
	slices.Sort(wanted)
	if !slices.Equal(got, wanted) {
		t.Errorf("read %d records, put %d", len(got), len(wanted))
	}
	_, err = g.client.DeleteStream(g.ctx, &kinesis.DeleteStreamInput{StreamName: g.stream, EnforceConsumerDeletion: aws.Bool(true)})
	g.check(err, "delete")
}

// fanOut subscribes to the first shard, splits it after the first event and
// reads to its end.
func (g *goSession) fanOut(stream string) []types.Record {
	g.t.Helper()
	made, err := g.client.RegisterStreamConsumer(g.ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: &stream, ConsumerName: aws.String("fan")})
	g.check(err, "register")
	err = harness.Poll(g.ctx, "an ACTIVE consumer", func() error {
		d, err := g.client.DescribeStreamConsumer(g.ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: made.Consumer.ConsumerARN})
		if err == nil && d.ConsumerDescription.ConsumerStatus != types.ConsumerStatusActive {
			err = fmt.Errorf("the consumer is %s", d.ConsumerDescription.ConsumerStatus)
		}
		return err
	})
	g.check(err, "wait")
	var seen []types.Record
	position := &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
	for {
		out, err := g.client.SubscribeToShard(g.ctx, &kinesis.SubscribeToShardInput{ConsumerARN: made.Consumer.ConsumerARN, ShardId: aws.String(shard0), StartingPosition: position})
		g.check(err, "subscribe")
		events := out.GetStream()
		for e := range events.Events() {
			event := e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
			seen = append(seen, event.Records...)
			if position.Type == types.ShardIteratorTypeTrimHorizon {
				_, err := g.client.SplitShard(g.ctx, &kinesis.SplitShardInput{StreamName: g.stream, ShardToSplit: aws.String(shard0), NewStartingHashKey: aws.String("1000")})
				g.check(err, "split")
			}
			if len(event.ChildShards) > 0 {
				g.check(events.Close(), "close")
				return seen
			}
			position = &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: event.ContinuationSequenceNumber}
		}
		g.check(events.Err(), "read events")
		g.check(events.Close(), "close")
	}
}

// poll reads a shard to its end, or to the tip of an open one.
func (g *goSession) poll(shard types.Shard) (seen []types.Record) {
	g.t.Helper()
	ended := shard.SequenceNumberRange.EndingSequenceNumber != nil
	it, err := g.client.GetShardIterator(g.ctx, &kinesis.GetShardIteratorInput{StreamName: g.stream, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	g.check(err, "iterator")
	for next := it.ShardIterator; ; {
		page, err := g.client.GetRecords(g.ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(50)})
		g.check(err, "get")
		seen = append(seen, page.Records...)
		for _, r := range page.Records {
			if d := time.Since(*r.ApproximateArrivalTimestamp); d.Abs() > time.Minute {
				g.t.Errorf("%s arrived %v ago", *r.SequenceNumber, d)
			}
		}
		if next = page.NextShardIterator; next == nil {
			if !ended || len(page.ChildShards) == 0 {
				g.t.Errorf("%s ended with children %v", *shard.ShardId, page.ChildShards)
			}
			return seen
		}
		if *page.MillisBehindLatest == 0 && len(page.Records) == 0 {
			if ended {
				g.t.Errorf("%s has ended and goes on", *shard.ShardId)
			}
			return seen
		}
	}
}
