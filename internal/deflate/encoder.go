package deflate

import (
	"encoding/binary"
	"slices"
)

// BlockSize is how many bytes Append takes at most: 64 KiB.
const BlockSize = 64 << 10

const (
	// codeLimit is the longest code in bits. Deflate allows 15; with 14 four
	// literals, or a match, fit in a word beside what is pending.
	codeLimit = 14
	_         = uint(63 - 7 - 4*codeLimit) // or flush would lose bits
	// storedMax is the length of a stored block at most.
	storedMax = 1<<16 - 1
)

// An Encoder compresses blocks, about 400 KiB in memory. The zero value is
// ready. It belongs to one goroutine.
type Encoder struct {
	matcher matcher
	behind  bool // a whole block was there before, to be matched with
	tree    tree
	header  header

	litLengths  [litSymbols]uint8
	distLengths [distSymbols]uint8
	lits        [litSymbols]code
	dists       [32]code  // 30 and two that five bits could mean
	matches     [256]code // by length less 3: the code and its extra bits
}

// Reset begins a stream that does not refer to what was before.
func (e *Encoder) Reset() {
	clear(e.matcher.table[:]) // or the bytes written would depend on what was before
	e.behind = false
}

// Append compresses src, at most BlockSize bytes, and appends it to dst, ended
// on a byte. Results may be joined; none of them ends the stream, which takes
// an empty final block, 03 00. Only what follows a whole block can refer to it.
func (e *Encoder) Append(dst, src []byte) []byte {
	if len(src) == 0 {
		return dst
	}
	m := &e.matcher
	low := uint(BlockSize)
	if e.behind {
		low -= window
		copy(m.text[low:BlockSize], m.text[2*BlockSize-window:])
	}
	end := BlockSize + uint(copy(m.text[BlockSize:2*BlockSize], src))
	m.find(low, end)
	e.behind = end == 2*BlockSize

	// No symbol is longer than twice the bytes it stands for; the header and the
	// end take less than 1 KiB.
	dst = slices.Grow(dst, 2*len(src)+1<<10)
	w := writer{b: dst[len(dst):cap(dst)]}
	e.write(&w, end)
	if w.at > uint(len(src)) {
		return stored(dst, src)
	}
	return dst[:len(dst)+int(w.at)]
}

// write writes the block that find divided.
func (e *Encoder) write(w *writer, end uint) {
	m := &e.matcher
	m.lits[endOfBlock]++
	if len(m.sequences) == 0 {
		m.dists[0]++ // readers want one code at least
	}
	e.tree.lengths(m.lits[:], codeLimit, e.litLengths[:])
	e.tree.lengths(m.dists[:], codeLimit, e.distLengths[:])
	assign(e.litLengths[:], e.lits[:])
	assign(e.distLengths[:], e.dists[:distSymbols])
	for l := range e.matches {
		s := lengthSymbol[l]
		e.matches[l] = e.lits[firstLength+int(s)].and(uint32(l)-uint32(lengthBase[s]), uint(lengthExtra[s]))
	}
	w.write(0b100, 3) // not the last block, codes of its own
	e.header.write(w, &e.tree, &e.litLengths, &e.distLengths)
	e.body(w)
	for _, c := range m.text[end-m.tail : end] {
		w.write(e.lits[c].bits(), e.lits[c].len())
	}
	w.write(e.lits[endOfBlock].bits(), e.lits[endOfBlock].len())
	w.sync()
}

// body writes the sequences. It is where a quarter of the time goes.
func (e *Encoder) body(w *writer) {
	text, lits := &e.matcher.text, &e.lits
	b, at, bits, n := w.b, w.at, w.bits, w.n
	from := uint(BlockSize)
	for _, q := range e.matcher.sequences {
		run := uint(q >> 32)
		v := text.load(from)
		for run >= 4 {
			bits, n = put(bits, n, lits[uint8(v)])
			bits, n = put(bits, n, lits[uint8(v>>8)])
			bits, n = put(bits, n, lits[uint8(v>>16)])
			bits, n = put(bits, n, lits[uint8(v>>24)])
			at, bits, n = flush(b, at, bits, n)
			run -= 4
			from += 4
			v = text.load(from)
		}
		// The rest, none to three, by masks: how many there are cannot be foreseen.
		left := int32(run)
		bits, n = put(bits, n, lits[uint8(v)]&code(-left>>31))
		bits, n = put(bits, n, lits[uint8(v>>8)]&code((1-left)>>31))
		bits, n = put(bits, n, lits[uint8(v>>16)]&code((2-left)>>31))
		at, bits, n = flush(b, at, bits, n)

		length, symbol := uint8(q>>16), uint8(q>>24)&31
		bits, n = put(bits, n, e.matches[length])
		bits, n = put(bits, n, e.dists[symbol])
		extra := uint(distExtra[symbol]) & 63
		bits |= uint64(q) & 0xffff & (1<<extra - 1) << (n & 63)
		at, bits, n = flush(b, at, bits, n+extra)
		from += run + uint(length) + minMatch
	}
	w.at, w.bits, w.n = at, bits, n
}

// stored appends src as it is.
func stored(dst, src []byte) []byte {
	for len(src) > 0 {
		n := min(len(src), storedMax)
		dst = append(dst, 0)
		dst = binary.LittleEndian.AppendUint16(dst, uint16(n))
		dst = binary.LittleEndian.AppendUint16(dst, ^uint16(n))
		dst = append(dst, src[:n]...)
		src = src[n:]
	}
	return dst
}
