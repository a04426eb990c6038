package compare

import (
	"context"
	"slices"
	"sync"

	"github.com/standpipe/standpipe/compare/sketch"
)

const (
	placesKept = 3
	textMax    = 16 << 10 // of a line that is kept
	textsMax   = 32 << 20 // of all of them
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

// A locator is the second pass: it looks for given hashes.
type locator struct {
	c      *Config
	filter [1 << 16]uint64 // a bit for each hash, by its low 22 bits
	found  map[sketch.Hash]*found

	mu       sync.Mutex
	texts    int
	problems []Problem
}

// locate reads both sides again and finds the hashes. Of the first detailed ones
// it keeps places and text.
func locate(ctx context.Context, c *Config, inv *inventory, json bool, hashes []sketch.Hash, detailed int) (map[sketch.Hash]*found, []Problem, error) {
	l := &locator{c: c, found: make(map[sketch.Hash]*found, len(hashes))}
	for i, h := range hashes {
		l.filter[h.Lo>>6&0xffff] |= 1 << (h.Lo & 63)
		l.found[h] = &found{copies: copies{hash: h}, detail: i < detailed}
	}
	p := &pass{c: c, inv: inv, json: json, phase: PhaseLocate, begin: l.begin}
	for i := range inv.objects {
		p.objects = append(p.objects, i)
	}
	if len(hashes) > 0 {
		if err := p.run(ctx); err != nil {
			return nil, nil, err
		}
	}
	slices.SortFunc(l.problems, compareProblems)
	return l.found, l.problems, nil
}

func (l *locator) begin(_ int, o object) (func(sketch.Hash, []byte, spot), func(read)) {
	return func(h sketch.Hash, record []byte, at spot) {
			if l.filter[h.Lo>>6&0xffff]&(1<<(h.Lo&63)) == 0 {
				return
			}
			f := l.found[h] // the map itself does not change
			if f == nil {
				return
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.note(f, o, record, at)
		}, func(r read) {
			if r.err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.problems = append(l.problems, problemOf(o, r.err))
			}
		}
}

func (l *locator) note(f *found, o object, record []byte, at spot) {
	if o.halo {
		f.copies.halo[o.side]++
	} else {
		f.copies.core[o.side]++
	}
	if !f.detail {
		return
	}
	place := Place{Key: o.Key, Line: at.line, Offset: at.offset}
	places := f.places[o.side]
	i, _ := slices.BinarySearchFunc(places, place, comparePlaces)
	if i < placesKept {
		places = slices.Insert(places, i, place)
		f.places[o.side] = places[:min(len(places), placesKept)]
	}
	if f.text == nil && l.texts < textsMax {
		f.text = slices.Clone(record[:min(len(record), textMax)])
		f.cut = len(record) > textMax
		l.texts += len(f.text)
	}
}
