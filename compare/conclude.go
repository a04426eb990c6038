package compare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/standpipe/standpipe/archive"
)

// limits are what no comparison of lines can see.
var limits = []string{
	"A line that was lost once and doubled once on the same side cancels out: equal payloads cannot be told apart.",
	"A line that the producer sent twice looks like one that was delivered twice; the stream itself tells them apart (--truth kinesis://NAME).",
}

func newReport(c *Config) *Report {
	r := &Report{
		Version: SchemaVersion, Advice: []string{}, Hours: []Hour{}, Differences: []Difference{}, Problems: []Problem{},
		Limits: slices.Clone(limits), Started: c.Now,
	}
	for side, store := range c.Stores {
		r.Sides[side] = SideReport{Name: Side(side).String(), AtLeastOnce: c.Legal[side]}
		if store != nil {
			r.Sides[side].Location = store.Location()
		}
	}
	if c.Sample > 1 {
		r.Limits = append(r.Limits, fmt.Sprintf("Only one line in %d was compared, the same ones on both sides. When none of n compared lines is missing, fewer than 3/n of all lines are, with 95 %% confidence.", c.Sample))
	}
	return r
}

// fill takes over what the first pass counted.
func (r *Report) fill(c *Config, inv *inventory, json bool, t *tally) {
	r.Window = Window{Halo: c.Halo.String(), Unsettled: inv.unsettled(c), Ahead: inv.ahead(c)}
	if !c.From.IsZero() {
		r.Window.From = &c.From
	}
	if !c.To.IsZero() {
		r.Window.To = &c.To
	}
	r.Method.Records, r.Method.Canonical, r.Method.Sample, r.Method.Capacity = Lines, c.Canonical, c.Sample, t.sketch.Capacity()
	if json {
		r.Method.Records = JSON
	}
	for side := range r.Sides {
		s, n := &r.Sides[side], t.Sides[side]
		s.Objects, s.StoredBytes, s.PlainBytes, s.Lines = n.Objects, n.Stored, n.Plain, n.Lines
		s.Hash, s.Codecs, s.Unnamed = n.Digest.String(), n.Codecs, inv.unnamed[side]
		if s.Codecs == nil {
			s.Codecs = map[archive.Codec]int64{}
		}
		if n.Objects == 0 && c.Stores[side] != nil {
			r.Problems = append(r.Problems, Problem{
				Kind: ProblemEmpty, Side: s.Name,
				Error: "no objects in the window: is the place right, and the window, and the time zone of the keys?",
			})
		}
	}
	r.Problems = append(r.Problems, t.Problems...)
	if r.Window.Unsettled != "" {
		r.Problems = append(r.Problems, Problem{Kind: ProblemUnsettled, Error: r.Window.Unsettled})
	}
	r.Hours = hours(c, t)
}

// hours are the totals of the hours that have objects.
func hours(c *Config, t *tally) []Hour {
	all := []Hour{}
	for at, n := range t.Hours {
		start := time.Unix(at, 0).UTC()
		core, _ := c.place(start)
		if !c.From.IsZero() && start.Before(c.From) && start.Add(time.Hour).After(c.From) {
			core = true
		}
		all = append(all, Hour{Start: start, A: n[A], B: n[B], Delta: n[A] - n[B], Halo: !core})
	}
	return running(all)
}

// running sorts hours and sums up their deltas.
func running(all []Hour) []Hour {
	slices.SortFunc(all, func(a, b Hour) int { return a.Start.Compare(b.Start) })
	var sum int64
	for i := range all {
		sum += all[i].Delta
		all[i].Running = sum
	}
	return all
}

func compareDifferences(d, e Difference) int {
	order := map[Kind]int{MissingInA: 0, MissingInB: 1, DoubledInA: 2, DoubledInB: 3}
	return cmp.Or(
		cmp.Compare(order[d.Kind], order[e.Kind]),
		slices.CompareFunc(d.PlacesA, e.PlacesA, comparePlaces),
		slices.CompareFunc(d.PlacesB, e.PlacesB, comparePlaces),
		cmp.Compare(d.Hash, e.Hash),
	)
}

// compared notes that there was nothing to compare: sides without a line, or, with
// a window, all of it in the halo. One side alone may have nothing in the core, for
// what it has of the window may be filed beside it.
func (r *Report) compared() {
	core := int64(0)
	for _, h := range r.Hours {
		if !h.Halo {
			core += h.A + h.B
		}
	}
	if core > 0 || len(r.Problems) > 0 {
		return
	}
	r.Problems = append(r.Problems, Problem{Kind: ProblemEmpty, Error: "no line of the window was compared"})
}

// conclude writes the verdict a person can act on.
func (r *Report) conclude() {
	r.compared()
	switch {
	case len(r.Problems) > 0:
		r.Verdict = Incomplete
		r.Headline = "Incomplete: no verdict. " + r.incomplete()
	case !r.alike() || r.Proof.broken():
		r.Verdict = Different
		r.Headline = "Different. " + r.different()
	default:
		r.Verdict = Equal
		r.Headline = "Safe to cut over: " + r.equal()
	}
	r.Advice = r.advice()
}

// alike says that no line is missing on either side, and none is there more often
// than its side may deliver it.
func (r *Report) alike() bool {
	c := r.Counts
	return c.MissingInA == 0 && c.MissingInB == 0 &&
		(c.DoubledInA == 0 || r.Sides[A].AtLeastOnce) && (c.DoubledInB == 0 || r.Sides[B].AtLeastOnce)
}

func (r *Report) equal() string {
	s := fmt.Sprintf("A and B hold the same %s", lines(r.Sides[A].Lines))
	switch {
	case r.Method.Sample > 1:
		s = fmt.Sprintf("A and B hold the same lines, in a sample of one in %d (%s)", r.Method.Sample, lines(r.Sides[A].Lines))
	case r.Sides[A].Lines != r.Sides[B].Lines || r.Counts.DoubledInA > 0:
		s = fmt.Sprintf("no line of A (%s) or B (%s) is missing on the other side", group(r.Sides[A].Lines), group(r.Sides[B].Lines))
	}
	if n := r.Counts.DoubledInB; n > 0 {
		s += fmt.Sprintf("; B delivered %s twice, as it may", lines(n))
	}
	if n := r.Counts.DoubledInA; n > 0 {
		s += fmt.Sprintf("; A delivered %s twice, as it may", lines(n))
	}
	return s + "."
}

func (r *Report) different() string {
	var parts []string
	add := func(n int64, what string) {
		if n > 0 {
			parts = append(parts, lines(n)+" "+what)
		}
	}
	c := r.Counts
	pairs := c.Altered + c.Reshaped
	add(max(c.MissingInA-pairs, 0), "of B missing in A")
	add(max(c.MissingInB-pairs, 0), "of A missing in B")
	add(c.Altered, "altered between A and B")
	add(c.Reshaped, "in another shape on the other side")
	add(c.DoubledInA, "more often in A")
	add(c.DoubledInB, "more often in B")
	if r.Proof.broken() {
		parts = append(parts, "the manifests do not agree with the objects")
	}
	return strings.Join(parts, ", ") + "."
}

func (r *Report) incomplete() string {
	count := map[ProblemKind]int{}
	for _, p := range r.Problems {
		count[p.Kind]++
	}
	var parts []string
	for _, k := range []struct {
		kind ProblemKind
		what string
	}{
		{ProblemUnreadable, "%s could not be read"},
		{ProblemChanged, "%s changed during the run"},
	} {
		if n := count[k.kind]; n > 0 {
			parts = append(parts, fmt.Sprintf(k.what, plural(int64(n), "object", "objects")))
		}
	}
	for _, p := range r.Problems {
		switch p.Kind {
		case ProblemEmpty:
			if p.Side == "" {
				parts = append(parts, p.Error)
				continue
			}
			parts = append(parts, "side "+p.Side+" has nothing in the window")
		case ProblemUnsettled, ProblemSpill, ProblemTruth, ProblemSlice, ProblemProof, ProblemContradiction:
			parts = append(parts, p.Error)
		}
	}
	s := strings.Join(parts, "; ") + "."
	if !r.alike() {
		s += " So far: " + r.different()
	}
	return s
}

// advice is what to do now.
func (r *Report) advice() []string {
	advice := []string{}
	say := func(when bool, what string) {
		if when {
			advice = append(advice, what)
		}
	}
	c := r.Counts
	kinds := map[ProblemKind]bool{}
	for _, p := range r.Problems {
		kinds[p.Kind] = true
	}
	pairs := c.Altered + c.Reshaped
	say(kinds[ProblemUnreadable], "Look at the objects named in this report. Where only the way to them was closed, open it and run the same command with --resume: it reads them alone. Objects that you replace need a run without it.")
	say(kinds[ProblemSlice], "Mend what the failed slices say, then run the same command with --resume: it does them alone.")
	say(kinds[ProblemChanged], "Something writes to objects that were there already. Find out what, or close the window with --to before it, and run again.")
	say(kinds[ProblemContradiction], "Bytes changed under a name, size and time that stayed: look at the disks and at who writes, and run again without --resume.")
	say(r.Window.Ahead, "No object is of a time to come: say with --zone (and --zone-b) by which time zone the folders are named, CustomTimeZone of the delivery stream.")
	say(kinds[ProblemUnsettled] && !r.Window.Ahead, "Wait, or end the window earlier with --to; --settle says how old it has to be.")
	say(kinds[ProblemSpill], "Are these two archives of the same stream, in the same unit (--records)? If so, run again with --max-spill or a larger --capacity.")
	say(kinds[ProblemEmpty], "Look at the place, --from, --to and --zone; standpipe cat shows what is there.")
	say(kinds[ProblemProof], "Give --manifests the place that holds _standpipe/, and as A the archive that standpipe wrote.")
	whole := r.Verdict != Incomplete // else what seems missing may be in what was not read
	say(whole && c.MissingInA > pairs, "Do not cut over: A lacks lines that B has. Find the objects of B named in this report; if their records are within retention, replay that range into A.")
	onlyB := whole && c.MissingInB > pairs && c.MissingInA == 0
	say(onlyB && r.Truth.onlyA(), "A has everything B has, and the stream has what B lacks: B lost it.")
	say(onlyB && r.Truth == nil, "A has everything B has. Whether B lost the rest or A has lines from elsewhere, the stream tells: --truth kinesis://NAME.")
	say(whole && c.MissingInB > pairs && c.MissingInA > 0 && r.Truth == nil, "Which side is right, the stream tells within its retention: --truth kinesis://NAME.")
	say(r.Proof.broken(), "The manifests and the objects of one side disagree: standpipe verify names the repair.")
	say(c.Reshaped > 0, "The same records in another spelling: something between stream and archive re-writes them. --canonical json compares values.")
	say(c.Altered > 0, "Altered lines point to a fault in storage or to a transformation on one side.")
	say(c.DoubledInA > 0 && !r.Sides[A].AtLeastOnce, "A has lines more often than B: look for objects delivered twice under A.")
	say(c.DoubledInB > 0 && !r.Sides[B].AtLeastOnce, "B has lines more often than A: look for objects delivered twice under B.")
	say(r.Verdict == Equal, "Keep both running until a window of at least a day, with its busiest hours, says the same.")
	return advice
}

func lines(n int64) string { return plural(n, "line", "lines") }

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return group(n) + " " + many
}

// group writes a number with its thousands apart: "2,000,000".
func group(n int64) string {
	s := fmt.Sprint(abs(n))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n < 0 {
		s = "-" + s
	}
	return s
}
