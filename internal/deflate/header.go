package deflate

// The header of a block with codes of its own (RFC 1951, section 3.2.7): the
// lengths of both alphabets' codes in a row, with runs, in a code of their own.

// Symbols of the lengths' code above the lengths themselves.
const (
	repeatLast      = 16 // 3 to 6 times
	repeatZero      = 17 // 3 to 10
	repeatZeroOften = 18 // 11 to 138

	lengthsLimit   = 7 // bits of a code in the lengths' code
	lengthsSymbols = 19
)

// lengthsOrder is the order in which the lengths of the lengths' code come:
// likely zeros last, where they are left out.
var lengthsOrder = [lengthsSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// A header is what is built to write one.
type header struct {
	all   [litSymbols + distSymbols]uint8
	items [litSymbols + distSymbols]item
	n     int
	freq  [lengthsSymbols]uint32
}

// An item is a symbol of the lengths' code and its extra bits.
type item struct{ symbol, extra, bits uint8 }

func (h *header) put(symbol, extra, bits uint8) {
	h.items[h.n] = item{symbol, extra, bits}
	h.n++
	h.freq[symbol]++
}

// write writes the lengths of both alphabets.
func (h *header) write(w *writer, t *tree, lits *[litSymbols]uint8, dists *[distSymbols]uint8) {
	nl, nd := used(lits[:], firstLength), used(dists[:], 1)
	copy(h.all[:], lits[:nl])
	copy(h.all[nl:], dists[:nd])
	h.runs(h.all[:nl+nd])

	var lengths [lengthsSymbols]uint8
	var codes [lengthsSymbols]code
	t.lengths(h.freq[:], lengthsLimit, lengths[:])
	assign(lengths[:], codes[:])
	n := lengthsSymbols
	for n > 4 && lengths[lengthsOrder[n-1]] == 0 {
		n--
	}
	w.write(uint64(nl-firstLength)|uint64(nd-1)<<5|uint64(n-4)<<10, 14)
	for _, s := range lengthsOrder[:n] {
		w.write(uint64(lengths[s]), 3)
	}
	for _, it := range h.items[:h.n] {
		c := codes[it.symbol].and(uint32(it.extra), uint(it.bits))
		w.write(c.bits(), c.len())
	}
}

// used is the number of lengths without the zeros at the end, least at least.
func used(lengths []uint8, least int) int {
	n := len(lengths)
	for n > least && lengths[n-1] == 0 {
		n--
	}
	return n
}

// runs makes items of lengths.
func (h *header) runs(lengths []uint8) {
	h.n = 0
	clear(h.freq[:])
	for i := 0; i < len(lengths); {
		v, run := lengths[i], 1
		for i+run < len(lengths) && lengths[i+run] == v {
			run++
		}
		i += run
		if v > 0 {
			h.put(v, 0, 0)
			run--
		}
		for run >= 3 {
			n := 0
			switch {
			case v > 0:
				n = min(run, 6)
				h.put(repeatLast, uint8(n-3), 2)
			case run <= 10:
				n = run
				h.put(repeatZero, uint8(n-3), 3)
			default:
				n = min(run, 138)
				h.put(repeatZeroOften, uint8(n-11), 7)
			}
			run -= n
		}
		for range run {
			h.put(v, 0, 0)
		}
	}
}
