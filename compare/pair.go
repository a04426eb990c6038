package compare

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/standpipe/standpipe/compare/sketch"
)

// pairsMax bounds the pairs that are looked at: shown missing lines of the one
// side times those of the other.
const pairsMax = 4 << 20

// alike is the share of two lines that has to be equal, at their beginning and
// end together, for one to be the other one altered.
const alike = 0.7

// pair finds lines that are missing in A and lines missing in B that are one
// record: in another shape, or altered.
func pair(differences []Difference, texts map[string]*found) (altered, reshaped int64) {
	var missing [2][]*Difference
	for i := range differences {
		switch d := &differences[i]; {
		case texts[d.Hash] == nil || texts[d.Hash].text == nil:
		case d.Kind == MissingInA:
			missing[A] = append(missing[A], d)
		case d.Kind == MissingInB:
			missing[B] = append(missing[B], d)
		}
	}
	reshaped = pairShapes(missing, texts)
	altered = pairAltered(missing, texts)
	return altered, reshaped
}

// pairShapes joins lines that are equal in their canonical form.
func pairShapes(missing [2][]*Difference, texts map[string]*found) (pairs int64) {
	byShape := map[sketch.Hash][]*Difference{}
	for _, d := range missing[A] {
		if f := texts[d.Hash]; !f.cut {
			shape := sketch.Of(shapeOf(f.text))
			byShape[shape] = append(byShape[shape], d)
		}
	}
	for _, d := range missing[B] {
		f := texts[d.Hash]
		if f.cut {
			continue
		}
		shape := sketch.Of(shapeOf(f.text))
		if same := byShape[shape]; len(same) > 0 {
			byShape[shape] = same[1:]
			join(d, same[0], "another shape: "+shapeDiffers(f.text, texts[same[0].Hash].text))
			pairs += min(d.Copies, same[0].Copies)
		}
	}
	return pairs
}

func join(d, e *Difference, detail string) {
	d.Partner, e.Partner = e.Hash, d.Hash
	d.Detail, e.Detail = detail, detail
}

func shapeOf(text []byte) []byte { return canonical(bytes.TrimSpace(text)) }

// shapeDiffers says how two spellings of one record differ.
func shapeDiffers(a, b []byte) string {
	switch {
	case bytes.Equal(bytes.TrimRight(a, "\r"), bytes.TrimRight(b, "\r")):
		return "carriage return"
	case bytes.Equal(bytes.TrimSpace(a), bytes.TrimSpace(b)):
		return "white space around it"
	}
	var ways []string
	if ca, cb := compact(a), compact(b); !bytes.Equal(ca, cb) {
		a, b = ca, cb
	} else {
		return "white space"
	}
	if bytes.Contains(a, []byte(`\`)) || bytes.Contains(b, []byte(`\`)) {
		ways = append(ways, "escapes")
	}
	if len(a) == len(b) {
		ways = append(ways, "order of keys")
	}
	if len(ways) == 0 {
		ways = append(ways, "order of keys or numbers")
	}
	return strings.Join(ways, ", ")
}

func compact(text []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}

// pairAltered joins what is left, the most similar first.
func pairAltered(missing [2][]*Difference, texts map[string]*found) (pairs int64) {
	type candidate struct {
		a, b    *Difference
		equal   float64
		at, end int
	}
	var all []candidate
	if len(missing[A])*len(missing[B]) > pairsMax {
		return 0
	}
	for _, a := range missing[A] {
		for _, b := range missing[B] {
			if a.Partner != "" || b.Partner != "" {
				continue
			}
			x, y := texts[a.Hash].text, texts[b.Hash].text
			head, tail := common(x, y)
			if share := float64(head+tail) / float64(max(len(x), len(y))); share >= alike {
				all = append(all, candidate{a, b, share, head, len(y) - tail})
			}
		}
	}
	slices.SortStableFunc(all, func(p, q candidate) int { return cmp.Compare(q.equal, p.equal) })
	for _, c := range all {
		if c.a.Partner == "" && c.b.Partner == "" {
			join(c.a, c.b, alteredAt(c.at, c.end))
			pairs += min(c.a.Copies, c.b.Copies)
		}
	}
	return pairs
}

// common is how many bytes two texts share at the beginning and, of the rest,
// at the end.
func common(x, y []byte) (head, tail int) {
	n := min(len(x), len(y))
	for head < n && x[head] == y[head] {
		head++
	}
	for tail < n-head && x[len(x)-1-tail] == y[len(y)-1-tail] {
		tail++
	}
	return head, tail
}
