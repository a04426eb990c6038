package standpipe

import (
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// A Digest is an order-free hash of a multiset of lines: the number of lines
// and the sum, modulo 2^128, of the XXH3-128 hash of each line without its
// newline. Two archives with equal digests hold, but for a chance of about
// 2^-128 per comparison of honest data, the same lines the same number of
// times, in whatever order and cut into whatever objects. Unlike XOR, a sum
// sees that a line is there twice. It is no defence against an adversary who
// chooses the lines: XXH3 is not a cryptographic hash.
//
// The zero Digest is that of no lines. It is a value: no method is safe for
// concurrent use on the same variable.
type Digest struct {
	Lines  int64
	hi, lo uint64
}

// Add counts one line.
func (d *Digest) Add(line []byte) {
	h := xxh3.Hash128(line)
	d.Lines++
	d.add(h.Hi, h.Lo)
}

// Merge counts every line of e.
func (d *Digest) Merge(e Digest) {
	d.Lines += e.Lines
	d.add(e.hi, e.lo)
}

func (d *Digest) add(hi, lo uint64) {
	var carry uint64
	d.lo, carry = bits.Add64(d.lo, lo, 0)
	d.hi, _ = bits.Add64(d.hi, hi, carry)
}

// Sum is the hash as 32 hexadecimal digits, the form manifests carry.
func (d Digest) Sum() string { return fmt.Sprintf("%016x%016x", d.hi, d.lo) }

// ParseDigest is the inverse of Sum.
func ParseDigest(lines int64, sum string) (Digest, error) {
	var b [16]byte
	if n, err := hex.Decode(b[:], []byte(sum)); err != nil || n != 16 || len(sum) != 32 {
		return Digest{}, fmt.Errorf("digest %q is not 32 hexadecimal digits", sum)
	}
	d := Digest{Lines: lines}
	for i := range 8 {
		d.hi = d.hi<<8 | uint64(b[i])
		d.lo = d.lo<<8 | uint64(b[i+8])
	}
	return d, nil
}
