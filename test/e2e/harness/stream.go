package harness

import (
	"context"
	"fmt"
	"sort"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// A Stream is a stream under test.
type Stream struct {
	Name   string
	ARN    string // as the server calls it: accounts differ between servers
	Client *kinesis.Client
}

// CreateStream makes a stream and waits until it is ACTIVE.
func CreateStream(t testing.TB, client *kinesis.Client, name string, shards int32) *Stream {
	t.Helper()
	s := &Stream{Name: name, Client: client}
	_, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(name), ShardCount: aws.Int32(shards)})
	if err != nil {
		t.Fatalf("create stream %s: %v", name, err)
	}
	if err := s.Active(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// Active waits, 30 s at most, until the stream takes requests again.
func (s *Stream) Active(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return Poll(ctx, fmt.Sprintf("stream %s to become ACTIVE", s.Name), func() error {
		out, err := s.Client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(s.Name)})
		if err != nil {
			return err
		}
		if status := out.StreamDescriptionSummary.StreamStatus; status != types.StreamStatusActive {
			return fmt.Errorf("it is %s", status)
		}
		s.ARN = aws.ToString(out.StreamDescriptionSummary.StreamARN)
		return nil
	})
}

// Shards lists every shard still known, closed ones too, ordered by id.
func (s *Stream) Shards(ctx context.Context) ([]types.Shard, error) {
	var shards []types.Shard
	in := &kinesis.ListShardsInput{StreamName: aws.String(s.Name)}
	for {
		out, err := s.Client.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the shards of %s: %w", s.Name, err)
		}
		shards = append(shards, out.Shards...)
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
	sort.Slice(shards, func(i, j int) bool { return *shards[i].ShardId < *shards[j].ShardId })
	return shards, nil
}

// Open lists the shards that still take records.
func (s *Stream) Open(ctx context.Context) ([]types.Shard, error) {
	shards, err := s.Shards(ctx)
	if err != nil {
		return nil, err
	}
	var open []types.Shard
	for _, sh := range shards {
		if sh.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, sh)
		}
	}
	return open, nil
}

// Records returns the data of every record of a shard in order, read from its
// horizon until the shard ends or an empty page says that nothing is behind
// (kinesalite says so with every page, hence the empty one).
func (s *Stream) Records(ctx context.Context, shard string) ([][]byte, error) {
	it, err := s.Client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: aws.String(s.Name), ShardId: aws.String(shard), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		return nil, fmt.Errorf("get an iterator for %s of %s: %w", shard, s.Name, err)
	}
	var records [][]byte
	for next := it.ShardIterator; next != nil; {
		page, err := s.page(ctx, next)
		if err != nil {
			return nil, fmt.Errorf("read %s of %s after %d records: %w", shard, s.Name, len(records), err)
		}
		for _, r := range page.Records {
			records = append(records, r.Data)
		}
		if len(page.Records) == 0 && aws.ToInt64(page.MillisBehindLatest) == 0 {
			break
		}
		next = page.NextShardIterator
	}
	return records, nil
}

// page is one GetRecords, repeated while the server asks for patience.
// Reading twice does no harm.
func (s *Stream) page(ctx context.Context, iterator *string) (*kinesis.GetRecordsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	var page *kinesis.GetRecordsOutput
	err := Poll(ctx, "a page", func() error {
		out, err := s.Client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		page = out
		return err
	})
	return page, err
}

// Contents returns the records of every shard, by shard id.
func (s *Stream) Contents(ctx context.Context) (map[string][][]byte, error) {
	shards, err := s.Shards(ctx)
	if err != nil {
		return nil, err
	}
	contents := map[string][][]byte{}
	for _, sh := range shards {
		if contents[*sh.ShardId], err = s.Records(ctx, *sh.ShardId); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// Split divides an open shard in the middle of its hash keys.
func (s *Stream) Split(ctx context.Context, shard types.Shard) error {
	middle, err := middle(*shard.HashKeyRange.StartingHashKey, *shard.HashKeyRange.EndingHashKey)
	if err != nil {
		return err
	}
	_, err = s.Client.SplitShard(ctx, &kinesis.SplitShardInput{
		StreamName: aws.String(s.Name), ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String(middle),
	})
	if err != nil {
		return fmt.Errorf("split %s of %s: %w", *shard.ShardId, s.Name, err)
	}
	return s.Active(ctx)
}

// Merge joins the first two open shards whose hash keys are neighbours.
func (s *Stream) Merge(ctx context.Context) error {
	open, err := s.Open(ctx)
	if err != nil {
		return err
	}
	return s.MergeOf(ctx, open)
}

// MergeOf joins the first two of these open shards whose hash keys are
// neighbours.
func (s *Stream) MergeOf(ctx context.Context, open []types.Shard) error {
	a, b, err := neighbours(open)
	if err != nil {
		return fmt.Errorf("merge shards of %s: %w", s.Name, err)
	}
	_, err = s.Client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: aws.String(s.Name), ShardToMerge: a.ShardId, AdjacentShardToMerge: b.ShardId})
	if err != nil {
		return fmt.Errorf("merge %s and %s of %s: %w", *a.ShardId, *b.ShardId, s.Name, err)
	}
	return s.Active(ctx)
}
