package consumer

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/standpipe/standpipe"
)

// A HashRange is the part of the hash key space a shard owns, ends included.
// The zero HashRange is not empty: it holds the key 0 alone. Use WholeRange
// when a shard's range is not known.
type HashRange struct{ first, last hashKey }

var wholeRange = HashRange{last: hashKey{^uint64(0), ^uint64(0)}}

// WholeRange returns the whole space, 0 to 2^128-1: KCL's stand-in for a range
// it does not know.
func WholeRange() HashRange { return wholeRange }

// RangeOf reads the hash range of a shard. A shard that carries no range (a
// row of an old lease table) owns the whole space.
func RangeOf(s standpipe.Shard) (HashRange, error) {
	if s.HashStart == "" && s.HashEnd == "" {
		return wholeRange, nil
	}
	first, ok1 := parseHashKey([]byte(s.HashStart))
	last, ok2 := parseHashKey([]byte(s.HashEnd))
	if !ok1 || !ok2 || first.compare(last) > 0 {
		return HashRange{}, fmt.Errorf("shard %s has hash range %q to %q, want decimals up to 2^128-1 in order",
			s.ID, s.HashStart, s.HashEnd)
	}
	return HashRange{first, last}, nil
}

func (r HashRange) holds(k hashKey) bool {
	return r.first.compare(k) <= 0 && k.compare(r.last) <= 0
}

// A hashKey is an unsigned 128-bit number.
type hashKey struct{ hi, lo uint64 }

func (k hashKey) compare(l hashKey) int {
	if c := cmp.Compare(k.hi, l.hi); c != 0 {
		return c
	}
	return cmp.Compare(k.lo, l.lo)
}

// hashOf is the hash key Kinesis gives a partition key: its MD5 as a
// big-endian number.
func hashOf(partitionKey []byte) hashKey {
	sum := md5.Sum(partitionKey)
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHashKey reads decimal digits, at most 39 of them and below 2^128.
func parseHashKey(b []byte) (hashKey, bool) {
	if len(b) == 0 || len(b) > 39 {
		return hashKey{}, false
	}
	var k hashKey
	for _, c := range b {
		if c < '0' || c > '9' {
			return hashKey{}, false
		}
		over, hi := bits.Mul64(k.hi, 10)
		carry, lo := bits.Mul64(k.lo, 10)
		lo, c1 := bits.Add64(lo, uint64(c-'0'), 0)
		hi, c2 := bits.Add64(hi, carry, c1)
		if over != 0 || c2 != 0 {
			return hashKey{}, false
		}
		k = hashKey{hi, lo}
	}
	return k, true
}
