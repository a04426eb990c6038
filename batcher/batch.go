package batcher

import (
	"time"

	"github.com/standpipe/standpipe"
)

// A Batch is what one object will contain.
type Batch struct {
	// Prefix is the split key: all records of the batch were routed to it.
	Prefix string
	// Records counts stream records, Bytes the lines with their newlines
	// before compression.
	Records, Bytes int64
	// First and Last are the sequence numbers of the first and last record.
	First, Last []byte
	// ArrivalMin and ArrivalMax bound the records' arrival times. Arrival is
	// not monotonic within a shard, so they need not belong to First and Last.
	ArrivalMin, ArrivalMax time.Time
	// Digest is the multiset of the lines.
	Digest standpipe.Digest
	// Ordinals says which records of the set's range are here, as runs of
	// consecutive ordinals counted from 0.
	Ordinals []standpipe.Run
}

// Line counts one line of the record last added; size is what it adds to the
// object before compression, its newline included.
func (b *Batch) Line(line []byte, size int) {
	b.Digest.Add(line)
	b.Bytes += int64(size)
}

func (b *Batch) add(ordinal int64, r *standpipe.Record) {
	if b.Records == 0 {
		b.First = append(b.First, r.Sequence...)
		b.ArrivalMin, b.ArrivalMax = r.Arrival, r.Arrival
	}
	b.Records++
	b.Last = append(b.Last[:0], r.Sequence...)
	if r.Arrival.Before(b.ArrivalMin) {
		b.ArrivalMin = r.Arrival
	}
	if r.Arrival.After(b.ArrivalMax) {
		b.ArrivalMax = r.Arrival
	}
	if n := len(b.Ordinals); n > 0 && b.Ordinals[n-1].Start+b.Ordinals[n-1].Count == ordinal {
		b.Ordinals[n-1].Count++
		return
	}
	b.Ordinals = append(b.Ordinals, standpipe.Run{Start: ordinal, Count: 1})
}
