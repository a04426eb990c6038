package kinesis

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"math/big"
	"math/bits"
)

// A hashKey is a point of the hash space, 0 to 2^128-1.
type hashKey struct{ hi, lo uint64 }

var maxHashKey = hashKey{1<<64 - 1, 1<<64 - 1}

// keyHash is the hash key of a partition key: its MD5, big-endian.
func keyHash(partitionKey []byte) hashKey {
	sum := md5.Sum(partitionKey)
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHashKey reads decimal digits; false when s is none or is 2^128 or more.
func parseHashKey(s string) (hashKey, bool) {
	var k hashKey
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return hashKey{}, false
		}
		over, hi := bits.Mul64(k.hi, 10)
		carry, lo := bits.Mul64(k.lo, 10)
		var c0, c1 uint64
		k.lo, c0 = bits.Add64(lo, uint64(s[i]-'0'), 0)
		k.hi, c1 = bits.Add64(hi, carry, c0)
		if over != 0 || c1 != 0 {
			return hashKey{}, false
		}
	}
	return k, s != ""
}

func (k hashKey) String() string { return k.big().String() }

func (k hashKey) big() *big.Int {
	b := new(big.Int).SetUint64(k.hi)
	return b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(k.lo))
}

func (k hashKey) compare(m hashKey) int {
	if c := cmp.Compare(k.hi, m.hi); c != 0 {
		return c
	}
	return cmp.Compare(k.lo, m.lo)
}

// next is k+1; the greatest key wraps to 0.
func (k hashKey) next() hashKey {
	lo, c := bits.Add64(k.lo, 1, 0)
	return hashKey{k.hi + c, lo}
}

// prev is k-1; 0 wraps to the greatest key.
func (k hashKey) prev() hashKey {
	lo, b := bits.Sub64(k.lo, 1, 0)
	return hashKey{k.hi - b, lo}
}

// MarshalText and UnmarshalText keep hash keys in decimal in stream.json.
func (k hashKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k *hashKey) UnmarshalText(b []byte) error {
	m, ok := parseHashKey(string(b))
	if !ok {
		return errNotHashKey
	}
	*k = m
	return nil
}

// A hashRange is a shard's part of the hash space, both ends included.
type hashRange struct {
	Start hashKey `json:"start"`
	End   hashKey `json:"end"`
}

// evenRanges cuts the hash space into n ranges of floor(2^128/n) keys; the last
// takes the rest, as CreateStream does.
func evenRanges(n int) []hashRange {
	width := new(big.Int).Lsh(big.NewInt(1), 128)
	width.Div(width, big.NewInt(int64(n)))
	ranges := make([]hashRange, n)
	for i := range ranges {
		start := new(big.Int).Mul(width, big.NewInt(int64(i)))
		lo := new(big.Int).And(start, new(big.Int).SetUint64(1<<64-1))
		ranges[i].Start = hashKey{new(big.Int).Rsh(start, 64).Uint64(), lo.Uint64()}
		if i > 0 {
			ranges[i-1].End = ranges[i].Start.prev()
		}
	}
	ranges[n-1].End = maxHashKey
	return ranges
}
