package consumer

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/standpipe/standpipe"
)

// A Page is the answer to one GetRecords call. It and everything it points to
// is valid until Reader.Done or the next Fetch.
type Page struct {
	// Records come in the order of the shard. An empty page does not mean that
	// the shard is read to its tip: see Behind.
	Records []standpipe.Record
	// ReadAt is when the answer was there.
	ReadAt time.Time
	// Behind is how far from the tip Kinesis says the page ends: a hint, 0 from
	// servers that do not know.
	Behind time.Duration
	// Bytes is the payload: data and partition keys.
	Bytes int64
	// End says that the shard is read to its end once Records are handled;
	// Children are the shards to go on with, as far as they are known, with
	// id, parents and hash range.
	End      bool
	Children []standpipe.Shard
	// Gap is set on the first page that shows that records may be missing
	// before Records, once for each gap.
	Gap *Gap
	// Skip is how many user records of Records[0] are done already; see
	// Start.Inside. 0 otherwise.
	Skip int64
	// FromLatest says, on the first page, that the time to start at lies ahead
	// of Kinesis's clock and reading began at LATEST.
	FromLatest bool
}

// Decode turns the fetched body into a page, in place, and moves the reader's
// position past it. It does no I/O. On an error the position stays and the
// next Fetch reads the same page again.
func (r *Reader) Decode() (*Page, error) {
	if !r.fetched {
		return nil, errors.New("decode page: none was fetched")
	}
	r.fetched = false
	if r.gone {
		return r.lastPage(), nil
	}
	p, err := r.client.parse(r.body, r.stock)
	if err != nil {
		r.observe(outcome{class: standpipe.Retryable, bytes: int64(len(r.body))})
		return nil, &standpipe.Error{Class: standpipe.Retryable, Op: "decode page of shard " + string(r.shard.ID), Err: err}
	}
	r.parsed = p
	r.sizes.fits(int64(len(r.body)))
	page := &r.page
	*page = Page{
		ReadAt:     r.read,
		Behind:     time.Duration(max(p.behind, 0)) * time.Millisecond,
		FromLatest: r.ahead && !r.announced,
	}
	r.announced = r.ahead
	for i := range p.records {
		page.Bytes += int64(len(p.records[i].Data) + len(p.records[i].PartitionKey))
	}
	r.observe(outcome{bytes: page.Bytes, records: len(p.records), behind: page.Behind})
	page.Records = r.unread(page, p.records)
	r.iterator, r.issued = string(p.next), r.read
	r.advance(page, p)
	return page, nil
}

// unread drops the records the reader has read before and finds out whether
// any are missing between them and the first new one.
func (r *Reader) unread(page *Page, records []standpipe.Record) []standpipe.Record {
	if r.seeking && r.safe {
		// Pages follow one another from here on, so nothing can be missed.
		r.seeking = false
	}
	for len(records) > 0 && len(r.last) > 0 {
		order := compareSequence(records[0].Sequence, r.last)
		if order > 0 {
			break
		}
		if order == 0 {
			// The proof: what follows it in the shard is what follows it here.
			r.seeking, r.horizon = false, false
			if r.at {
				r.at = false
				return records
			}
			if r.inside {
				r.inside = false
				sub := r.start.Position.Sub
				res := Unpack(records[0], KeepAll, wholeRange, func(UserRecord) bool { return true })
				if res.Aggregate && !res.Corrupt && res.Users > sub+1 {
					page.Skip = sub + 1
					return records
				}
			}
		}
		records = records[1:]
	}
	if len(records) > 0 {
		if r.doubtful() {
			page.Gap = r.gap(GapTrimmed, &records[0])
		}
		r.seeking, r.horizon, r.inside, r.at = false, false, false, false
	}
	return records
}

// gap describes a gap that ends at first, or at the end of the shard if nil.
func (r *Reader) gap(reason string, first *standpipe.Record) *Gap {
	g := &Gap{After: r.start.Position, Seen: r.seen, Reason: reason}
	if len(r.last) > 0 && string(r.last) != r.start.Position.Sequence {
		g.After = standpipe.Position{Sequence: string(r.last)}
	}
	if first != nil {
		g.Before, g.BeforeTime = string(first.Sequence), first.Arrival
		retention := time.Duration(r.client.retention.Load())
		g.Certain = retention > 0 && r.read.Sub(first.Arrival) > retention-30*time.Minute
		if len(r.last) == 0 && first.Arrival.Sub(r.seen) < clockSlack {
			g.Certain = false // it may be the very first one
		}
	}
	return g
}

// advance moves the position past the page and judges whether the shard ended.
func (r *Reader) advance(page *Page, p *parsed) {
	if n := len(page.Records); n > 0 {
		r.last = append(r.last[:0], page.Records[n-1].Sequence...)
		if a := page.Records[n-1].Arrival; a.After(r.seen) {
			r.seen = a
		}
	} else if p.hasBehind && p.behind == 0 && len(p.next) > 0 && !r.doubtful() && r.read.After(r.seen) {
		// Nothing was there up to now. While there is a doubt about what came
		// before, an empty page proves nothing; and the last page of a shard
		// may come long after its children were born, see Seen.
		r.seen = r.read
	}
	if len(p.next) > 0 {
		r.confirm = false
		return
	}
	r.iterator = ""
	switch {
	case len(p.children) > 0:
		r.children = p.children
		r.end(page)
	case r.closed && len(page.Records) == 0:
		// Closed by ListShards, and read again from the last position to no avail.
		r.end(page)
	default:
		// An iterator can be missing from an open shard too; some have taken
		// that for the end and never read the shard again.
		r.confirm = true
	}
}

func (r *Reader) end(page *Page) {
	if r.doubtful() {
		page.Gap = r.gap(GapTrimmed, nil)
	}
	page.End, page.Children = true, r.children
	r.ended = true
}

// lastPage is the page of a shard that is no longer there.
func (r *Reader) lastPage() *Page {
	r.page = Page{ReadAt: r.read}
	if len(r.last) > 0 || !r.anchor.IsZero() || r.start.Position.Sequence != standpipe.Latest {
		r.page.Gap = r.gap(GapShardGone, nil)
	}
	r.page.End, r.page.Children = true, r.children
	r.ended = true
	return &r.page
}

// confirmEnd asks ListShards whether a shard whose iterator came back null is
// really closed. Servers that do not name the children (kinesalite) are
// answered by the same listing.
func (r *Reader) confirmEnd(ctx context.Context) error {
	if r.closed {
		return nil
	}
	shards, err := r.client.Shards(ctx)
	if err != nil {
		return err
	}
	if len(shards) == 0 {
		return &standpipe.Error{
			Class: standpipe.Retryable, Op: "read shard " + string(r.shard.ID),
			Err: errors.New("the stream lists no shards, which says nothing of the end of this one"),
		}
	}
	self, listed := index(shards)[r.shard.ID]
	r.closed = !listed || self.Closed
	r.children = Children(shards, r.shard.ID)
	r.confirm = r.closed
	return nil
}

// goneAfter is how often in a row a shard that is closed or not listed has to
// answer "not found" before it is believed to have left. The listing lags behind
// the trimming and behind the birth of a shard, and an end is for ever.
const goneAfter = 3

// unknownFor is the least time between two looks at a shard that neither the
// data calls nor the listing know.
const unknownFor = 5 * time.Second

// notFound looks closer at an error of class NotFound: a shard that is gone
// while its stream is there has ended. Every other error is returned as it is.
func (r *Reader) notFound(ctx context.Context, err error) error {
	if standpipe.ClassOf(err) != standpipe.NotFound {
		return err
	}
	shards, listErr := r.client.Shards(ctx)
	if listErr != nil {
		return listErr // NotFound here is the stream's
	}
	self, listed := index(shards)[r.shard.ID]
	if len(shards) > 0 { // no stream is without a shard: an empty list says nothing
		r.missing++
	}
	switch op := "read shard " + string(r.shard.ID); {
	case listed && (!self.Closed || r.missing < goneAfter):
		return &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: err, Hint: "the shard is listed but was not found"}
	case len(shards) == 0 || r.missing < goneAfter:
		return &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: err, After: unknownFor, Hint: "the shard is neither found nor listed"}
	}
	r.children = Children(shards, r.shard.ID)
	r.gone, r.iterator, r.read = true, "", time.Now()
	return nil
}

// compareSequence is standpipe.CompareSequence for numbers, without making
// strings of them.
func compareSequence(a, b []byte) int {
	a, b = bytes.TrimLeft(a, "0"), bytes.TrimLeft(b, "0")
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return bytes.Compare(a, b)
}
