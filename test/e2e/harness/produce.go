package harness

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/time/rate"
)

// The limits of one PutRecords (Kinesis API): 500 records and 5 MiB, partition
// keys included. The bytes kept back are for the keys.
const (
	putRecords = 500
	putBytes   = 5<<20 - 64<<10
)

// partitionKeys is how many partition keys take turns: enough for every shard
// of a test to get its share.
const partitionKeys = 64

// A Producer writes records into a stream, each exactly once unless Repeat.
type Producer struct {
	Stream *Stream
	// BytesPerSecond slows the producer down; 0 is as fast as it goes.
	BytesPerSecond int
	// Repeat says that the server may die under the producer: a request without
	// an answer is sent again, and a record may then be in the stream twice.
	// What the stream holds, not what was sent, is then the truth.
	Repeat bool

	next int // the next partition key
}

// Put writes the records in order, round robin over the partition keys.
// Entries the server refuses are sent again, behind those it took.
func (p *Producer) Put(ctx context.Context, records [][]byte) error {
	limiter := rate.NewLimiter(rate.Inf, putBytes)
	if p.BytesPerSecond > 0 {
		limiter = rate.NewLimiter(rate.Limit(p.BytesPerSecond), putBytes)
	}
	for len(records) > 0 {
		n, size := fill(records, p.chunk())
		if err := limiter.WaitN(ctx, size); err != nil {
			return fmt.Errorf("slow down to %d bytes a second: %w", p.BytesPerSecond, err)
		}
		entries := make([]types.PutRecordsRequestEntry, n)
		for i, data := range records[:n] {
			key := fmt.Sprintf("key-%02d", p.next%partitionKeys)
			entries[i] = types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(key)}
			p.next++
		}
		if err := p.send(ctx, entries); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// chunk is the largest request: a quarter of a second's worth when slowed
// down, so that records trickle instead of arriving in bursts.
func (p *Producer) chunk() int {
	if p.BytesPerSecond == 0 {
		return putBytes
	}
	return min(putBytes, max(p.BytesPerSecond/4, 64<<10))
}

// fill says how many records fit a request, at least one, and their size.
func fill(records [][]byte, limit int) (n, size int) {
	for n < len(records) && n < putRecords && (n == 0 || size+len(records[n]) <= limit) {
		size += len(records[n])
		n++
	}
	return n, size
}

// send repeats until every entry was taken, for 60 s at most.
func (p *Producer) send(ctx context.Context, entries []types.PutRecordsRequestEntry) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	var final error
	err := Poll(ctx, fmt.Sprintf("stream %s to take %d records", p.Stream.Name, len(entries)), func() error {
		out, err := p.Stream.Client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(p.Stream.Name), Records: entries})
		if err != nil {
			if refused(err) || p.Repeat {
				return err
			}
			final = fmt.Errorf("put %d records into %s: %w", len(entries), p.Stream.Name, err)
			return nil
		}
		entries = failed(entries, out.Records)
		if len(entries) > 0 {
			return fmt.Errorf("%d entries refused", len(entries))
		}
		return nil
	})
	return errors.Join(err, final)
}

// refused says that the server took nothing: the stream is being resharded or
// asks for less.
func refused(err error) bool {
	if _, ok := errors.AsType[*types.ResourceInUseException](err); ok {
		return true
	}
	_, ok := errors.AsType[*types.ProvisionedThroughputExceededException](err)
	return ok
}

// failed returns the entries whose result carries an error.
func failed(entries []types.PutRecordsRequestEntry, results []types.PutRecordsResultEntry) []types.PutRecordsRequestEntry {
	var again []types.PutRecordsRequestEntry
	for i, r := range results {
		if r.ErrorCode != nil {
			again = append(again, entries[i])
		}
	}
	return again
}
