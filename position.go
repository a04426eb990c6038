package standpipe

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// The sentinels of a lease table's checkpoint column, as KCL writes them. The
// first three sort below every sequence number, ShardEnd above.
const (
	TrimHorizon = "TRIM_HORIZON"
	Latest      = "LATEST"
	AtTimestamp = "AT_TIMESTAMP"
	ShardEnd    = "SHARD_END"
)

// A Position is a place between two records of a shard: everything up to and
// including it is done. Sub counts the user records of a KPL aggregate from 0
// and is 0 for a plain record.
type Position struct {
	Sequence string `json:"seq"`
	Sub      int64  `json:"sub,omitempty"`
}

// AtStart says that nothing of the shard is done yet: the position is one of
// the three starting sentinels.
func (p Position) AtStart() bool {
	return p.Sequence == TrimHorizon || p.Sequence == Latest || p.Sequence == AtTimestamp
}

// AtEnd says that the whole shard is done.
func (p Position) AtEnd() bool { return p.Sequence == ShardEnd }

// Compare orders two positions of the same shard. Sequence numbers are
// compared as integers: strings of unequal length compare wrongly.
func (p Position) Compare(q Position) int {
	if c := CompareSequence(p.Sequence, q.Sequence); c != 0 {
		return c
	}
	return cmp.Compare(p.Sub, q.Sub)
}

func (p Position) String() string {
	if p.Sub == 0 {
		return p.Sequence
	}
	return p.Sequence + "/" + strconv.FormatInt(p.Sub, 10)
}

// CompareSequence orders two sequence numbers or sentinels, see Position.
func CompareSequence(a, b string) int {
	if ra, rb := rank(a), rank(b); ra != rb || ra != 0 {
		return cmp.Compare(ra, rb)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

func rank(seq string) int {
	switch seq {
	case TrimHorizon, Latest, AtTimestamp:
		return -1
	case ShardEnd:
		return 1
	}
	return 0
}

// ValidSequence reports whether s is a sequence number: 0 or up to 129 decimal
// digits without a leading zero (Kinesis API, pattern 0|([1-9]\d{0,128})).
func ValidSequence(s string) bool {
	if s == "0" {
		return true
	}
	if s == "" || len(s) > 129 || s[0] == '0' {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// ParsePosition reads a checkpoint column: a sentinel or a sequence number.
func ParsePosition(sequence string, sub int64) (Position, error) {
	p := Position{Sequence: sequence, Sub: sub}
	if rank(sequence) == 0 && !ValidSequence(sequence) {
		return Position{}, fmt.Errorf("position %q is neither a sequence number nor one of %s, %s, %s, %s",
			sequence, TrimHorizon, Latest, AtTimestamp, ShardEnd)
	}
	if sub < 0 || (rank(sequence) != 0 && sub != 0) {
		return Position{}, fmt.Errorf("position %s has sub-sequence number %d", sequence, sub)
	}
	return p, nil
}
