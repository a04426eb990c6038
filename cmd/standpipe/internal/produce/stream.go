package produce

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/awsclient"
)

// The limits of PutRecords (API reference). A request may hold 10 MiB; half of
// it keeps a repeat short and the shard's 1 MiB/s from refusing most of it.
const (
	putRecordsMax = 500
	putBytesMax   = 5 << 20
	// recordMaxDefault is the record size of a stream nobody changed, 1,024 KiB.
	recordMaxDefault = 1 << 20
	// shardsShown bounds the shards an error names.
	shardsShown = 10
)

// A Stream is a Kinesis stream as a target.
type Stream struct {
	// Aggregate packs records into KPL aggregates. Set it before Send.
	Aggregate bool

	client    *kinesis.Client
	name, arn *string
	recordMax int
	hashKey   *string // of every record, nil unless aimed at one shard
}

// OpenStream asks for the stream, by name or ARN, so that a wrong name is an
// error before the first record. Credentials that may write and not describe
// are fine: the record size is then taken to be the default.
func OpenStream(ctx context.Context, client *kinesis.Client, nameOrARN string) (*Stream, error) {
	s := &Stream{client: client, recordMax: recordMaxDefault}
	if strings.HasPrefix(nameOrARN, "arn:") {
		s.arn = aws.String(nameOrARN)
	} else {
		s.name = aws.String(nameOrARN)
	}
	out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: s.name, StreamARN: s.arn})
	if err != nil {
		code := awsclient.Code(err)
		err = awsclient.Classify("describe "+s.String(), err)
		if code == "" || code == "ValidationException" || standpipe.ClassOf(err) == standpipe.NotFound {
			return nil, err
		}
		return s, nil
	}
	if d := out.StreamDescriptionSummary; d != nil && d.MaxRecordSizeInKiB != nil && *d.MaxRecordSizeInKiB > 0 {
		s.recordMax = int(*d.MaxRecordSizeInKiB) << 10
	}
	return s, nil
}

// Aim sends every record to one shard, whatever its key says: a hot shard. Errors
// name the shards there are.
func (s *Stream) Aim(ctx context.Context, shard string) error {
	in := &kinesis.ListShardsInput{StreamName: s.name, StreamARN: s.arn}
	var open []string
	for {
		page, err := s.client.ListShards(ctx, in)
		if err != nil {
			return awsclient.Classify("list the shards of "+s.String(), err)
		}
		for _, found := range page.Shards {
			if found.SequenceNumberRange != nil && found.SequenceNumberRange.EndingSequenceNumber != nil {
				continue // closed
			}
			if id := aws.ToString(found.ShardId); id == shard {
				s.hashKey = found.HashKeyRange.StartingHashKey
				return nil
			} else if len(open) < shardsShown {
				open = append(open, id)
			}
		}
		if page.NextToken == nil {
			return &standpipe.Error{
				Class: standpipe.NotFound, Op: "aim at shard " + shard, Err: errors.New("no such open shard"),
				Hint: "--hot-shard takes one of " + strings.Join(open, ", "),
			}
		}
		in = &kinesis.ListShardsInput{NextToken: page.NextToken}
	}
}

// RecordMax is the largest record of the stream, data and key, in bytes.
func (s *Stream) RecordMax() int { return s.recordMax }

// Limits are those of PutRecords.
func (s *Stream) Limits() (records, bytes int) { return putRecordsMax, putBytesMax }

func (s *Stream) String() string {
	if s.arn != nil {
		return "stream " + *s.arn
	}
	return "stream " + *s.name
}

// refusals are the codes that speak of the content of a request.
var refusals = []string{"ValidationException", "InvalidArgumentException", "SerializationException"}

// Send is one PutRecords.
func (s *Stream) Send(ctx context.Context, batch []Record) ([]error, error) {
	bundles := single(batch)
	if s.Aggregate {
		bundles = pack(batch)
	}
	entries := make([]types.PutRecordsRequestEntry, len(bundles))
	for i, b := range bundles {
		entries[i] = b.entry
		entries[i].ExplicitHashKey = s.hashKey
	}
	out, err := s.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: s.name, StreamARN: s.arn, Records: entries})
	if err != nil {
		if slices.Contains(refusals, awsclient.Code(err)) {
			return nil, &Refusal{Reason: awsclient.Classify(s.String()+" refused", err).Error()}
		}
		return nil, awsclient.Classify("put records into "+s.String(), err)
	}
	if len(out.Records) != len(entries) {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "put records into " + s.String(),
			Err: fmt.Errorf("%d results for %d records", len(out.Records), len(entries)),
		}
	}
	results := make([]error, len(batch))
	for n, r := range out.Records {
		err := entryError(r)
		for _, i := range bundles[n].records {
			results[i] = err
		}
	}
	return results, nil
}

// entryError reads the result of one record. The API knows two codes, both of
// which a repeat may heal; any other is about the record. Without a code there
// is a sequence number, or it is not Kinesis's result.
func entryError(r types.PutRecordsResultEntry) error {
	switch code := aws.ToString(r.ErrorCode); {
	case code == "" && r.SequenceNumber != nil:
		return nil
	case code == "":
		return &standpipe.Error{Class: standpipe.Retryable, Op: "put record", Err: errors.New("the answer has neither a sequence number nor an error")}
	case code == "ProvisionedThroughputExceededException":
		return &standpipe.Error{Class: standpipe.Throttled, Op: "put record", Err: errors.New(code)}
	case code == "InternalFailure":
		return &standpipe.Error{Class: standpipe.Retryable, Op: "put record", Err: errors.New(code)}
	}
	return &Refusal{Reason: *r.ErrorCode + ": " + aws.ToString(r.ErrorMessage)}
}
