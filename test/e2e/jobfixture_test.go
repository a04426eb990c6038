package e2e

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

const (
	// A flush of every shard in each round: 512 manifests with an object each.
	cutShards = 64
	cutRounds = 8
	cutLines  = 6 // of a shard in a round
)

// A cut archive is one of very many small flushes, and the stream it is from.
type cut struct {
	*stack
	stream  *harness.Stream
	archive *harness.Archive
}

// newCut lets the real binary deliver round after round. The next one is put
// when the last is visible, so that each flush has its own records.
func newCut(t *testing.T) *cut {
	t.Helper()
	server, _ := harness.StartOwnKinesis(t, program, "cut", cutShards)
	s := newStack(t, harness.Endpoints{
		Kinesis: server.Endpoint, S3: harness.StartVersitygw(t, t.TempDir()).Endpoint,
		Region: harness.Region, AccessKeyID: harness.AccessKey, SecretAccessKey: harness.SecretKey,
	})
	c := &cut{stack: s, stream: &harness.Stream{Name: "cut", Client: s.kinesis}}
	if err := c.stream.Active(limited(t, testLimit)); err != nil {
		t.Fatal(err)
	}
	d, a := s.deliver(t, c.stream, c.settings("cut"))
	c.archive = a
	p := d.Start(t)
	lines := harness.Numbered(t, 8<<20)[:cutShards*cutRounds*cutLines]
	var want harness.Lines
	for round := range cutRounds {
		part := lines[round*cutShards*cutLines:][:cutShards*cutLines]
		c.put(t, part)
		want.Merge(harness.Multiset(part))
		if err := a.Await(limited(t, deliverLimit), p, want.Digest.Lines); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, p, a, &want)
	if n := len(a.Keys()); n < cutShards*cutRounds {
		t.Fatalf("%d objects, want %d: flushes were joined", n, cutShards*cutRounds)
	}
	return c
}

// settings are those of a delivery of the stream into a bucket.
func (c *cut) settings(bucket string) harness.Settings {
	return harness.Settings{Name: "cut", Bucket: bucket, CompressionFormat: "GZIP", Prefix: "data/!{timestamp:yyyy/MM/dd/HH}/"}
}

// put gives each shard the same number of the lines.
func (c *cut) put(t *testing.T, lines [][]byte) {
	t.Helper()
	shards, err := c.stream.Open(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	var entries []types.PutRecordsRequestEntry
	for i, line := range lines {
		entries = append(entries, types.PutRecordsRequestEntry{
			Data: line, PartitionKey: aws.String("cut"),
			ExplicitHashKey: shards[i%len(shards)].HashKeyRange.StartingHashKey,
		})
	}
	out, err := c.stream.Client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &c.stream.Name, Records: entries})
	if err != nil || aws.ToInt32(out.FailedRecordCount) > 0 {
		t.Fatalf("put %d records: %v, %+v", len(entries), err, out)
	}
}

// copied is the archive in a bucket of its own, but for the data objects that
// leave says, and the delivery that could have written it.
func (c *cut) copied(t *testing.T, bucket string, leave func(n int, key string) bool) *harness.Delivery {
	t.Helper()
	d, _ := c.deliver(t, c.stream, c.settings(bucket))
	source := &harness.Archive{Client: c.s3, Bucket: c.archive.Bucket}
	keys, err := source.List(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(limited(t, testLimit))
	group.SetLimit(8)
	n := 0
	for _, key := range keys {
		if strings.HasPrefix(key, "data/") {
			if n++; leave(n, key) {
				continue
			}
		}
		group.Go(func() error {
			body, err := source.Get(ctx, key)
			if err != nil {
				return err
			}
			return c.upload(ctx, bucket, key, body)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return d
}

// theirs fills a bucket with what another deliverer would have made of the
// same stream: other names, no compression, here a line that is missing and
// there one that is doubled.
func (c *cut) theirs(t *testing.T, bucket string) (missing, doubled int) {
	t.Helper()
	harness.CreateBucket(t, c.s3, bucket)
	for n, key := range c.archive.Keys() {
		text, _ := c.archive.Text(key)
		lines := linesOf(text)
		switch n % 40 {
		case 7:
			lines = lines[1:]
			missing++
		case 21:
			lines = append(lines, lines[0])
			doubled++
		}
		// The same time in the name: data/2026/11/22/10/cut-1-2026-11-22-10-….gz
		hour, name := path.Split(key)
		name = hour + "class-firehose" + strings.TrimSuffix(strings.TrimPrefix(name, c.stream.Name), ".gz")
		if err := c.upload(t.Context(), bucket, name, append(bytes.Join(lines, []byte("\n")), '\n')); err != nil {
			t.Fatal(err)
		}
	}
	return missing, doubled
}

// upload puts an object as it is.
func (s *stack) upload(ctx context.Context, bucket, key string, body []byte) error {
	_, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body)})
	if err != nil {
		return fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}
