package sim

import (
	"bytes"
	"context"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
)

// Shard is a scripted, closed shard: all its records are there from the start,
// and it ends after the last one.
type Shard struct {
	Info    standpipe.Shard
	Records []standpipe.Record
	// PageMax is the most records of one page; a page may be empty with
	// records ahead.
	PageMax int
	// Trimmed is how many of the first records retention has taken.
	Trimmed int

	fetched time.Time
}

// Retention is how long a record is kept at least.
const Retention = 24 * time.Hour

// Fetched is when a page was served last. For the driver.
func (s *Shard) Fetched() time.Time { return s.fetched }

// Reader reads the shard over the network.
type Reader struct {
	shard  *Shard
	client *Client
	next   int // index of the next record
	after  standpipe.Position
	seen   time.Time
	doubt  bool // records may be missing before the next one
	ready  time.Time
	page   consumer.Page
}

// Open returns a reader that starts after a position. It knows what the real one
// can know of records that were trimmed: whether the record at the position is
// there, and whether what was seen is too young to be followed by one.
func (s *Shard) Open(c *Client, from consumer.Start) *Reader {
	r := &Reader{shard: s, client: c, after: from.Position, seen: from.Seen}
	if !from.Position.AtStart() {
		done := 0
		if from.At {
			done = -1
		}
		for r.next < len(s.Records) && standpipe.CompareSequence(string(s.Records[r.next].Sequence), from.Position.Sequence) <= done {
			r.next++
		}
	}
	known := from.Position.AtStart() && from.Seen.IsZero() || !from.Position.AtStart() && r.next > s.Trimmed
	r.doubt = !known && !from.At && time.Since(from.Seen) >= Retention
	r.next = max(r.next, s.Trimmed)
	return r
}

// Ready implements delivery.Source.
func (r *Reader) Ready() time.Time { return r.ready }

// Estimate implements delivery.Source.
func (r *Reader) Estimate() int64 { return 1 << 10 }

// Fetch implements delivery.Source.
func (r *Reader) Fetch(ctx context.Context, _ int64) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	at := r.next
	n, err := call(ctx, r.client, toStream, "get records of "+string(r.shard.Info.ID), func() (int, error) {
		r.shard.fetched = time.Now()
		return min(r.client.net.Rand.IntN(r.shard.PageMax+1), len(r.shard.Records)-at), nil
	})
	r.ready = time.Now().Add(200 * time.Millisecond)
	if err != nil {
		return &standpipe.Error{Class: standpipe.Retryable, Op: "get records", Err: err}
	}
	r.page = consumer.Page{ReadAt: time.Now(), End: at+n == len(r.shard.Records)}
	if r.doubt && (n > 0 || r.page.End) {
		r.page.Gap = &consumer.Gap{After: r.after, Seen: r.seen, Reason: consumer.GapTrimmed}
		if n > 0 {
			r.page.Gap.Before = string(r.shard.Records[at].Sequence)
		}
	}
	for _, rec := range r.shard.Records[at : at+n] {
		rec.Data, rec.Sequence = bytes.Clone(rec.Data), bytes.Clone(rec.Sequence)
		r.page.Records = append(r.page.Records, rec)
	}
	return nil
}

// Decode implements delivery.Source.
func (r *Reader) Decode() (*consumer.Page, error) {
	r.next += len(r.page.Records)
	for _, rec := range r.page.Records {
		r.doubt = false
		if rec.Arrival.After(r.seen) {
			r.seen = rec.Arrival
		}
	}
	return &r.page, nil
}

// Seen implements delivery.Source.
func (r *Reader) Seen() time.Time { return r.seen }

// Done implements delivery.Source. The page's memory is overwritten: whoever
// kept a slice of it is found out.
func (r *Reader) Done() {
	for _, rec := range r.page.Records {
		for i := range rec.Data {
			rec.Data[i] = '!'
		}
		for i := range rec.Sequence {
			rec.Sequence[i] = '!'
		}
	}
}
