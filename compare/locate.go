package compare

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"

	"github.com/standpipe/standpipe/compare/sketch"
)

const (
	placesKept = 3
	textMax    = 16 << 10 // of a line that is kept
	textsMax   = 6 << 20  // of all of them
)

// A found is what the second pass knows of a hash.
type found struct {
	copies copies
	places [2][]Place // the first few of each side, by key and line
	text   []byte     // nil when there is no more room; cut at textMax
	cut    bool
	detail bool   // places and text are wanted, not only the counts
	truth  *int64 // copies in the stream, when it was asked
}

// A located is the result of a slice of the second pass.
type located struct {
	Problems []Problem    `json:"problems,omitempty"`
	Found    []sliceFound `json:"found,omitempty"`
}

// A sliceFound is what a slice has of a hash.
type sliceFound struct {
	Hash sketch.Hash `json:"hash"`
	Core [2]int64    `json:"core"`
	Halo [2]int64    `json:"halo"`
	Hits [2][]hit    `json:"hits"`
	Text []byte      `json:"text,omitempty"`
	Cut  bool        `json:"cut,omitempty"`
}

// A hit is a Place, its object by the index in the slice.
type hit struct {
	Object int   `json:"o"`
	Line   int64 `json:"l"`
	Offset int64 `json:"b"`
}

// A locator looks for given hashes in a slice. It belongs to one goroutine.
type locator struct {
	objects []Object
	filter  [1 << 16]uint64 // a bit for each hash, by its low 22 bits
	wanted  map[uint64]bool // by the low half; true: with places and text
	found   map[sketch.Hash]*sliceFound
	texts   texts
	result  located
}

func newLocator(p Pass, objects []Object) *locator {
	l := &locator{objects: objects, wanted: map[uint64]bool{}, found: map[sketch.Hash]*sliceFound{}}
	for i := range len(p.Hashes) / 8 {
		lo := binary.LittleEndian.Uint64(p.Hashes[8*i:])
		l.filter[lo>>6&0xffff] |= 1 << (lo & 63)
		l.wanted[lo] = l.wanted[lo] || i < p.Detailed
	}
	return l
}

func (l *locator) begin(i int, o Object) func(sketch.Hash, []byte, spot) {
	return func(h sketch.Hash, record []byte, at spot) {
		if l.filter[h.Lo>>6&0xffff]&(1<<(h.Lo&63)) == 0 {
			return
		}
		if detail, wanted := l.wanted[h.Lo]; wanted {
			l.note(h, detail, o, hit{i, at.line, at.offset}, record)
		}
	}
}

func (l *locator) note(h sketch.Hash, detail bool, o Object, at hit, record []byte) {
	f := l.found[h]
	if f == nil {
		f = &sliceFound{Hash: h}
		l.found[h] = f
	}
	if o.Halo {
		f.Halo[o.Side]++
	} else {
		f.Core[o.Side]++
	}
	if !detail {
		return
	}
	hits := f.Hits[o.Side]
	i, _ := slices.BinarySearchFunc(hits, at, func(a, b hit) int { return comparePlaces(l.place(a), l.place(b)) })
	if i < placesKept {
		hits = slices.Insert(hits, i, at)
		f.Hits[o.Side] = hits[:min(len(hits), placesKept)]
	}
	l.texts.add(h, record[:min(len(record), textMax)], len(record) > textMax)
}

func (l *locator) place(h hit) Place { return Place{l.objects[h.Object].Key, h.Line, h.Offset} }

func (l *locator) end(o Object, r read) {
	if r.err != nil {
		l.result.Problems = append(l.result.Problems, problemOf(o, r.err))
	}
}

// travel is what was found as the result of a slice, by hash.
func (l *locator) travel() any {
	l.texts.trim()
	for h, f := range l.found {
		t := l.texts.kept[h]
		f.Text, f.Cut = t.bytes, t.cut
		l.result.Found = append(l.result.Found, *f)
	}
	slices.SortFunc(l.result.Found, func(a, b sliceFound) int { return a.Hash.Compare(b.Hash) })
	return l.result
}

// A texts keeps the texts of the least hashes, as many as there is room for: which
// they are does not depend on the order in which lines come, nor on the slices.
type texts struct {
	kept  map[sketch.Hash]text
	total int
	// limit, if any, is the least hash that there was no room for.
	limit *sketch.Hash
}

type text struct {
	bytes []byte
	cut   bool
}

func (t *texts) add(h sketch.Hash, line []byte, cut bool) {
	if _, there := t.kept[h]; there || t.limit != nil && !h.Less(*t.limit) {
		return
	}
	if t.kept == nil {
		t.kept = map[sketch.Hash]text{}
	}
	t.kept[h] = text{slices.Clone(line), cut}
	if t.total += len(line); t.total > 2*textsMax {
		t.trim()
	}
}

// trim drops what there is no room for.
func (t *texts) trim() {
	if t.total <= textsMax {
		return
	}
	hashes := make([]sketch.Hash, 0, len(t.kept))
	for h := range t.kept {
		hashes = append(hashes, h)
	}
	slices.SortFunc(hashes, sketch.Hash.Compare)
	t.total = 0
	for i, h := range hashes {
		n := len(t.kept[h].bytes)
		if t.total+n > textsMax {
			t.limit = &hashes[i]
			for _, over := range hashes[i:] {
				delete(t.kept, over)
			}
			return
		}
		t.total += n
	}
}

// locate reads both sides again and finds the hashes. Of the first detailed ones
// it keeps places and text.
func (r *run) locate(ctx context.Context, hashes []sketch.Hash, detailed int) (map[sketch.Hash]*found, []Problem, error) {
	all := make(map[sketch.Hash]*found, len(hashes))
	for i, h := range hashes {
		all[h] = &found{copies: copies{hash: h}, detail: i < detailed}
	}
	if len(hashes) == 0 {
		return all, nil, nil
	}
	p := r.pass(PhaseLocate)
	p.Hashes, p.Detailed = hashList(hashes), detailed
	var (
		kept     texts
		problems []Problem
	)
	failed, err := r.execute(ctx, p, func(s Slice, result []byte) error {
		var part located
		if err := json.Unmarshal(result, &part); err != nil {
			return err
		}
		problems = append(problems, part.Problems...)
		for _, one := range part.Found {
			if f := all[one.Hash]; f != nil { // else half of its hash was one we want
				f.merge(s, one)
				if f.detail && one.Text != nil {
					kept.add(one.Hash, one.Text, one.Cut)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	kept.trim()
	for h, t := range kept.kept {
		all[h].text, all[h].cut = t.bytes, t.cut
	}
	slices.SortFunc(problems, compareProblems)
	return all, append(problems, failed...), nil
}

// merge adds what a slice has.
func (f *found) merge(s Slice, one sliceFound) {
	for side := range f.places {
		f.copies.core[side] += one.Core[side]
		f.copies.halo[side] += one.Halo[side]
		if !f.detail {
			continue
		}
		for _, h := range one.Hits[side] {
			if h.Object >= 0 && h.Object < len(s.Objects) {
				f.places[side] = append(f.places[side], Place{s.Objects[h.Object].Key, h.Line, h.Offset})
			}
		}
		slices.SortFunc(f.places[side], comparePlaces)
		f.places[side] = f.places[side][:min(len(f.places[side]), placesKept)]
	}
}

// ordered are hashes in their order, each once.
func ordered(hashes []sketch.Hash) []sketch.Hash {
	hashes = slices.Clone(hashes)
	slices.SortFunc(hashes, sketch.Hash.Compare)
	return slices.Compact(hashes)
}
