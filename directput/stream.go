package directput

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe/internal/backoff"
)

// patience is how long records that Kinesis refused are tried again before the
// producer is told to slow down. Producers wait longer than that for an answer
// (boto3 60 s), and a shard's budget is counted in single seconds.
const patience = 5 * time.Second

// callTimeout bounds one PutRecords: 4 MiB at 200 KB/s, and the answer.
const callTimeout = 30 * time.Second

// waits are those between tries.
var waits = backoff.Policy{Min: 50 * time.Millisecond, Max: time.Second}

// A DeliveryStream is a name that producers put to and the Kinesis stream that
// their records go to.
type DeliveryStream struct {
	Name, Region, Account string
	// Stream is the Kinesis stream, by name or ARN.
	Stream string
	// Client tries each call once and must not retry by itself: a repeat of a
	// request whose answer was lost stores its records twice.
	Client *kinesis.Client
	// Destination is what DescribeDeliveryStream tells.
	Destination Destination
}

func (d *DeliveryStream) arn() string {
	return "arn:aws:firehose:" + d.Region + ":" + d.Account + ":deliverystream/" + d.Name
}

// fate is what became of a record.
type fate int

const (
	stored    fate = iota // Kinesis has it, where id says
	throttled             // Kinesis refused it until patience ended: not stored
	refused               // Kinesis can't be reached or says no for another reason: not stored
	unknown               // no answer, or one that tells nothing: stored or not
)

var fates = []string{stored: "stored", throttled: "throttled", refused: "refused", unknown: "unknown"}

// An outcome is the fate of one record. Only a stored one has an id.
type outcome struct {
	fate fate
	id   string
}

// A batch is records on their way into the stream.
type batch struct {
	entries  []types.PutRecordsRequestEntry
	outcomes []outcome
	// encrypted says that the stream is, as far as an answer told.
	encrypted bool
	// cause is the last thing that went wrong, for the log.
	cause error
	// repeated counts entries sent again.
	repeated int
}

// newBatch gives each record a random partition key: records of Direct PUT have
// no order and no key of their own, so all shards get the same share.
func newBatch(records [][]byte) *batch {
	b := &batch{
		entries:  make([]types.PutRecordsRequestEntry, len(records)),
		outcomes: make([]outcome, len(records)),
	}
	for i, data := range records {
		b.entries[i] = types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(rand.Text())}
	}
	return b
}

// A putter puts batches. Safe for concurrent use.
type putter struct {
	patience time.Duration

	mu  sync.Mutex
	rnd *mathrand.Rand // guarded by mu: spreads the waits
}

// put stores a batch: it sends again what Kinesis says it has not stored, and
// only that, until patience or ctx ends. A call under way outlives ctx: what it
// stored should be known.
func (p *putter) put(ctx context.Context, d *DeliveryStream, b *batch) {
	rest := make([]int, len(b.entries))
	for i := range rest {
		rest[i] = i
	}
	began := time.Now()
	for failures := 1; ; failures++ {
		rest = p.try(ctx, d, b, rest)
		if len(rest) == 0 {
			return
		}
		wait := p.wait(failures)
		if time.Since(began)+wait > p.patience || backoff.Sleep(ctx, wait) != nil {
			return
		}
		b.repeated += len(rest)
	}
}

// try sends the entries of the given indices once, notes what became of them,
// and returns those that are worth another try.
func (p *putter) try(ctx context.Context, d *DeliveryStream, b *batch, indices []int) (again []int) {
	in := &kinesis.PutRecordsInput{Records: make([]types.PutRecordsRequestEntry, len(indices))}
	for n, i := range indices {
		in.Records[n] = b.entries[i]
	}
	in.StreamName, in.StreamARN = name(d.Stream)
	one, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	out, err := d.Client.PutRecords(one, in)
	if err == nil && len(out.Records) != len(indices) {
		err = fmt.Errorf("%d results for %d records", len(out.Records), len(indices))
	}
	if err != nil {
		b.cause = fmt.Errorf("put records into %s: %w", d.Stream, err)
		f := fateOf(err)
		for _, i := range indices {
			b.outcomes[i] = outcome{fate: f}
		}
		if f == throttled || isDial(err) {
			return indices
		}
		return nil
	}
	b.encrypted = out.EncryptionType == types.EncryptionTypeKms
	for n, i := range indices {
		r := out.Records[n]
		switch code := aws.ToString(r.ErrorCode); {
		case code == "" && r.SequenceNumber != nil && r.ShardId != nil:
			b.outcomes[i] = outcome{fate: stored, id: *r.ShardId + ":" + *r.SequenceNumber}
			continue
		case code == "":
			b.outcomes[i] = outcome{fate: unknown}
			b.cause = errors.New("an answer of Kinesis has neither a sequence number nor an error")
			continue
		case code == "ProvisionedThroughputExceededException" || code == "KMSThrottlingException":
			b.outcomes[i] = outcome{fate: throttled}
		default:
			b.outcomes[i] = outcome{fate: refused}
		}
		b.cause = fmt.Errorf("put record into %s: %s: %s", d.Stream, aws.ToString(r.ErrorCode), aws.ToString(r.ErrorMessage))
		again = append(again, i)
	}
	return again
}

func (p *putter) wait(failures int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return waits.Delay(failures, p.rnd)
}

func name(stream string) (name, arn *string) {
	if len(stream) > 4 && stream[:4] == "arn:" {
		return nil, &stream
	}
	return &stream, nil
}

// isDial says that no connection was made, so nothing can be stored.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
