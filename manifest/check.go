package manifest

import (
	"errors"
	"fmt"

	"github.com/standpipe/standpipe"
)

// Check judges a manifest alone: what it says of its objects must add up to
// what it says of the flush. It returns everything that does not, joined.
func (m Manifest) Check() error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	sum := m
	if err := sum.Sum(); err != nil {
		return err
	}
	var records int64
	for _, o := range m.Objects {
		records += o.Records
		if o.Key == "" || o.Size < 0 || o.Records < 1 {
			say("object %q has %d bytes and %d records", o.Key, o.Size, o.Records)
		}
		if len(m.Objects) > 1 && count(o.Ordinals) != o.Records {
			say("object %s has %d records, its ordinals are %d", o.Key, o.Records, count(o.Ordinals))
		}
	}
	if m.Counts.Records != records+m.Counts.Dropped {
		say("%d records, but %d in objects and %d dropped", m.Counts.Records, records, m.Counts.Dropped)
	}
	if m.Counts != sum.Counts {
		say("%d lines of %d bytes, the objects have %d of %d", m.Counts.Lines, m.Counts.Bytes, sum.Counts.Lines, sum.Counts.Bytes)
	}
	if m.Hash != sum.Hash {
		say("hash %s, that of the objects is %s", m.Hash, sum.Hash)
	}
	if m.Previous.AtEnd() || m.Last.AtStart() && m.Counts.Records > 0 || m.Previous.Compare(m.Last) > 0 {
		say("its range is after %s up to %s", m.Previous, m.Last)
	}
	return errors.Join(wrong...)
}

func count(runs []standpipe.Run) (n int64) {
	for _, r := range runs {
		n += r.Count
	}
	return n
}

// A Relation says how one range of a shard lies to the one before it.
type Relation string

// The relations.
const (
	Contiguous Relation = "contiguous"
	// Missing: records between the two may be in no manifest.
	Missing Relation = "missing"
	// Overlapping: records are in both.
	Overlapping Relation = "overlapping"
)

// Follows says how m lies to before, the manifest with the number before its
// own. Positions are compared, not numbers: a checkpoint that a person moved
// leaves numbers without gaps.
func (m Manifest) Follows(before Manifest) Relation {
	switch c := m.Previous.Compare(before.Last); {
	case m.Previous == before.Last:
		return Contiguous
	case c > 0:
		return Missing
	case c < 0:
		return Overlapping
	}
	return Contiguous // two names of the same start
}
