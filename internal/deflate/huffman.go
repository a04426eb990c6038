package deflate

import (
	"math/bits"
	"slices"
)

// A code is the bits of a symbol, in the order in which they are written, and
// their number: bits<<8 | number. Bits that belong to it may follow.
type code uint32

func (c code) bits() uint64 { return uint64(c >> 8) }
func (c code) len() uint    { return uint(c & 0xff) }

// and is c followed by the n low bits of v.
func (c code) and(v uint32, n uint) code {
	return (c>>8|code(v)<<c.len())<<8 | code(c.len()+n)
}

// A tree has the nodes of a Huffman tree: leaves in order of their frequency,
// then inner nodes as they are made, the root last.
type tree struct {
	leaves [litSymbols]uint64 // frequency<<16 | symbol
	weight [2 * litSymbols]uint32
	parent [2 * litSymbols]uint16
	depth  [2 * litSymbols]uint8
}

// lengths sets the length of each symbol's code, at most limit bits, 0 for
// those that do not occur. The codes are complete unless only one symbol occurs,
// and as short as codes can be unless the limit is met.
func (t *tree) lengths(freq []uint32, limit int, out []uint8) {
	clear(out)
	n := 0
	for s, f := range freq {
		if f > 0 {
			t.leaves[n] = uint64(f)<<16 | uint64(s)
			n++
		}
	}
	leaves := t.leaves[:n]
	if n < 2 {
		for _, l := range leaves {
			out[l&0xffff] = 1
		}
		return
	}
	slices.Sort(leaves)
	t.join(n)
	var count [32]int // leaves by length
	t.depth[2*n-2] = 0
	for i := 2*n - 3; i >= 0; i-- {
		t.depth[i] = t.depth[t.parent[i]] + 1
		if i < n {
			count[min(int(t.depth[i]), limit)]++
		}
	}
	fit(&count, limit)
	i := 0
	for l := limit; l > 0; l-- { // the rarest first
		for range count[l] {
			out[leaves[i]&0xffff] = uint8(l)
			i++
		}
	}
}

// join makes the inner nodes: again and again the two lightest nodes without a
// parent, which are the next leaf or the oldest inner node.
func (t *tree) join(n int) {
	for i, l := range t.leaves[:n] {
		t.weight[i] = uint32(l >> 16)
	}
	leaf, inner := 0, n
	for next := n; next < 2*n-1; next++ {
		t.weight[next] = 0
		for range 2 {
			node := inner
			if inner == next || leaf < n && t.weight[leaf] <= t.weight[inner] {
				node = leaf
				leaf++
			} else {
				inner++
			}
			t.weight[next] += t.weight[node]
			t.parent[node] = uint16(next)
		}
	}
}

// fit makes room for the leaves that were cut to the limit: for each that is
// too many, a leaf higher up becomes two one level lower, and takes it along.
func fit(count *[32]int, limit int) {
	used := 0
	for l := 1; l <= limit; l++ {
		used += count[l] << (limit - l)
	}
	for ; used > 1<<limit; used-- {
		l := limit - 1
		for count[l] == 0 {
			l--
		}
		count[l]--
		count[l+1] += 2
		count[limit]--
	}
}

// assign gives out the canonical codes (RFC 1951, section 3.2.2).
func assign(lengths []uint8, out []code) {
	var count, next [16]uint16
	for _, l := range lengths {
		count[l&15]++
	}
	count[0] = 0
	for l := 1; l < 16; l++ {
		next[l] = (next[l-1] + count[l-1]) << 1
	}
	for s, l := range lengths {
		out[s] = 0
		if l > 0 {
			out[s] = code(bits.Reverse16(next[l&15])>>(16-l))<<8 | code(l)
			next[l&15]++
		}
	}
}
