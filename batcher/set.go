package batcher

import (
	"time"

	"github.com/standpipe/standpipe"
)

// Limits bound a Set. A limit of zero is none. They are limits on when to
// seal, not on what fits: the record that crosses one is still taken whole.
type Limits struct {
	// Bytes per batch, before compression (Firehose counts so): BufferingHints.SizeInMBs.
	Bytes int64
	// Records per set: stream records.
	Records int64
	// Age of the set since its first record was taken: BufferingHints.IntervalInSeconds.
	// Zero seals at every opportunity (Firehose's zero buffering).
	Age time.Duration
	// Batches open at once: bounds objects per flush.
	Batches int
}

// A Set is the open batches of one flush of one shard.
type Set struct {
	limits Limits
	opened time.Time
	// Batches in the order in which they were opened.
	Batches []*Batch
	// Records counts every record of the range, Dropped those that left no
	// line (empty, only newlines, an aggregate without user records).
	Records, Dropped int64
	// ArrivalMax is the latest arrival of the range, dropped records included.
	ArrivalMax time.Time
}

// NewSet returns an empty set.
func NewSet(limits Limits) *Set { return &Set{limits: limits} }

// Empty says that no record was taken: there is nothing to deliver or commit.
func (s *Set) Empty() bool { return s.Records == 0 }

// Add takes the next record of the shard into the batch of prefix. The record
// is only looked at, never kept.
func (s *Set) Add(r *standpipe.Record, prefix string, now time.Time) *Batch {
	b := s.batch(prefix)
	b.add(s.next(r, now), r)
	return b
}

// Drop takes the next record of the shard into the range, but into no batch.
func (s *Set) Drop(r *standpipe.Record, now time.Time) {
	s.next(r, now)
	s.Dropped++
}

func (s *Set) next(r *standpipe.Record, now time.Time) (ordinal int64) {
	if s.Records == 0 {
		s.opened = now
	}
	if r.Arrival.After(s.ArrivalMax) {
		s.ArrivalMax = r.Arrival
	}
	s.Records++
	return s.Records - 1
}

// batch finds the open batch of prefix. A shard has one or two at a time (the
// hour turns), so a scan from the newest is quicker than a map.
func (s *Set) batch(prefix string) *Batch {
	for i := len(s.Batches) - 1; i >= 0; i-- {
		if s.Batches[i].Prefix == prefix {
			return s.Batches[i]
		}
	}
	b := &Batch{Prefix: prefix}
	s.Batches = append(s.Batches, b)
	return b
}

// Full reports whether a size limit is reached, after the lines of a record
// were counted into b.
func (s *Set) Full(b *Batch) (standpipe.SealReason, bool) {
	switch {
	case s.limits.Bytes > 0 && b != nil && b.Bytes >= s.limits.Bytes:
		return standpipe.SealBytes, true
	case s.limits.Records > 0 && s.Records >= s.limits.Records,
		s.limits.Batches > 0 && len(s.Batches) >= s.limits.Batches && b != nil && b.Records == 1 && len(s.Batches) > 1:
		return standpipe.SealRecords, true
	}
	return "", false
}

// Due reports whether the set reached its age.
func (s *Set) Due(now time.Time) bool {
	return !s.Empty() && !now.Before(s.NextSeal())
}

// NextSeal is when the set reaches its age. Meaningless while it is empty.
func (s *Set) NextSeal() time.Time { return s.opened.Add(s.limits.Age) }

// Opened is when the first record was taken.
func (s *Set) Opened() time.Time { return s.opened }
