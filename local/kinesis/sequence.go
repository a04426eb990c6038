package kinesis

import (
	"fmt"
	"math/bits"

	"github.com/standpipe/standpipe"
)

// The bounds of a sequence number's fields.
const (
	// endIndex is the sequence index of a closed shard's synthetic
	// EndingSequenceNumber; no record has it.
	endIndex = 1<<63 - 1
	// secondsMax bounds both times of a sequence number (kinesalite db/index.js).
	secondsMax = 16_025_175_000
)

// A sequence is a sequence number of layout version 2, 186 bits (reverse
// engineered by kinesalite, checked by KCL's SequenceNumberValidator). From the
// most significant bit:
//
//	4   0b10 in front, always 2
//	36  shard creation time, seconds
//	4   low nibble of the shard index
//	64  sequence index, orders the records of a shard
//	8   zero
//	36  record time, seconds
//	32  shard index
//	4   version, always 2
//
// The creation time is on top, so every number of a child is greater than every
// number of its parent.
type sequence struct {
	created int64 // shard creation time, seconds
	index   uint64
	time    int64 // record time, seconds
	shard   uint32
}

// words returns the number as three words, most significant first.
func (q sequence) words() (hi, mid, lo uint64) {
	hi = 2<<56 | uint64(q.created)<<20 | uint64(q.shard&15)<<16 | q.index>>48
	mid = q.index<<16 | uint64(q.time)>>28
	lo = uint64(q.time)<<36 | uint64(q.shard)<<4 | 2
	return hi, mid, lo
}

const ten19 = 1e19

// sequenceDigits is the length of every number this server gives out.
const sequenceDigits = 56

// appendTo appends the number in decimal: 56 digits, the first two "49".
func (q sequence) appendTo(b []byte) []byte {
	hi, mid, lo := q.words()
	var r0, r1 uint64
	hi, mid, lo, r0 = div19(hi, mid, lo)
	_, mid, lo, r1 = div19(hi, mid, lo)
	_ = mid // the number is below 10^57, so the last quotient is one word
	b = appendDigits(b, lo, 18)
	b = appendDigits(b, r1, 19)
	return appendDigits(b, r0, 19)
}

func (q sequence) String() string { return string(q.appendTo(make([]byte, 0, sequenceDigits))) }

func div19(hi, mid, lo uint64) (qh, qm, ql, rem uint64) {
	qh, rem = hi/ten19, hi%ten19
	qm, rem = bits.Div64(rem, mid, ten19)
	ql, rem = bits.Div64(rem, lo, ten19)
	return qh, qm, ql, rem
}

// appendDigits appends the n low decimal digits of v, with leading zeros.
func appendDigits(b []byte, v uint64, n int) []byte {
	b = append(b, "0000000000000000000"[:n]...)
	for i := len(b) - 1; v > 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b
}

// parseSequence reads a number of layout version 2. Numbers of the older
// layouts, and words that fit no layout, are errors.
func parseSequence(s string) (sequence, error) {
	if !standpipe.ValidSequence(s) || len(s) > 57 {
		return sequence{}, fmt.Errorf("sequence number %q is not 186 bits", s)
	}
	var hi, mid, lo uint64
	for i := range len(s) {
		var carry, c uint64
		carry, lo = bits.Mul64(lo, 10)
		lo, c = bits.Add64(lo, uint64(s[i]-'0'), 0)
		carry += c
		h, m := bits.Mul64(mid, 10)
		mid, c = bits.Add64(m, carry, 0)
		hi = hi*10 + h + c
	}
	q := sequence{
		created: int64(hi >> 20 & (1<<36 - 1)),
		index:   hi<<48 | mid>>16,
		time:    int64(mid&0xff<<28 | lo>>36),
		shard:   uint32(lo >> 4),
	}
	if h, m, l := q.words(); h != hi || m != mid || l != lo {
		return sequence{}, fmt.Errorf("sequence number %s is not of layout 2", s)
	}
	if q.created >= secondsMax || q.time >= secondsMax || q.index > endIndex {
		return sequence{}, fmt.Errorf("sequence number %s has a field out of range", s)
	}
	return q, nil
}
