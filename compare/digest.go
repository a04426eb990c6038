package compare

import (
	"fmt"
	"math/bits"

	"github.com/standpipe/standpipe/compare/sketch"
)

func (d *digest) add(h sketch.Hash) { d.merge(digest{h.Hi, h.Lo}) }

func (d *digest) merge(e digest) {
	var carry uint64
	d.lo, carry = bits.Add64(d.lo, e.lo, 0)
	d.hi, _ = bits.Add64(d.hi, e.hi, carry)
}

// String is the form of standpipe.Digest.Sum and of manifests.
func (d digest) String() string { return fmt.Sprintf("%016x%016x", d.hi, d.lo) }

// MarshalText writes the digest as String does.
func (d digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *digest) UnmarshalText(b []byte) error {
	h, err := sketch.ParseHash(string(b))
	d.hi, d.lo = h.Hi, h.Lo
	return err
}
