package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare/sketch"
)

// A tally is what the first pass counts: of one slice, or of all. It belongs to
// one goroutine.
type tally struct {
	Sides [2]sideTotals `json:"sides"`
	// Hours are lines of either side by the hour they are filed under.
	Hours    map[int64]*[2]int64 `json:"hours"`
	Problems []Problem           `json:"problems,omitempty"`
	// Reads are the slice's objects in their order, if they were asked for.
	Reads []objectRead `json:"reads,omitempty"`
	// Sketch is A minus B on its way from one machine to another.
	Sketch []byte `json:"sketch,omitempty"`

	sketch *sketch.Sketch
}

type sideTotals struct {
	Objects int64                   `json:"objects"`
	Stored  int64                   `json:"stored"`
	Plain   int64                   `json:"plain"`
	Lines   int64                   `json:"lines"`
	Digest  digest                  `json:"hash"`
	Codecs  map[archive.Codec]int64 `json:"codecs,omitempty"`
}

// An objectRead is what the manifests are held against.
type objectRead struct {
	Lines  int64  `json:"lines"`
	Hash   digest `json:"hash"`
	Failed bool   `json:"failed,omitempty"`
}

func newTally(capacity int) *tally {
	return &tally{sketch: sketch.New(capacity), Hours: map[int64]*[2]int64{}}
}

// begin returns what adds the records of an object.
func (t *tally) begin(_ int, o Object) func(sketch.Hash, []byte, spot) {
	if o.Side == B {
		return func(h sketch.Hash, _ []byte, _ spot) { t.sketch.Remove(h) }
	}
	return func(h sketch.Hash, _ []byte, _ spot) { t.sketch.Add(h) }
}

// count takes an object into the totals.
func (t *tally) count(o Object, r read, keep bool) {
	t.hour(o.hour())[o.Side] += r.lines
	t.Sides[o.Side].merge(sideTotals{
		Objects: 1, Stored: o.Size, Plain: r.plain, Lines: r.lines, Digest: r.digest, Codecs: map[archive.Codec]int64{r.codec: 1},
	})
	if r.err != nil {
		t.Problems = append(t.Problems, problemOf(o, r.err))
	}
	if keep {
		t.Reads = append(t.Reads, objectRead{r.lines, r.digest, r.err != nil})
	}
}

func (t *tally) hour(at int64) *[2]int64 {
	hour := t.Hours[at]
	if hour == nil {
		hour = new([2]int64)
		t.Hours[at] = hour
	}
	return hour
}

func (s *sideTotals) merge(o sideTotals) {
	s.Objects += o.Objects
	s.Stored += o.Stored
	s.Plain += o.Plain
	s.Lines += o.Lines
	s.Digest.merge(o.Digest)
	if s.Codecs == nil {
		s.Codecs = map[archive.Codec]int64{}
	}
	for codec, n := range o.Codecs {
		s.Codecs[codec] += n
	}
}

// travel is the tally as the result of a slice.
func (t *tally) travel() any {
	t.Sketch = t.sketch.AppendCompact(nil)
	return t
}

// merge adds the tally of a slice, but for its reads.
func (t *tally) merge(s *tally) error {
	if err := t.sketch.MergeCompact(s.Sketch); err != nil {
		return err
	}
	for side := range t.Sides {
		t.Sides[side].merge(s.Sides[side])
	}
	for at, lines := range s.Hours {
		hour := t.hour(at)
		hour[A] += lines[A]
		hour[B] += lines[B]
	}
	t.Problems = append(t.Problems, s.Problems...)
	return nil
}

// scan makes the first pass: every record of both sides, once.
func (r *run) scan(ctx context.Context) error {
	r.tally = newTally(r.c.Capacity)
	p := r.pass(PhaseScan)
	p.Capacity, p.Reads = r.c.Capacity, r.c.Manifests != nil
	failed, err := r.execute(ctx, p, func(s Slice, result []byte) error {
		part := &tally{}
		if err := json.Unmarshal(result, part); err != nil {
			return err
		}
		if p.Reads && len(part.Reads) == len(s.Objects) {
			for i, o := range s.Objects {
				r.reads[sideKey{o.Side, o.Key}] = part.Reads[i]
			}
		}
		return r.tally.merge(part)
	})
	if err != nil {
		return err
	}
	slices.SortFunc(r.tally.Problems, compareProblems)
	r.report.fill(r.c, r.inv, r.json, r.tally)
	r.report.Problems = append(r.report.Problems, failed...)
	return nil
}

// A sideKey names an object of a comparison.
type sideKey struct {
	side Side
	key  string
}

// pass is a pass over the slices of the run.
func (r *run) pass(phase string) Pass {
	return Pass{Phase: phase, Now: r.c.Now, Places: r.c.Places, unit: r.unit()}
}

func (r *run) unit() unit { return unit{JSON: r.json, Canonical: r.c.Canonical, Sample: r.c.Sample} }

// execute runs a pass and takes the results in whatever order they come. What
// failed is told as problems, in the order of the slices.
func (r *run) execute(ctx context.Context, p Pass, take func(Slice, []byte) error) ([]Problem, error) {
	execute := r.c.Execute
	if execute == nil {
		execute = r.c.inProcess
	}
	failures := make([]string, len(r.slices))
	taken := make([]bool, len(r.slices))
	err := execute(ctx, p, r.slices, func(i int, o Outcome) error {
		s := r.slices[i]
		if taken[i] {
			return fmt.Errorf("slice %d, %s: a second result", i, s.Name)
		}
		taken[i] = true
		if failures[i] = o.Failed; o.Failed != "" {
			return nil
		}
		if err := take(s, o.Result); err != nil {
			return fmt.Errorf("result of slice %d, %s: %w", i, s.Name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for i, reason := range failures {
		if !taken[i] {
			reason = "no result"
		}
		if reason != "" {
			problems = append(problems, Problem{Kind: ProblemSlice, Error: fmt.Sprintf("%s: slice %d, %s: %s", p.Phase, i, r.slices[i].Name, reason)})
		}
	}
	return problems, nil
}
