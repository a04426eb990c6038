package sketch

import (
	"encoding/binary"
	"errors"
	"math"
)

// AppendCompact appends the sketch without its empty buckets and cells, which
// are most of them when two parts of an archive hold nearly the same lines:
//
//	number of cells
//	number of buckets that follow, each: gap, count, hi, lo
//	number of cells that follow, each:   gap, count, top, mid, lo, check
//
// Gaps count what was left out since the one before. Sums of hashes are words
// of 64 bits, little endian, everything else is a varint: a full sketch takes
// two thirds of what WriteTo needs.
func (s *Sketch) AppendCompact(b []byte) []byte {
	le := binary.LittleEndian
	b = binary.AppendUvarint(b, uint64(len(s.cells)))
	filled := 0
	for i := range s.buckets {
		if s.Differs(i) {
			filled++
		}
	}
	b = binary.AppendUvarint(b, uint64(filled))
	next := 0
	for i, x := range s.buckets {
		if x == (bucket{}) {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i-next))
		b = binary.AppendVarint(b, x.count)
		b = le.AppendUint64(le.AppendUint64(b, x.hi), x.lo)
		next = i + 1
	}
	filled = 0
	for _, c := range s.cells {
		if c != (cell{}) {
			filled++
		}
	}
	b = binary.AppendUvarint(b, uint64(filled))
	next = 0
	for i, c := range s.cells {
		if c == (cell{}) {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i-next))
		b = binary.AppendVarint(b, c.count)
		b = binary.AppendVarint(b, int64(c.top)) // small: it counts carries
		b = le.AppendUint64(le.AppendUint64(le.AppendUint64(b, c.mid), c.lo), c.check)
		next = i + 1
	}
	return b
}

var errCompact = errors.New("this is no part of a sketch")

// MergeCompact adds what AppendCompact wrote of a sketch of the same size. After
// an error the sketch holds a part of it and is of no use any more.
func (s *Sketch) MergeCompact(b []byte) error {
	r := compactReader{rest: b}
	if n := r.uvarint(); r.broken || n != uint64(len(s.cells)) {
		return errCompact
	}
	at := 0
	for range r.count(Buckets) {
		at = r.place(at, Buckets)
		x := bucket{count: r.varint(), hi: r.word(), lo: r.word()}
		if r.broken {
			return errCompact
		}
		s.buckets[at-1].merge(x)
	}
	at = 0
	for range r.count(len(s.cells)) {
		at = r.place(at, len(s.cells))
		c := cell{count: r.varint(), top: uint64(r.varint()), mid: r.word(), lo: r.word(), check: r.word()}
		if r.broken {
			return errCompact
		}
		s.cells[at-1].merge(c)
	}
	if r.broken || len(r.rest) > 0 {
		return errCompact
	}
	return nil
}

// A compactReader takes numbers from the front of rest until one is not there.
type compactReader struct {
	rest   []byte
	broken bool
}

func (r *compactReader) fail() { r.broken, r.rest = true, nil }

func (r *compactReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *compactReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *compactReader) word() uint64 {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

// count is a number of entries, at most limit.
func (r *compactReader) count(limit int) int {
	n := r.uvarint()
	if n > uint64(limit) {
		r.fail()
		return 0
	}
	return int(n)
}

// place is one more than the index of the next entry: at, and the gap.
func (r *compactReader) place(at, limit int) int {
	gap := r.uvarint()
	if gap > math.MaxInt32 || at+int(gap) >= limit {
		r.fail()
		return 1
	}
	return at + int(gap) + 1
}
