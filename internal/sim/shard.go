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

	fetched time.Time
}

// Fetched is when a page was served last. For the driver.
func (s *Shard) Fetched() time.Time { return s.fetched }

// Reader reads the shard over the network.
type Reader struct {
	shard  *Shard
	client *Client
	next   int // index of the next record
	ready  time.Time
	page   consumer.Page
}

// Open returns a reader that starts after a position.
func (s *Shard) Open(c *Client, from consumer.Start) *Reader {
	r := &Reader{shard: s, client: c}
	if !from.Position.AtStart() {
		done := 0
		if from.At {
			done = -1
		}
		for r.next < len(s.Records) && standpipe.CompareSequence(string(s.Records[r.next].Sequence), from.Position.Sequence) <= done {
			r.next++
		}
	}
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
	for _, rec := range r.shard.Records[at : at+n] {
		rec.Data, rec.Sequence = bytes.Clone(rec.Data), bytes.Clone(rec.Sequence)
		r.page.Records = append(r.page.Records, rec)
	}
	return nil
}

// Decode implements delivery.Source.
func (r *Reader) Decode() (*consumer.Page, error) {
	r.next += len(r.page.Records)
	return &r.page, nil
}

// Seen implements delivery.Source. Nothing is trimmed here.
func (r *Reader) Seen() time.Time { return time.Time{} }

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
