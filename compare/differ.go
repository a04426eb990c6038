package compare

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare/sketch"
)

// journalEvery is how often the journal is written: what an interrupt that
// cannot be waited for costs.
const journalEvery = 30 * time.Second

// A tally is what is known of the two sides after the first pass, or in the
// middle of it.
type tally struct {
	sketch *sketch.Sketch // A minus B
	sides  [2]sideTotals
	hours  map[int64]*[2]hourTotals
	// reads holds what became of each object, by index; nil: not read yet.
	reads []*read
}

type sideTotals struct {
	objects, stored, plain, lines int64
	digest                        digest
	codecs                        map[archive.Codec]int64
}

type hourTotals struct{ objects, lines int64 }

func newTally(c *Config, objects int) *tally {
	t := &tally{sketch: sketch.New(c.Capacity), hours: map[int64]*[2]hourTotals{}, reads: make([]*read, objects)}
	for i := range t.sides {
		t.sides[i].codecs = map[archive.Codec]int64{}
	}
	return t
}

// count takes an object into the totals.
func (t *tally) count(o object, r read) {
	t.reads[r.index] = &r
	hour := t.hours[o.hour]
	if hour == nil {
		hour = new([2]hourTotals)
		t.hours[o.hour] = hour
	}
	hour[o.side].objects++
	hour[o.side].lines += r.lines
	side := &t.sides[o.side]
	side.objects++
	side.stored += o.Size
	side.plain += r.plain
	side.lines += r.lines
	side.digest.merge(r.digest)
	side.codecs[r.codec]++
}

// A scan is the first pass: every record of both sides, once.
type scan struct {
	pass     *pass
	sketches []*sketch.Sketch // of each worker

	mu    sync.Mutex // guards tally but for its sketch, which is summed up between objects
	tally *tally
}

// first makes the first pass, or the rest of it, and keeps the journal.
func first(ctx context.Context, c *Config, inv *inventory, json bool, t *tally) error {
	s := &scan{tally: t}
	for range c.Workers {
		s.sketches = append(s.sketches, sketch.New(c.Capacity))
	}
	s.pass = &pass{c: c, inv: inv, json: json, phase: PhaseScan, begin: s.begin}
	for i := range inv.objects {
		if t.reads[i] == nil {
			s.pass.objects = append(s.pass.objects, i)
		}
	}
	stop := s.keep(c, json)
	err := s.pass.run(ctx)
	if jerr := stop(); err == nil {
		err = jerr
	}
	s.sum()
	if c.Journal != "" && !errors.Is(err, errJournal) {
		if jerr := writeJournal(c, inv, json, t); err == nil {
			err = jerr
		}
	}
	return err
}

func (s *scan) begin(worker int, o object) (func(sketch.Hash, []byte, spot), func(read)) {
	sk := s.sketches[worker]
	visit := func(h sketch.Hash, _ []byte, _ spot) { sk.Add(h) }
	if o.side == B {
		visit = func(h sketch.Hash, _ []byte, _ spot) { sk.Remove(h) }
	}
	return visit, func(r read) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tally.count(o, r)
	}
}

// sum moves what the workers' sketches hold into the tally's. No object may be
// under way.
func (s *scan) sum() {
	for i, sk := range s.sketches {
		if err := s.tally.sketch.Merge(sk); err != nil {
			panic("compare: " + err.Error()) // made alike in first
		}
		s.sketches[i].Reset()
	}
}

// keep writes the journal now and then until the function returned is called.
// A journal that cannot be written ends the run: --resume was promised.
func (s *scan) keep(c *Config, json bool) (stop func() error) {
	if c.Journal == "" {
		return func() error { return nil }
	}
	quit, done := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(journalEvery)
		defer tick.Stop()
		var err error
		for {
			select {
			case <-tick.C:
				s.pass.between.Lock()
				s.sum()
				err = errors.Join(err, writeJournal(c, s.pass.inv, json, s.tally))
				s.pass.between.Unlock()
			case <-quit:
				done <- err
				return
			}
		}
	}()
	return func() error {
		close(quit)
		return <-done
	}
}

// problems are the objects that could not be read whole, by side and key.
func (t *tally) problems(inv *inventory) []Problem {
	var all []Problem
	for _, r := range t.reads {
		if r != nil && r.err != nil {
			all = append(all, problemOf(inv.objects[r.index], r.err))
		}
	}
	slices.SortFunc(all, compareProblems)
	return all
}
