package harness

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// A Load writes numbered lines into a stream at a steady rate until it is
// stopped, and its ledger remembers what the stream took.
type Load struct {
	Stream         *Stream
	Ledger         *Ledger
	BytesPerSecond int

	stop  chan struct{}
	once  sync.Once
	group *errgroup.Group
	begun time.Time
}

const (
	loadSenders = 4 // each owns every fourth key, so a key's records are sent one after the other
	loadRequest = 1 << 20
)

// Start begins. The load ends with ctx, which is an error, or by Stop.
func (l *Load) Start(ctx context.Context) {
	l.stop, l.begun = make(chan struct{}), time.Now()
	l.group, ctx = errgroup.WithContext(ctx)
	limiter := rate.NewLimiter(rate.Limit(l.BytesPerSecond), 2*loadRequest)
	for i := range loadSenders {
		s := &sender{load: l, first: i, random: rand.New(rand.NewPCG(uint64(i), 3))}
		l.group.Go(func() error { return s.run(ctx, limiter) })
	}
}

// Stop ends the load after the requests under way and says what came of it:
// the figure of the rate is what the machine could do, not what was asked for.
func (l *Load) Stop() (string, error) {
	l.once.Do(func() { close(l.stop) })
	err := l.group.Wait()
	if left := l.Ledger.unacknowledged(3); err == nil && len(left) > 0 {
		err = fmt.Errorf("the stream did not take %v", left)
	}
	lines, size := l.Ledger.Acknowledged()
	took := time.Since(l.begun)
	return fmt.Sprintf("%d lines, %.0f MB in %.0f s: %.1f MB/s of %.1f asked for",
		lines, float64(size)/1e6, took.Seconds(), float64(size)/1e6/took.Seconds(), float64(l.BytesPerSecond)/1e6), err
}

type sender struct {
	load   *Load
	first  int // its keys are first, first+loadSenders, …
	turn   int
	random *rand.Rand
}

// A parcel is one request and what the ledger needs to know of each record.
type parcel struct {
	entries []types.PutRecordsRequestEntry
	notes   []note
	size    int
}

type note struct{ key, index, lines, size int }

func (s *sender) run(ctx context.Context, limiter *rate.Limiter) error {
	for {
		select {
		case <-s.load.stop:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		p := s.parcel()
		if err := limiter.WaitN(ctx, p.size); err != nil {
			return fmt.Errorf("slow down to %d bytes a second: %w", s.load.BytesPerSecond, err)
		}
		if err := s.send(ctx, p); err != nil {
			return err
		}
	}
}

// parcel packs a tenth of a second's worth, so that records trickle.
func (s *sender) parcel() parcel {
	var p parcel
	limit := min(loadRequest, max(s.load.BytesPerSecond/loadSenders/10, 8<<10))
	for p.size < limit && len(p.entries) < putRecords {
		keys := len(s.load.Ledger.accounts)
		key := (s.first + s.turn*loadSenders) % keys
		s.turn++
		data, n := s.record(key)
		p.entries = append(p.entries, types.PutRecordsRequestEntry{
			Data: data, PartitionKey: aws.String(fmt.Sprintf("key-%d", key)), ExplicitHashKey: aws.String(hashKey(key, keys)),
		})
		p.notes = append(p.notes, n)
		p.size += n.size
	}
	return p
}

// record is one to twenty lines of a key with the line ends producers write.
func (s *sender) record(key int) ([]byte, note) {
	lines := 1
	if s.random.IntN(3) > 0 {
		lines += s.random.IntN(20)
	}
	first, index := s.load.Ledger.take(key, lines)
	end := [...]string{"\n", "\r\n", "\n\n"}[s.random.IntN(3)]
	var data []byte
	for i := range lines {
		data = s.load.Ledger.AppendLine(data, key, first+uint32(i))
		if i < lines-1 || s.random.IntN(2) == 0 {
			data = append(data, end...)
		}
	}
	return data, note{key, index, lines, len(data)}
}

// send repeats until the stream took every record. An answer that does not
// come is the end: whether its records are in the stream nobody knows, and
// this load promises to know.
func (s *sender) send(ctx context.Context, p parcel) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	stream := s.load.Stream
	var final error
	err := Poll(ctx, fmt.Sprintf("stream %s to take %d records", stream.Name, len(p.entries)), func() error {
		out, err := stream.Client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(stream.Name), Records: p.entries})
		if err != nil {
			if refused(err) {
				return err
			}
			final = fmt.Errorf("put %d records into %s: %w", len(p.entries), stream.Name, err)
			return nil
		}
		if p, final = s.acknowledge(p, out.Records); final != nil || len(p.entries) == 0 {
			return nil
		}
		return fmt.Errorf("%d entries refused", len(p.entries))
	})
	return errors.Join(err, final)
}

// acknowledge notes what was taken and returns the rest.
func (s *sender) acknowledge(p parcel, results []types.PutRecordsResultEntry) (rest parcel, err error) {
	for i, r := range results {
		if r.ErrorCode != nil {
			rest.entries, rest.notes = append(rest.entries, p.entries[i]), append(rest.notes, p.notes[i])
			continue
		}
		n := p.notes[i]
		if err := s.load.Ledger.acknowledge(n.key, n.index, n.lines, n.size, *r.ShardId, *r.SequenceNumber); err != nil {
			return rest, err
		}
	}
	return rest, nil
}

// hashKey spreads the keys evenly over the hash keys, so that every shard of
// equal width gets the same load: MD5 of so few keys would not.
func hashKey(key, keys int) string {
	n := new(big.Int).Lsh(big.NewInt(int64(2*key+1)), 128)
	return n.Div(n, big.NewInt(int64(2*keys))).String()
}
