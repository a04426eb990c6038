package replay

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/manifest"
)

// A Point is one end of a range, as a person gives it: a time, a record, or
// where each shard stood when its checkpoints were exported. The zero Point is
// the trim horizon as a beginning, and now as an end.
type Point struct {
	Time     time.Time `json:"time,omitzero"`
	Sequence string    `json:"seq,omitempty"`
	// After leaves the record of Sequence itself out of a range that it begins.
	After bool `json:"after,omitempty"`
	// Shards has a position for each shard.
	Shards map[standpipe.ShardID]standpipe.Position `json:"shards,omitempty"`
}

// Zero says that nothing was given.
func (p Point) Zero() bool { return p.Time.IsZero() && p.Sequence == "" && p.Shards == nil }

// ParsePoint reads TRIM_HORIZON, NOW, a time (RFC 3339), a duration before now
// ("24h"), a sequence number, or "after:" and one.
func ParsePoint(s string, now time.Time) (Point, error) {
	rest, after := strings.CutPrefix(s, "after:")
	switch {
	case standpipe.ValidSequence(rest):
		return Point{Sequence: rest, After: after}, nil
	case after:
		return Point{}, fmt.Errorf("%q is no sequence number", rest)
	case s == "" || strings.EqualFold(s, "trim_horizon"):
		return Point{}, nil
	case strings.EqualFold(s, "now"):
		return Point{Time: now.UTC()}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return Point{Time: now.Add(-d.Abs()).UTC()}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return Point{}, fmt.Errorf("%q is none of: a time (2026-11-22T10:00:00Z), a duration ago (24h), a sequence number, after:NUMBER, TRIM_HORIZON, NOW, a file of checkpoints", s)
	}
	return Point{Time: t.UTC()}, nil
}

// Before is where a manifest's range begins.
func Before(m manifest.Manifest) Point {
	if m.Previous.AtStart() && m.First != "" {
		return Point{Sequence: m.First} // what came before it is none of its business
	}
	return Point{Shards: map[standpipe.ShardID]standpipe.Position{m.Shard: m.Previous}}
}

// UpTo is where a manifest's range ends.
func UpTo(m manifest.Manifest) Point {
	return Point{Shards: map[standpipe.ShardID]standpipe.Position{m.Shard: m.Last}}
}

// start is where a shard's reading begins.
func (p Point) start(shard standpipe.ShardID) consumer.Start {
	position := func(seq string) standpipe.Position { return standpipe.Position{Sequence: seq} }
	switch at, ok := p.Shards[shard]; {
	case ok && !at.AtStart():
		return consumer.Start{Position: at}
	case p.Sequence != "":
		return consumer.Start{Position: position(p.Sequence), At: !p.After}
	case !p.Time.IsZero():
		return consumer.Start{Position: position(standpipe.AtTimestamp), Time: p.Time}
	}
	return consumer.Start{Position: position(standpipe.TrimHorizon)}
}

// end bounds a shard's range. ok is false where the shard has nothing in it.
func (p Point) end(shard standpipe.ShardID, now time.Time) (end delivery.End, ok bool) {
	switch at, found := p.Shards[shard]; {
	case p.Shards != nil && (!found || at.AtStart()):
		return end, false
	case found && at.AtEnd():
		return end, true
	case found:
		return delivery.End{Sequence: at.Sequence}, true
	case p.Sequence != "":
		return delivery.End{Sequence: p.Sequence}, true
	case !p.Time.IsZero():
		return delivery.End{Time: p.Time}, true
	}
	return delivery.End{Time: now.UTC()}, true
}

// ErrBackwards says that a range ends before it begins.
var ErrBackwards = errors.New("the range ends before it begins")

// Ordered refuses a range that ends before it begins, as far as its ends can be
// compared without the stream.
func Ordered(from, to Point) error {
	switch {
	case !from.Time.IsZero() && !to.Time.IsZero() && !from.Time.Before(to.Time):
		return fmt.Errorf("%w: from %s to %s", ErrBackwards, from.Time.Format(time.RFC3339), to.Time.Format(time.RFC3339))
	case from.Sequence != "" && to.Sequence != "":
		if c := standpipe.CompareSequence(from.Sequence, to.Sequence); c > 0 || c == 0 && from.After {
			return fmt.Errorf("%w: from %s to %s", ErrBackwards, from.Sequence, to.Sequence)
		}
	}
	for id, at := range from.Shards {
		if end, ok := to.Shards[id]; ok && at.Compare(end) > 0 {
			return fmt.Errorf("%w: %s from %s to %s", ErrBackwards, id, at, end)
		}
		// Sequence numbers of different shards tell nothing about one another.
		if len(from.Shards) == 1 && to.Sequence != "" && standpipe.CompareSequence(at.Sequence, to.Sequence) >= 0 {
			return fmt.Errorf("%w: %s after %s to %s", ErrBackwards, id, at, to.Sequence)
		}
	}
	for id, end := range to.Shards {
		if len(to.Shards) == 1 && from.Sequence != "" && standpipe.CompareSequence(from.Sequence, end.Sequence) > 0 {
			return fmt.Errorf("%w: %s from %s to %s", ErrBackwards, id, from.Sequence, end)
		}
	}
	return nil
}

// touches says whether a manifest's range has something between from and to.
// Objects bound its time: one without objects has nothing to restore.
func touches(m manifest.Manifest, from, to Point) bool {
	if len(m.Objects) == 0 {
		return false
	}
	if at, ok := from.Shards[m.Shard]; ok && !at.AtStart() && m.Last.Compare(at) <= 0 {
		return false
	}
	if to.Shards != nil {
		if at, ok := to.Shards[m.Shard]; !ok || at.AtStart() || m.First != "" && at.Compare(standpipe.Position{Sequence: m.First}) < 0 {
			return false
		}
	}
	last := m.Last
	if last.AtEnd() { // the greatest of its objects': they do not stand in that order
		last.Sequence = m.Objects[0].Last
		for _, o := range m.Objects[1:] {
			if standpipe.CompareSequence(o.Last, last.Sequence) > 0 {
				last.Sequence = o.Last
			}
		}
	}
	if from.Sequence != "" {
		if c := standpipe.CompareSequence(last.Sequence, from.Sequence); c < 0 || c == 0 && from.After {
			return false
		}
	}
	if to.Sequence != "" && standpipe.CompareSequence(m.First, to.Sequence) > 0 {
		return false
	}
	least, most := m.Objects[0].ArrivalMin, m.Objects[0].ArrivalMax
	for _, o := range m.Objects[1:] {
		if o.ArrivalMin.Before(least) {
			least = o.ArrivalMin
		}
		if o.ArrivalMax.After(most) {
			most = o.ArrivalMax
		}
	}
	return (from.Time.IsZero() || !most.Before(from.Time)) && (to.Time.IsZero() || least.Before(to.Time))
}
