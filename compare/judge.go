package compare

// A Kind is what a difference means.
type Kind string

// The kinds. Missing and Extra of one side are the same lines: what is missing
// in A is what B has and A does not.
const (
	MissingInA Kind = "missing_in_a"
	MissingInB Kind = "missing_in_b"
	// DoubledInA and DoubledInB: both sides have the line, the one more often,
	// and that side is known to deliver at least once.
	DoubledInA Kind = "doubled_in_a"
	DoubledInB Kind = "doubled_in_b"
	// Edge: differs in the halo alone, and says nothing.
	Edge Kind = "edge"
)

var (
	missingIn = [2]Kind{MissingInA, MissingInB}
	doubledIn = [2]Kind{DoubledInA, DoubledInB}
)

// A finding is a hash of which the sides have different numbers, and what that
// means: n copies of the kind.
type finding struct {
	kind   Kind
	n      int64
	copies copies
}

// judge says what it means that the sides have different numbers of a record.
// A record is missing in one side when the other's core has more copies than
// its core and halo together. When it is there at least once, and the other
// side delivers at least once, the surplus is a duplicate of the other side.
func judge(c copies, legal [2]bool) finding {
	for _, side := range []Side{A, B} {
		n := c.core[side.Other()] - c.all(side)
		if n <= 0 {
			continue
		}
		f := finding{kind: missingIn[side], n: n, copies: c}
		if legal[side.Other()] && c.all(side) > 0 {
			f.kind = doubledIn[side.Other()]
		}
		return f
	}
	return finding{kind: Edge, n: abs(c.all(A) - c.all(B)), copies: c}
}

func abs(n int64) int64 { return max(n, -n) }

// Counts adds up every difference, shown or not.
type Counts struct {
	MissingInA int64 `json:"missingInA"`
	MissingInB int64 `json:"missingInB"`
	DoubledInA int64 `json:"doubledInA"`
	DoubledInB int64 `json:"doubledInB"`
	Edge       int64 `json:"edge"`
	// Distinct is how many distinct lines differ, those at the edge left out.
	Distinct int64 `json:"distinct"`
	// Altered and Reshaped are pairs of a line missing in A and one missing in B
	// that belong together: of those counted above, both. Only lines that are
	// shown are paired.
	Altered  int64 `json:"altered"`
	Reshaped int64 `json:"reshaped"`
}

func (c *Counts) add(f finding)    { c.change(f, 1) }
func (c *Counts) remove(f finding) { c.change(f, -1) }

func (c *Counts) change(f finding, by int64) {
	n := by * f.n
	switch f.kind {
	case MissingInA:
		c.MissingInA += n
	case MissingInB:
		c.MissingInB += n
	case DoubledInA:
		c.DoubledInA += n
	case DoubledInB:
		c.DoubledInB += n
	case Edge:
		c.Edge += n
		return
	}
	c.Distinct += by
}
