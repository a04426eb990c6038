// Command plain is the program most people write first: GetRecords of the SDK
// in a loop for each shard, a bufio.Scanner over each record, compress/gzip
// into a buffer, PutObject when that has taken enough. It is what a benchmark
// compares standpipe with. It remembers no position and promises nothing.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

type program struct {
	kinesis *kinesis.Client
	s3      *s3.Client
	stream  string
	bucket  string
	level   int
	buffer  int
	limit   float64
}

func main() {
	var p program
	flag.StringVar(&p.stream, "stream", "bench", "stream to read")
	flag.StringVar(&p.bucket, "bucket", "bench", "bucket to write to")
	flag.IntVar(&p.level, "level", 1, "level of compress/gzip")
	flag.IntVar(&p.buffer, "buffer", 16<<20, "bytes of an object before compression")
	flag.Float64Var(&p.limit, "limit", 2<<20, "bytes a second to read from each shard, Kinesis's quota; 0 reads without rest")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
}

func (p *program) run(ctx context.Context) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	p.kinesis = kinesis.NewFromConfig(cfg)
	p.s3 = s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	listed, err := p.kinesis.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &p.stream})
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	failures := make(chan error, len(listed.Shards))
	for _, shard := range listed.Shards {
		group.Go(func() { failures <- p.shard(ctx, *shard.ShardId) })
	}
	group.Wait()
	close(failures)
	for err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// shard archives one shard until ctx ends, then what is left.
func (p *program) shard(ctx context.Context, id string) error {
	it, err := p.kinesis.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: &p.stream, ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		return err
	}
	o := &object{program: p, shard: id}
	if err := o.begin(); err != nil {
		return err
	}
	iterator := it.ShardIterator
	for ctx.Err() == nil {
		sent := time.Now()
		page, err := p.kinesis.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		before := o.raw
		for _, r := range page.Records {
			if err := o.add(r.Data); err != nil {
				return err
			}
		}
		rest := time.Second
		if len(page.Records) > 0 && p.limit > 0 {
			rest = time.Duration(float64(o.raw-before) / p.limit * float64(time.Second))
		} else if len(page.Records) > 0 {
			rest = 0
		}
		if o.raw >= p.buffer {
			if err := o.put(ctx); err != nil {
				return err
			}
		}
		iterator = page.NextShardIterator
		wait(ctx, time.Until(sent.Add(rest)))
	}
	if o.raw == 0 {
		return nil
	}
	return o.put(context.WithoutCancel(ctx))
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// An object is what one shard has open.
type object struct {
	program *program
	shard   string
	n       int
	body    bytes.Buffer
	gzip    *gzip.Writer
	raw     int
}

func (o *object) begin() (err error) {
	o.gzip, err = gzip.NewWriterLevel(&o.body, o.program.level)
	return err
}

func (o *object) add(data []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		o.raw += len(lines.Bytes()) + 1
		if _, err := o.gzip.Write(append(lines.Bytes(), '\n')); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (o *object) put(ctx context.Context) error {
	if err := o.gzip.Close(); err != nil {
		return err
	}
	o.n++
	_, err := o.program.s3.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &o.program.bucket, Key: aws.String(fmt.Sprintf("data/%s-%d.gz", o.shard, o.n)), Body: bytes.NewReader(o.body.Bytes()),
	})
	o.body.Reset()
	o.gzip.Reset(&o.body)
	o.raw = 0
	return err
}
