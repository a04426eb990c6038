package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	// window is how far back a match may be: all that deflate allows.
	window = 32 << 10
	// margin is left after the last position at which a match may begin, so that
	// loads of eight bytes stay inside.
	margin = 16
	// tableBits: 64 KiB of table. With 14 bits click events become 1 % larger
	// and nothing becomes quicker; 16 bits leave no room in the cache.
	tableBits = 15
	// hashed is how many bytes a position is found by. Four would find shorter
	// matches, which cost as much as the literals they replace.
	hashed = 5
	// step and stepShift: after each miss two bytes are passed over, and one more
	// for every 32 literals since the last match, so that what can't be
	// compressed is passed quickly. A match found late is extended backwards.
	step, stepShift = 3, 5
)

// A text is what the matcher sees: the window, then the block at [BlockSize:].
// Its first half less the window is never read for a match.
type text [2*BlockSize + margin]byte

// load reads eight bytes at i < 2*BlockSize. The mask only spares the check of
// the bounds.
func (t *text) load(i uint) uint64 {
	i &= 2*BlockSize - 1
	return binary.LittleEndian.Uint64(t[i : i+8])
}

// A sequence is a run of literals and the match that follows it:
// literals<<32 | symbol of the distance<<24 | length less 3<<16 | distance less 1.
type sequence uint64

// A matcher finds the sequences of one block after another.
type matcher struct {
	text text
	// table is the low half of the last position with each hash. Positions of
	// the block before are off by BlockSize, which the low half does not show,
	// so nothing has to be moved. What it says is only ever a guess: the bytes
	// are compared.
	table [1 << tableBits]uint16

	sequences []sequence
	tail      uint // literals after the last sequence
	lits      [litSymbols]uint32
	dists     [distSymbols]uint32
}

func hash(v uint64) uint64 {
	const prime = 889523592379
	return v << (64 - 8*hashed) * prime >> (64 - tableBits)
}

// find divides text[BlockSize:end] into sequences and counts their symbols.
// Matches begin at low or later.
func (m *matcher) find(low, end uint) {
	m.sequences = m.sequences[:0]
	clear(m.lits[:])
	clear(m.dists[:])
	m.tail = end - m.pass(low, end)
	m.count(end-m.tail, end)
}

// pass adds the sequences and returns where the last one ends.
func (m *matcher) pass(low, end uint) (done uint) {
	t := &m.text
	s := uint(BlockSize)
	done = s
	for {
		var back uint
		for {
			if s+margin > end {
				return done
			}
			v := t.load(s)
			back = m.guess(v, s)
			// The bytes first: that they are equal cannot be foreseen, that they are
			// near enough then almost always is.
			if uint32(v) == uint32(t.load(s-back)) && back-1 < window && s-back >= low {
				break
			}
			s += step + (s-done)>>stepShift
		}
		for {
			from := s - back
			for s > done && from > low && t[s-1] == t[from-1] {
				s--
				from--
			}
			n := t.equal(s+4, from+4, end) + 4
			m.add(done, s, n, back)
			s += n
			done = s
			if s+margin > end {
				return done
			}
			m.table[hash(t.load(s-2))] = uint16(s - 2)
			v := t.load(s)
			back = m.guess(v, s)
			if uint32(v) != uint32(t.load(s-back)) || back-1 >= window || s-back < low {
				s++
				break
			}
		}
	}
}

// guess says how far back the last position with the same hash is, or that
// and a multiple of 64 KiB less, and puts s in its place. 0 is no position.
func (m *matcher) guess(v uint64, s uint) uint {
	p := &m.table[hash(v)]
	back := uint(uint16(s) - *p)
	*p = uint16(s)
	return back
}

// equal counts the equal bytes from a and from b, up to end; b < a.
func (t *text) equal(a, b, end uint) uint {
	from := a
	// Sixteen at a time: most matches then leave the loop in its first turn.
	for ; a+16 <= end; a, b = a+16, b+16 {
		first, second := t.load(a)^t.load(b), t.load(a+8)^t.load(b+8)
		if first|second == 0 {
			continue
		}
		n := uint(bits.TrailingZeros64(first)) >> 3 // 8 when they are equal
		if first == 0 {
			n = 8 + uint(bits.TrailingZeros64(second))>>3
		}
		return a - from + n
	}
	for a < end && t[a] == t[b] {
		a++
		b++
	}
	return a - from
}

// add notes the literals from done to s and a match of n bytes, in pieces when
// it is longer than deflate has words for.
func (m *matcher) add(done, s, n, back uint) {
	m.count(done, s)
	lits, d := s-done, back-1
	symbol := distSymbol(d)
	for n > 0 {
		l := min(n, maxMatch)
		if n-l > 0 && n-l < minMatch {
			l -= minMatch // leave enough for another
		}
		n -= l
		m.lits[firstLength+uint(lengthSymbol[uint8(l-minMatch)])]++
		m.dists[symbol]++
		m.sequences = append(m.sequences, sequence(lits<<32|symbol<<24|(l-minMatch)<<16|d))
		lits = 0
	}
}

func (m *matcher) count(from, to uint) {
	for _, c := range m.text[from:to] {
		m.lits[c]++
	}
}
