package compare

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/standpipe/standpipe/compare/sketch"
)

// An Exchange is one side's sketch, for two accounts of which neither may read
// the other's archive: some megabytes travel, whatever the archive's size, and
// no line does.
type Exchange struct {
	head   exchangeHead
	sketch *sketch.Sketch
}

type exchangeHead struct {
	Version   int        `json:"version"`
	Unit      exchangeOf `json:"unit"`
	Side      SideReport `json:"side"`
	Hours     []sideHour `json:"hours"`
	Problems  []Problem  `json:"problems"`
	Unsettled string     `json:"unsettled,omitempty"`
}

// An exchangeOf is what two sketches must have in common.
type exchangeOf struct {
	From, To  string
	Halo      time.Duration
	Records   Records
	Canonical bool
	Sample    uint64
	Capacity  int
}

type sideHour struct {
	Start time.Time `json:"start"`
	Lines int64     `json:"lines"`
	Halo  bool      `json:"halo,omitempty"`
}

// Sketch reads one side, Stores[A], and writes its sketch. What could not be
// read is in the file and in the result.
func Sketch(ctx context.Context, c Config, w io.Writer) (SideReport, []Problem, error) {
	if err := c.validate(); err != nil {
		return SideReport{}, nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	r := newRun(&c)
	if err := r.read(ctx); err != nil {
		return SideReport{}, nil, err
	}
	head := exchangeHead{
		Version: SchemaVersion, Side: r.report.Sides[A], Problems: r.report.Problems,
		Unit: exchangeOf{bound(c.From), bound(c.To), c.Halo, r.report.Method.Records, c.Canonical, c.Sample, r.tally.sketch.Capacity()},
	}
	for _, h := range r.report.Hours {
		head.Hours = append(head.Hours, sideHour{h.Start, h.A, h.Halo})
	}
	b := bufio.NewWriter(w)
	if err := json.NewEncoder(b).Encode(head); err != nil {
		return head.Side, nil, fmt.Errorf("write the sketch: %w", err)
	}
	if _, err := r.tally.sketch.WriteTo(b); err != nil {
		return head.Side, nil, err
	}
	if err := b.Flush(); err != nil {
		return head.Side, nil, fmt.Errorf("write the sketch: %w", err)
	}
	return head.Side, head.Problems, nil
}

// exchangeHeadMax bounds the first line of a sketch file.
const exchangeHeadMax = 64 << 20

// ReadExchange reads what Sketch wrote.
func ReadExchange(r io.Reader) (*Exchange, error) {
	b := bufio.NewReader(r)
	head, err := readLine(b, exchangeHeadMax)
	if err != nil {
		return nil, fmt.Errorf("this is no sketch: %w", err)
	}
	e := &Exchange{}
	if err := json.Unmarshal(head, &e.head); err != nil || e.head.Version != SchemaVersion {
		return nil, fmt.Errorf("this is no sketch of version %d, as standpipe compare sketch writes it", SchemaVersion)
	}
	if e.sketch, err = sketch.Read(b); err != nil {
		return nil, err
	}
	return e, nil
}

func readLine(b *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if err != bufio.ErrBufferFull || len(line) > most { //nolint:errorlint // ReadSlice returns it itself
			return nil, fmt.Errorf("its first line has no end: %w", err)
		}
	}
}

// Diff is the verdict on two sketches. Differences have hashes and no places:
// each side looks for them in its own archive, see Find. With a halo it cannot
// be told which of them lie at the edge, until they are found.
func Diff(a, b *Exchange, c Config) (*Report, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	if a.head.Unit != b.head.Unit {
		return nil, fmt.Errorf("%w: the sketches were made with other flags: %+v and %+v", ErrSettings, a.head.Unit, b.head.Unit)
	}
	r := newReport(&c)
	r.Sides = [2]SideReport{a.head.Side, b.head.Side}
	unit := a.head.Unit
	r.Method = Method{Records: unit.Records, Canonical: unit.Canonical, Sample: unit.Sample, Capacity: unit.Capacity}
	r.Window = Window{Halo: unit.Halo.String()}
	for side, e := range []*Exchange{a, b} {
		r.Sides[side].Name, r.Sides[side].AtLeastOnce = Side(side).String(), c.Legal[side]
		for _, p := range e.head.Problems {
			p.Side = Side(side).String()
			r.Problems = append(r.Problems, p)
		}
	}
	r.Hours = joinHours(a.head.Hours, b.head.Hours)
	difference := a.sketch.Clone()
	if err := difference.Subtract(b.sketch); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	r.Method.Estimate = difference.Estimate()
	net, whole := difference.Peel()
	if !whole {
		r.Problems = append(r.Problems, Problem{Kind: ProblemSpill, Error: fmt.Sprintf("about %d lines differ, more than the sketches hold: make both again with a larger --capacity", r.Method.Estimate)})
		net = nil
	}
	for _, n := range net {
		f := finding{kind: MissingInB, n: abs(n.N)}
		if n.N < 0 {
			f.kind = MissingInA
		}
		r.Counts.add(f)
		if len(r.Differences) < c.Shown {
			r.Differences = append(r.Differences, Difference{Kind: f.kind, Hash: n.Hash.String(), Copies: f.n, PlacesA: []Place{}, PlacesB: []Place{}})
		}
	}
	r.Omitted = r.Counts.Distinct - int64(len(r.Differences))
	r.conclude()
	if r.Counts.Distinct > 0 {
		r.Advice = append(r.Advice, "Each side finds the places: standpipe compare find PLACE HASHES, with this report's --json as HASHES. A line both sides have was doubled, not lost.")
	}
	return r, nil
}

func joinHours(a, b []sideHour) []Hour {
	at := map[int64]*Hour{}
	for side, hours := range [][]sideHour{a, b} {
		for _, h := range hours {
			hour := at[h.Start.Unix()]
			if hour == nil {
				hour = &Hour{Start: h.Start, Halo: h.Halo}
				at[h.Start.Unix()] = hour
			}
			if Side(side) == A {
				hour.A += h.Lines
			} else {
				hour.B += h.Lines
			}
		}
	}
	all := []Hour{}
	for _, h := range at {
		h.Delta = h.A - h.B
		all = append(all, *h)
	}
	return running(all)
}

// Find looks for lines by their hashes in one side, Stores[A].
func Find(ctx context.Context, c Config, hashes []sketch.Hash) ([]Difference, []Problem, error) {
	if err := c.validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSettings, err)
	}
	r := newRun(&c)
	if err := r.plan(ctx); err != nil {
		return nil, nil, err
	}
	hashes = ordered(hashes)
	found, problems, err := r.locate(ctx, hashes, len(hashes))
	if err != nil {
		return nil, nil, err
	}
	var all []Difference
	for _, h := range hashes {
		f := found[h]
		all = append(all, Difference{Hash: h.String(), A: f.copies.all(A), Copies: f.copies.core[A], PlacesA: f.places[A], PlacesB: []Place{}, Text: excerpt(f.text)})
	}
	return all, problems, nil
}
