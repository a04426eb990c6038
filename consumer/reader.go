package consumer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe"
)

// A Start is where a shard's reading begins.
type Start struct {
	// Position is TRIM_HORIZON, LATEST, AT_TIMESTAMP, or a sequence number:
	// everything up to and including that record is done.
	Position standpipe.Position
	// Time goes with AT_TIMESTAMP. A time ahead of Kinesis's clock starts at
	// LATEST, see Page.FromLatest; one older than the retention at the horizon.
	Time time.Time
	// Seen is the latest time up to which every record of the shard is known
	// to be done or was never asked for: the arrival of the committed record, a
	// later time at which the reader had caught up and everything read was
	// committed (Reader.Seen), or where the start itself lies (FromHorizon). It
	// is what tells a shard that was idle for longer than the retention, or was
	// born since, from one that lost records. Zero if unknown; a start that is
	// no record has no gap then.
	Seen time.Time
	// Inside says that Position was written by a KCL application and may lie
	// inside an aggregate: the record itself comes again as the first one when
	// it has user records after Position.Sub, and Page.Skip counts those that
	// are done.
	Inside bool
	// At says that the record at Position is not done: it comes again as the
	// first one. It is how a range is read once more from its first record,
	// when the position before it is a sentinel or has been trimmed.
	At bool
}

// A Gap is a place where records may be missing: they left retention before
// they were read.
type Gap struct {
	// After is the last position known to be done.
	After standpipe.Position
	// Before is the first sequence number found after it, empty when the shard
	// ended without one.
	Before string
	// BeforeTime is the arrival of that record.
	BeforeTime time.Time
	// Seen is Start.Seen as it stood, zero if unknown.
	Seen time.Time
	// Certain says that the trim horizon runs through live data: Before is as
	// old as the retention, give or take half an hour, so what lay just before
	// it was most likely records too. False when the shard may simply have
	// been idle, or when it begins where the start was. No arithmetic on sequence numbers can prove more: they have
	// holes of their own.
	Certain bool
	// Reason is GapTrimmed or GapShardGone.
	Reason string
}

// The reasons of a Gap, used alike in logs, metrics and manifests.
const (
	GapTrimmed   = "trimmed"    // the position is older than what the shard still holds
	GapShardGone = "shard_gone" // the shard left the stream before its end was read
)

// A Reader reads one shard, page by page. It is owned by one goroutine. The
// cycle is
//
//	wait until Ready; reserve Estimate bytes; Fetch; Decode; use the page; Done
//
// and an error anywhere leaves the position where it was: the next Fetch asks
// for the same page again.
type Reader struct {
	client *Client
	shard  standpipe.Shard
	start  Start
	rnd    *rand.Rand
	pace   pace

	// The position. last is the last record read, or the start's sequence
	// number; empty while neither exists.
	last      []byte
	seen      time.Time // see Start.Seen, of what was read
	seeking   bool      // last must be found again to prove that nothing was trimmed
	safe      bool      // when the search, or the reading from a start, began, nothing that follows was old enough to be trimmed
	horizon   bool      // Kinesis refused last; read from TRIM_HORIZON and find out
	inside    bool      // the start may lie inside an aggregate
	at        bool      // the record at last is itself still to be read
	anchor    time.Time // server time at which LATEST was asked, or zero
	ahead     bool      // the start's time lies in the future: LATEST instead
	announced bool      // Page.FromLatest was reported

	iterator string
	issued   time.Time // when the iterator was given out, by our clock

	// The end.
	confirm  bool // null iterator without children: ask ListShards
	closed   bool // ListShards said so, or no longer lists the shard
	gone     bool // the next page is the synthetic last one
	ended    bool
	missing  int // ResourceNotFound in a row for a shard that is listed
	children []standpipe.Shard

	// The page in hand.
	body    []byte
	stock   stockDecoder
	sent    time.Time
	read    time.Time
	fetched bool
	parsed  *parsed
	page    Page

	sizes sizes
}

// Open returns a reader. No I/O.
func (c *Client) Open(shard standpipe.Shard, from Start) *Reader {
	h := fnv.New64a()
	h.Write([]byte(shard.ID))
	r := &Reader{
		client: c,
		shard:  shard,
		start:  from,
		rnd:    rand.New(rand.NewPCG(c.settings.seed, h.Sum64())),
		pace:   pace{limits: c.settings.limits.normal()},
		seen:   from.Seen,
		inside: from.Inside,
		at:     from.At,
		sizes:  sizes{limit: maxRecords},
	}
	r.ended = from.Position.AtEnd()
	if p := from.Position; !p.AtStart() && !p.AtEnd() {
		r.last = []byte(p.Sequence)
		r.seeking = true
	}
	return r
}

// Shard is the shard being read.
func (r *Reader) Shard() standpipe.Shard { return r.shard }

// Ready is the earliest time of the next Fetch: pacing and back-off.
func (r *Reader) Ready() time.Time { return r.pace.ready }

// Seen is the time up to which every record of the shard has been read: the
// arrival of the last record, or the time of a later page that had caught up
// with a shard that was still open. Once everything read is committed, store it
// for Start.Seen; at the end of the shard no child is older.
func (r *Reader) Seen() time.Time { return r.seen }

// Position is a Start that goes on exactly where this reader stands. For a
// reader that began at LATEST and has read nothing yet it is the time it began
// at: storing it is what makes a restart lose nothing.
func (r *Reader) Position() Start {
	s := Start{Position: r.start.Position, Time: r.start.Time, Seen: r.seen, Inside: r.inside, At: r.at}
	switch {
	case r.ended:
		s.Position = standpipe.Position{Sequence: standpipe.ShardEnd}
	case len(r.last) > 0 && string(r.last) != r.start.Position.Sequence:
		s.Position = standpipe.Position{Sequence: string(r.last)}
	case len(r.last) == 0 && !r.anchor.IsZero():
		s.Position = standpipe.Position{Sequence: standpipe.AtTimestamp}
		s.Time = r.anchor
	}
	return s
}

// iteratorLife is how long an iterator is used. Kinesis keeps one for 300 s
// and refuses it then; asking for a new one a little earlier saves that call.
const iteratorLife = 285 * time.Second

// Fetch asks for one page and keeps its body undecoded. It makes one
// GetRecords call; before it, when there is no iterator or it is too old, one
// GetShardIterator, and at a doubtful end of the shard one ListShards. Each
// call has its own deadline of 15 s, longer for a record that is known not to
// come in that. A body that would need more than room
// bytes is dropped and *TooLargeError returned. When ctx ends, the error wraps
// its cause. After the end of the shard Fetch is a mistake and fails.
func (r *Reader) Fetch(ctx context.Context, room int64) error {
	r.Done()
	if r.ended {
		return fmt.Errorf("read shard %s: it has ended", r.shard.ID)
	}
	r.sent = time.Now()
	r.pace.ready = r.sent.Add(shardInterval) // for a page that is never decoded
	err := r.fetch(ctx, room)
	var large *TooLargeError
	switch {
	case err == nil:
		r.fetched = true
	case ctx.Err() != nil:
		// Nothing was learned about the shard.
	case errors.As(err, &large):
		// The bytes were sent, so the shard has counted them.
		r.observe(outcome{bytes: large.received * 3 / 4, records: maxRecords, behind: r.pace.behind})
	default:
		o := outcome{class: standpipe.ClassOf(err)}
		if e, ok := errors.AsType[*standpipe.Error](err); ok {
			o.after = e.After
		}
		r.observe(o)
	}
	return err
}

func (r *Reader) observe(o outcome) {
	o.at = r.sent
	r.pace = r.pace.observe(o, r.rnd.Float64())
}

func (r *Reader) fetch(ctx context.Context, room int64) error {
	if r.confirm {
		if err := r.confirmEnd(ctx); err != nil {
			return err
		}
	}
	for attempt := 0; ; attempt++ {
		if r.iterator == "" || time.Since(r.issued) > iteratorLife {
			if err := r.iterate(ctx); err != nil {
				return r.notFound(ctx, err)
			}
		}
		err := r.getRecords(ctx, room)
		if err == nil {
			r.missing = 0
			return nil
		}
		if isExpiredIterator(err) || isInvalidArgument(err) {
			// Refused: expired, or not one this server gave out. The position
			// is ours, so ask for a new one, once.
			r.iterator = ""
			if attempt == 0 && isExpiredIterator(err) {
				continue
			}
			return &standpipe.Error{Class: standpipe.Retryable, Op: "read shard " + string(r.shard.ID), Err: err}
		}
		return r.notFound(ctx, err)
	}
}

func (r *Reader) getRecords(ctx context.Context, room int64) error {
	c := r.client
	t := &pageTarget{guess: r.Estimate(), room: room}
	in := &kinesis.GetRecordsInput{ShardIterator: &r.iterator, StreamARN: c.arn.Load()}
	if r.sizes.limit < maxRecords {
		in.Limit = aws.Int32(r.sizes.limit)
	}
	err := c.within(ctx, callTimeout+r.sizes.longer, "read shard "+string(r.shard.ID), func(ctx context.Context) error {
		_, err := c.api.GetRecords(context.WithValue(ctx, targetKey{}, t), in)
		return err
	})
	if err != nil {
		c.pool.put(t.body)
		if t.begun && ctx.Err() == nil {
			r.sizes.slow()
		}
		return err
	}
	r.read = time.Now()
	if t.over > 0 {
		return r.sizes.tooLarge(t.over, t.announced, room)
	}
	r.body, r.stock = t.body, t.stock
	return nil
}

// iterate asks for an iterator at the reader's position. See Start and package
// documentation for which kind is asked for when.
func (r *Reader) iterate(ctx context.Context) error {
	r.iterator = ""
	switch young := r.young(time.Now()); {
	case len(r.last) == 0:
		// No record can prove anything: only its age says whether the start is
		// still what it was.
		r.safe = r.seen.IsZero() || young
	case r.seeking:
		r.safe = r.safe || young
	case !young:
		// The reader stood still for so long that records after last may have
		// been trimmed: find last again to know.
		r.seeking, r.safe = true, false
	}
	for {
		in := r.iteratorInput()
		op := "get iterator of shard " + string(r.shard.ID)
		var out *kinesis.GetShardIteratorOutput
		asked := time.Now()
		err := r.client.once(ctx, op, func(ctx context.Context) (err error) {
			out, err = r.client.api.GetShardIterator(ctx, in)
			if err == nil && aws.ToString(out.ShardIterator) == "" {
				err = errors.New("the answer has no iterator")
			}
			return err
		})
		switch {
		case err == nil:
		case isInvalidArgument(err) && r.retryAfter(in, err):
			continue
		default:
			return err
		}
		r.iterator, r.issued = *out.ShardIterator, time.Now()
		if in.ShardIteratorType == types.ShardIteratorTypeLatest && r.anchor.IsZero() {
			// From now on LATEST must not be asked again: it would skip what
			// arrives in between. A second earlier, for Kinesis's Date header
			// is cut to seconds; what arrived in it is delivered too.
			r.anchor = asked
			if at, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok {
				r.anchor = at
			}
			r.anchor = r.anchor.Add(-time.Second)
			if r.seen.Before(r.anchor) {
				r.seen = r.anchor
			}
		}
		return nil
	}
}

// iteratorInput is the decision which iterator to ask for.
func (r *Reader) iteratorInput() *kinesis.GetShardIteratorInput {
	in := &kinesis.GetShardIteratorInput{
		StreamName: &r.client.name,
		StreamARN:  r.client.arn.Load(),
		ShardId:    aws.String(string(r.shard.ID)),
	}
	at := func(t time.Time) {
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &t
	}
	switch {
	case len(r.last) > 0 && r.horizon:
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	case len(r.last) > 0 && (r.seeking || r.inside || r.at):
		in.ShardIteratorType = types.ShardIteratorTypeAtSequenceNumber
		in.StartingSequenceNumber = aws.String(string(r.last))
	case len(r.last) > 0:
		in.ShardIteratorType = types.ShardIteratorTypeAfterSequenceNumber
		in.StartingSequenceNumber = aws.String(string(r.last))
	case !r.anchor.IsZero():
		at(r.anchor)
	case r.start.Position.Sequence == standpipe.Latest || r.ahead:
		in.ShardIteratorType = types.ShardIteratorTypeLatest
	case r.start.Position.Sequence == standpipe.AtTimestamp:
		at(r.start.Time)
	default:
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	}
	return in
}

// retryAfter looks at a refused argument and reports whether another iterator
// may be asked for instead.
func (r *Reader) retryAfter(in *kinesis.GetShardIteratorInput, err error) bool {
	switch in.ShardIteratorType {
	case types.ShardIteratorTypeAtTimestamp:
		if inFuture(err) && !r.ahead && r.anchor.IsZero() {
			r.ahead = true
			return true
		}
	case types.ShardIteratorTypeAtSequenceNumber, types.ShardIteratorTypeAfterSequenceNumber:
		if !foreign(err) {
			// Undocumented: some have seen a position older than the retention
			// refused so. Read what is left; the gap is found in the pages.
			r.seeking, r.horizon = true, true
			return true
		}
	}
	return false
}

// minRetention is the least retention a stream can have.
const minRetention = 24 * time.Hour

// clockSlack is by how much clocks may disagree.
const clockSlack = 5 * time.Minute

// young reports whether nothing after what was seen can have been trimmed yet.
func (r *Reader) young(now time.Time) bool {
	if r.seen.IsZero() {
		return false
	}
	retention := max(time.Duration(r.client.retention.Load()), minRetention)
	return now.Sub(r.seen) < retention-clockSlack
}

// FromHorizon is Start.Seen of a shard whose reading from the trim horizon
// begins at now: what is as old as the retention was never asked for. Ten
// minutes are left for clocks and for the way to the first page; a reader that
// comes later finds that the horizon has moved on.
func FromHorizon(now time.Time, retention time.Duration) time.Time {
	return now.Add(2*clockSlack - max(retention, minRetention))
}

// doubtful says that records may be missing before the next one: the last one
// was not found again, or there is none, and the place was old enough to be trimmed.
func (r *Reader) doubtful() bool { return !r.safe && (r.seeking || len(r.last) == 0) }

// Done gives the page's buffer back. The Page and its Records are invalid
// afterwards. Calling it twice does nothing.
func (r *Reader) Done() {
	r.client.pool.put(r.body)
	r.client.putParsed(r.parsed)
	r.body, r.parsed, r.fetched = nil, nil, false
	r.page = Page{}
}

// Held is the capacity in bytes of the buffer the reader holds now: what is to
// be kept reserved between Fetch and Done.
func (r *Reader) Held() int64 { return int64(cap(r.body)) }
