package sketch

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// A Hash is the XXH3-128 hash of a line, the one standpipe.Digest sums up. It
// is no defence against somebody who chooses the lines.
type Hash struct{ Hi, Lo uint64 }

// Of hashes a line, without its newline.
func Of(line []byte) Hash {
	h := xxh3.Hash128(line)
	return Hash{h.Hi, h.Lo}
}

func (h Hash) String() string { return fmt.Sprintf("%016x%016x", h.Hi, h.Lo) }

// ParseHash is the inverse of String.
func ParseHash(s string) (h Hash, err error) {
	if len(s) != 32 {
		return h, fmt.Errorf("hash %q is not 32 hexadecimal digits", s)
	}
	if _, err := fmt.Sscanf(s, "%016x%016x", &h.Hi, &h.Lo); err != nil {
		return h, fmt.Errorf("hash %q is not 32 hexadecimal digits", s)
	}
	return h, nil
}

// Less orders hashes.
func (h Hash) Less(g Hash) bool { return h.Hi < g.Hi || h.Hi == g.Hi && h.Lo < g.Lo }

// Compare orders hashes, as cmp.Compare does numbers.
func (h Hash) Compare(g Hash) int { return cmp.Or(cmp.Compare(h.Hi, g.Hi), cmp.Compare(h.Lo, g.Lo)) }

// MarshalText writes the hash as String does.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(b []byte) (err error) {
	*h, err = ParseHash(string(b))
	return err
}

// Buckets is how many sums a sketch keeps beside its cells.
const Buckets = 4096

// Bucket is the bucket of a hash.
func (h Hash) Bucket() int { return int(h.Hi >> 52) }

const (
	tables = 3
	// slack is cells per difference. Three tables peel at 1.23 and more when
	// there are many differences (Molloy 2004); 1.5 leaves room for few.
	slack    = 1.5
	cellsMin = 1 << 10
	cellsMax = 1 << 28
)

// A cell sums up the lines that fall into it: how many, their hashes as a
// number of 192 bits in two's complement, which never wraps, so that the sum of
// n copies of one hash can be divided by n, and their checks.
type cell struct {
	count      int64
	lo, mid    uint64
	top, check uint64
}

// A Sketch is the difference of two multisets of lines. It belongs to one
// goroutine.
type Sketch struct {
	cells   []cell // tables of equal length, one after the other
	mask    uint64
	buckets [Buckets]bucket
}

type bucket struct {
	count  int64
	hi, lo uint64
}

// New returns an empty sketch for about so many differences: 60 to 120 bytes for
// each.
func New(differences int) *Sketch {
	each := tableLength(differences)
	return &Sketch{cells: make([]cell, tables*each), mask: uint64(each - 1)}
}

// Capacity is how many differences the sketch is made for.
func (s *Sketch) Capacity() int { return int(float64(len(s.cells)) / slack) }

// Bytes is the memory a sketch for so many differences takes.
func Bytes(differences int) int64 {
	return int64(tables*tableLength(differences))*cellSize + Buckets*bucketSize
}

// tableLength is a power of two.
func tableLength(differences int) int {
	n := min(max(int(float64(differences)*slack), cellsMin), cellsMax)
	return 1 << bits.Len(uint((n+tables-1)/tables-1))
}

// check is a function of the hash that no sum of other hashes' checks equals
// but by chance.
func (h Hash) check() uint64 {
	hi, lo := bits.Mul64(h.Hi^0x9e3779b97f4a7c15, h.Lo^0xd6e8feb86659fd93)
	return hi ^ lo
}

// places are the cells of a hash, one of each table.
func (s *Sketch) places(h Hash) [tables]uint64 {
	each := s.mask + 1
	return [tables]uint64{h.Lo & s.mask, each + h.Lo>>32&s.mask, 2*each + h.Hi&s.mask}
}

// Add counts a line of the one side.
func (s *Sketch) Add(h Hash) {
	check := h.check()
	for _, at := range s.places(h) {
		c := &s.cells[at]
		c.count++
		var carry uint64
		c.lo, carry = bits.Add64(c.lo, h.Lo, 0)
		c.mid, carry = bits.Add64(c.mid, h.Hi, carry)
		c.top += carry
		c.check += check
	}
	b := &s.buckets[h.Bucket()]
	var carry uint64
	b.count++
	b.lo, carry = bits.Add64(b.lo, h.Lo, 0)
	b.hi, _ = bits.Add64(b.hi, h.Hi, carry)
}

// Remove counts a line of the other side.
func (s *Sketch) Remove(h Hash) {
	check := h.check()
	for _, at := range s.places(h) {
		s.cells[at].remove(h, check)
	}
	b := &s.buckets[h.Bucket()]
	var borrow uint64
	b.count--
	b.lo, borrow = bits.Sub64(b.lo, h.Lo, 0)
	b.hi, _ = bits.Sub64(b.hi, h.Hi, borrow)
}

func (c *cell) remove(h Hash, check uint64) {
	c.count--
	var borrow uint64
	c.lo, borrow = bits.Sub64(c.lo, h.Lo, 0)
	c.mid, borrow = bits.Sub64(c.mid, h.Hi, borrow)
	c.top -= borrow
	c.check -= check
}

// subtract takes n copies of a hash away; n may be negative.
func (c *cell) subtract(h Hash, check uint64, n int64) {
	abs := uint64(n)
	if n < 0 {
		abs = -abs
	}
	carry, lo := bits.Mul64(h.Lo, abs)
	top, mid := bits.Mul64(h.Hi, abs)
	mid, carry = bits.Add64(mid, carry, 0)
	top += carry
	c.count -= n
	c.check -= check * uint64(n)
	if n > 0 {
		c.lo, carry = bits.Sub64(c.lo, lo, 0)
		c.mid, carry = bits.Sub64(c.mid, mid, carry)
		c.top, _ = bits.Sub64(c.top, top, carry)
		return
	}
	c.lo, carry = bits.Add64(c.lo, lo, 0)
	c.mid, carry = bits.Add64(c.mid, mid, carry)
	c.top, _ = bits.Add64(c.top, top, carry)
}

// Explain takes n copies of a hash out of its bucket, and leaves the cells alone:
// when every difference was explained, no bucket Differs.
func (s *Sketch) Explain(h Hash, n int64) {
	hi, lo := bits.Mul64(h.Lo, uint64(n))
	if n < 0 { // uint64(n) is 2^64 too many
		hi -= h.Lo
	}
	hi += h.Hi * uint64(n)
	s.buckets[h.Bucket()].merge(bucket{n, hi, lo}.negated())
}

// Merge adds up: what t holds is in s afterwards. Sketches of different sizes
// do not merge.
func (s *Sketch) Merge(t *Sketch) error { return s.join(t, false) }

// Subtract makes s the difference to t.
func (s *Sketch) Subtract(t *Sketch) error { return s.join(t, true) }

func (s *Sketch) join(t *Sketch, minus bool) error {
	if len(s.cells) != len(t.cells) {
		return fmt.Errorf("sketches for %d and %d differences cannot be joined: make both with the same --capacity", s.Capacity(), t.Capacity())
	}
	for i, c := range t.cells {
		if minus {
			c = c.negated()
		}
		s.cells[i].merge(c)
	}
	for i, b := range t.buckets {
		if minus {
			b = b.negated()
		}
		s.buckets[i].merge(b)
	}
	return nil
}

func (c *cell) merge(d cell) {
	var carry uint64
	c.count += d.count
	c.check += d.check
	c.lo, carry = bits.Add64(c.lo, d.lo, 0)
	c.mid, carry = bits.Add64(c.mid, d.mid, carry)
	c.top, _ = bits.Add64(c.top, d.top, carry)
}

func (b *bucket) merge(d bucket) {
	var carry uint64
	b.count += d.count
	b.lo, carry = bits.Add64(b.lo, d.lo, 0)
	b.hi, _ = bits.Add64(b.hi, d.hi, carry)
}

func (b bucket) negated() bucket {
	n := bucket{count: -b.count}
	var borrow uint64
	n.lo, borrow = bits.Sub64(0, b.lo, 0)
	n.hi, _ = bits.Sub64(0, b.hi, borrow)
	return n
}

func (c cell) negated() cell {
	n := cell{count: -c.count, check: -c.check}
	var borrow uint64
	n.lo, borrow = bits.Sub64(0, c.lo, 0)
	n.mid, borrow = bits.Sub64(0, c.mid, borrow)
	n.top, _ = bits.Sub64(0, c.top, borrow)
	return n
}

// Differs says whether lines of a bucket differ between the two sides, but for
// a chance of 2^-128.
func (s *Sketch) Differs(at int) bool { return s.buckets[at] != bucket{} }

// Estimate is about how many distinct lines differ, from the number of buckets
// that do. It says at least so many when all of them do.
func (s *Sketch) Estimate() int {
	k := 0
	for i := range s.buckets {
		if s.Differs(i) {
			k++
		}
	}
	if k == Buckets {
		return Buckets * 9 // where the last bucket is expected to be hit: n·ln n / n
	}
	return int(math.Round(-Buckets * math.Log(1-float64(k)/Buckets)))
}

// Clone returns a copy.
func (s *Sketch) Clone() *Sketch {
	c := *s
	c.cells = append([]cell(nil), s.cells...)
	return &c
}
