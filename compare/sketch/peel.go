package sketch

import (
	"math/bits"
	"slices"
)

// A Copies is a line by its hash, and how many times more often the one side
// has it; negative when the other side does. Never 0.
type Copies struct {
	Hash Hash
	N    int64
}

// Peel takes the sketch apart. whole says that found is every difference; if it
// is not, what was found is right and more is missing, because there are more
// differences than cells can hold or, rarely, because a few lines share all
// their cells. The sketch's cells are used up, its buckets are not.
func (s *Sketch) Peel() (found []Copies, whole bool) {
	net := map[Hash]int64{}
	queue := make([]uint64, 0, len(s.cells))
	for i := range s.cells {
		queue = append(queue, uint64(i))
	}
	// An honest sketch is done after a few rounds; one that was tampered with
	// could go round in circles.
	for steps := 64 * len(s.cells); len(queue) > 0 && steps > 0; steps-- {
		at := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		h, n, ok := s.cells[at].pure()
		if !ok {
			continue
		}
		places := s.places(h)
		if !slices.Contains(places[:], at) {
			continue
		}
		net[h] += n
		for _, p := range places {
			s.cells[p].subtract(h, h.check(), n)
			queue = append(queue, p)
		}
	}
	whole = !slices.ContainsFunc(s.cells, func(c cell) bool { return c != cell{} })
	for h, n := range net {
		if n != 0 {
			found = append(found, Copies{h, n})
		}
	}
	slices.SortFunc(found, func(a, b Copies) int { return a.Hash.Compare(b.Hash) })
	return found, whole
}

// pure says which hash a cell holds copies of, if it is one alone.
func (c cell) pure() (h Hash, n int64, ok bool) {
	n = c.count
	if n == 0 {
		return h, 0, false
	}
	abs := c
	if n < 0 {
		abs = c.negated()
	}
	if n == 1 || n == -1 {
		h = Hash{abs.mid, abs.lo}
		return h, n, abs.top == 0 && h.check() == abs.check
	}
	d := uint64(abs.count)
	if abs.top >= d { // the quotient has more than 128 bits, or the sum is negative
		return h, 0, false
	}
	var rest uint64
	h.Hi, rest = bits.Div64(abs.top, abs.mid, d)
	h.Lo, rest = bits.Div64(rest, abs.lo, d)
	return h, n, rest == 0 && h.check()*d == abs.check
}
