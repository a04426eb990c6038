package deflate

import "encoding/binary"

// A writer puts bits into memory, the lowest first. Between two calls fewer
// than eight bits are pending. Codes may be added to bits and n by hand as long
// as n stays below 64; flush then writes the whole bytes. It is small enough to
// live in registers, which is why it goes by value in the hot loop.
type writer struct {
	b    []byte // room for what is to come, and eight bytes more
	at   uint   // bytes written
	bits uint64 // pending
	n    uint   // of them
}

// write writes the n low bits of v, at most 56; the others are zero.
func (w *writer) write(v uint64, n uint) {
	w.bits |= v << (w.n & 63)
	w.n += n
	w.at, w.bits, w.n = flush(w.b, w.at, w.bits, w.n)
}

// flush stores eight bytes and passes over those that are whole: no branch.
func flush(b []byte, at uint, bits uint64, n uint) (uint, uint64, uint) {
	binary.LittleEndian.PutUint64(b[at:], bits)
	return at + n>>3, bits >> (n & 56), n & 7
}

// put adds a code.
func put(bits uint64, n uint, c code) (uint64, uint) {
	return bits | c.bits()<<(n&63), n + c.len()
}

// sync writes an empty stored block, which ends on a byte.
func (w *writer) sync() {
	w.write(0, 3)
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
	w.write(0xffff<<16, 32)
}
