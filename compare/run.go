package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/standpipe/standpipe/compare/sketch"
)

// ErrSettings marks a Config that cannot be run. Compare with errors.Is.
var ErrSettings = errors.New("settings")

// Run compares. An error means that there is no report: a store that cannot be
// listed, settings that contradict one another (ErrSettings), archives that are
// not those of the Plan (ErrResume), what the Executor returned, or the end of
// ctx; everything else is in the report.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	r := newRun(&c)
	if err := r.follow(); err != nil {
		return nil, err
	}
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	if err := r.differ(ctx); err != nil {
		return nil, err
	}
	if err := r.arbitrate(ctx); err != nil {
		return nil, err
	}
	r.show()
	if err := r.prove(ctx); err != nil {
		return nil, err
	}
	r.report.Duration = time.Since(r.began)
	r.report.conclude()
	return r.report, nil
}

// A run is one comparison under way.
type run struct {
	c      *Config
	began  time.Time
	inv    *inventory
	json   bool
	slices []Slice
	tally  *tally
	report *Report

	prover *prover                // nil without manifests
	reads  map[sideKey]objectRead // for the prover

	findings []finding              // all, or those to show when there are too many
	found    map[sketch.Hash]*found // of findings
}

func newRun(c *Config) *run {
	return &run{c: c, report: newReport(c), began: time.Now(), reads: map[sideKey]objectRead{}}
}

// read plans what is read and makes the first pass.
func (r *run) read(ctx context.Context) error {
	if err := r.plan(ctx); err != nil {
		return err
	}
	return r.scan(ctx)
}

// differ finds what differs and what it means.
func (r *run) differ(ctx context.Context) error {
	r.report.Method.Estimate = r.tally.sketch.Estimate()
	net, whole := r.tally.sketch.Clone().Peel()
	if !whole || r.c.spillAlways {
		return r.spill(ctx)
	}
	hashes := make([]sketch.Hash, len(net))
	for i, n := range net {
		hashes[i] = n.Hash
	}
	if err := r.find(ctx, hashes); err != nil {
		return err
	}
	for _, h := range hashes {
		c := r.found[h].copies
		r.explain(c)
		r.take(judge(c, r.c.Legal))
	}
	r.contradiction()
	return nil
}

// explain takes a difference that was found out of the sketch.
func (r *run) explain(c copies) { r.tally.sketch.Explain(c.hash, c.all(A)-c.all(B)) }

// contradiction notes that the passes were not of the same lines: what the first
// one counted and no later one found would pass for equal. What could not be read
// explains it.
func (r *run) contradiction() {
	left := 0
	for b := range sketch.Buckets {
		if r.tally.sketch.Differs(b) {
			left++
		}
	}
	if left == 0 || len(r.report.Problems) > 0 {
		return
	}
	r.report.Problems = append(r.report.Problems, Problem{
		Kind: ProblemContradiction, Error: fmt.Sprintf("the passes contradict one another: in %d of %d parts of the lines the differences counted are not those found", left, sketch.Buckets),
	})
}

// take counts a finding.
func (r *run) take(f finding) {
	r.report.Counts.add(f)
	if f.kind != Edge {
		r.findings = append(r.findings, f)
	}
}

// spill counts on disk and locates only what will be shown.
func (r *run) spill(ctx context.Context) error {
	r.report.Method.Spilled = true
	problems, err := r.countOnDisk(ctx, func(c copies) {
		r.explain(c)
		f := judge(c, r.c.Legal)
		if len(r.findings) < r.c.kept() {
			r.take(f)
			return
		}
		r.report.Counts.add(f)
	})
	r.trouble(problems)
	if errors.Is(err, errSpill) {
		r.report.Problems = append(r.report.Problems, Problem{Kind: ProblemSpill, Error: err.Error()})
		r.found = map[sketch.Hash]*found{}
		return nil
	}
	if err != nil {
		return err
	}
	r.contradiction()
	hashes := make([]sketch.Hash, len(r.findings))
	for i, f := range r.findings {
		hashes[i] = f.copies.hash
	}
	return r.find(ctx, hashes)
}

// find makes the second pass.
func (r *run) find(ctx context.Context, hashes []sketch.Hash) error {
	found, problems, err := r.locate(ctx, hashes, r.c.kept())
	r.found = found
	r.trouble(problems)
	return err
}

// trouble adds what a later pass could not read to what the first one could not.
func (r *run) trouble(problems []Problem) {
	for _, p := range problems {
		if p.Key == "" || !slices.ContainsFunc(r.report.Problems, func(q Problem) bool { return q.Side == p.Side && q.Key == p.Key }) {
			r.report.Problems = append(r.report.Problems, p)
		}
	}
}

// show lists the findings: what is missing first, by place.
func (r *run) show() {
	texts := map[string]*found{}
	for _, f := range r.findings {
		d := Difference{Kind: f.kind, Hash: f.copies.hash.String(), Copies: f.n, A: f.copies.all(A), B: f.copies.all(B), PlacesA: []Place{}, PlacesB: []Place{}}
		if in := r.found[f.copies.hash]; in != nil && in.detail {
			d.PlacesA, d.PlacesB = append(d.PlacesA, in.places[A]...), append(d.PlacesB, in.places[B]...)
			d.Text = excerpt(in.text)
			texts[d.Hash] = in
			d.Truth = in.truth
		}
		r.report.Differences = append(r.report.Differences, d)
	}
	slices.SortStableFunc(r.report.Differences, compareDifferences)
	if len(r.report.Differences) > r.c.Shown {
		r.report.Differences = r.report.Differences[:r.c.Shown]
	}
	r.report.Counts.Altered, r.report.Counts.Reshaped = pair(r.report.Differences, texts)
	r.report.Omitted = r.report.Counts.Distinct - int64(len(r.report.Differences))
}

// excerptMax is how much of a line a report shows, in bytes.
const excerptMax = 240

// excerpt is the beginning of a line with everything but printable characters
// escaped, so that it harms no terminal.
func excerpt(text []byte) string {
	cut := text[:min(len(text), excerptMax)]
	s := strconv.QuoteToGraphic(string(cut))
	s = s[1 : len(s)-1]
	s = strings.ReplaceAll(s, `\"`, `"`)
	if len(cut) < len(text) {
		s += "…"
	}
	return s
}

// arbitrate asks the stream about every finding there is room for.
func (r *run) arbitrate(ctx context.Context) error {
	if r.c.Truth == nil {
		return nil
	}
	t := &TruthReport{Source: r.c.Truth.String()}
	r.report.Truth = t
	counts := make(map[sketch.Hash]int64, len(r.findings))
	for _, f := range r.findings {
		counts[f.copies.hash] = 0
	}
	split := splitter{json: r.json}
	err := r.c.Truth.Lines(ctx, func(line []byte) {
		split.line(line, spot{}, func(record []byte, _ spot) {
			if r.c.Canonical {
				record = canonical(record)
			}
			h := sketch.Of(record)
			t.Lines++
			if n, asked := counts[h]; asked {
				counts[h] = n + 1
			}
		})
		if t.Lines%100_000 == 0 {
			r.c.report(Progress{Phase: PhaseTruth, Lines: t.Lines})
		}
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		r.report.Problems = append(r.report.Problems, Problem{Kind: ProblemTruth, Error: err.Error()})
		return nil
	}
	r.judgeByTruth(counts)
	return nil
}

// judgeByTruth says which side is right. The stream also knows what looks like
// a legal duplicate and is not: when it has the line as often as the side with
// more copies, the other side lost one.
func (r *run) judgeByTruth(counts map[sketch.Hash]int64) {
	t := r.report.Truth
	for i, f := range r.findings {
		r.report.Counts.remove(f)
		n := counts[f.copies.hash]
		if in := r.found[f.copies.hash]; in != nil {
			in.truth = &n
		}
		switch {
		case n == 0:
			t.Unknown++
		case n == f.copies.all(A):
			t.AgreesA++
		case n == f.copies.all(B):
			t.AgreesB++
		default:
			t.Neither++
		}
		f.kind = judgeTrue(f, n)
		r.findings[i] = f
		r.report.Counts.add(f)
	}
}

// judgeTrue is the kind of a finding of which the stream has n copies.
func judgeTrue(f finding, n int64) Kind {
	a, b := f.copies.all(A), f.copies.all(B)
	switch {
	case n == 0:
		return f.kind // no longer in the stream: it says nothing
	case n == max(a, b) && a < b:
		return MissingInA
	case n == max(a, b):
		return MissingInB
	case n == min(a, b) && a < b:
		return DoubledInB
	case n == min(a, b):
		return DoubledInA
	}
	return f.kind
}
