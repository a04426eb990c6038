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
)

// A Stream is a Kinesis stream as a target.
type Stream struct {
	client    *kinesis.Client
	name, arn *string
	recordMax int
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
	entries := make([]types.PutRecordsRequestEntry, len(batch))
	for i := range batch {
		entries[i] = types.PutRecordsRequestEntry{Data: batch[i].Data, PartitionKey: &batch[i].Key}
	}
	out, err := s.client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: s.name, StreamARN: s.arn, Records: entries})
	if err != nil {
		if slices.Contains(refusals, awsclient.Code(err)) {
			return nil, &Refusal{Reason: awsclient.Classify(s.String()+" refused", err).Error()}
		}
		return nil, awsclient.Classify("put records into "+s.String(), err)
	}
	if len(out.Records) != len(batch) {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "put records into " + s.String(),
			Err: fmt.Errorf("%d results for %d records", len(out.Records), len(batch)),
		}
	}
	results := make([]error, len(batch))
	for i, r := range out.Records {
		results[i] = entryError(aws.ToString(r.ErrorCode), aws.ToString(r.ErrorMessage))
	}
	return results, nil
}

// entryError reads the result of one record. The API knows two codes, both of
// which a repeat may heal; any other is about the record.
func entryError(code, message string) error {
	switch code {
	case "":
		return nil
	case "ProvisionedThroughputExceededException":
		return &standpipe.Error{Class: standpipe.Throttled, Op: "put record", Err: errors.New(code)}
	case "InternalFailure":
		return &standpipe.Error{Class: standpipe.Retryable, Op: "put record", Err: errors.New(code)}
	}
	return &Refusal{Reason: code + ": " + message}
}
