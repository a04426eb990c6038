package compare_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare"
	"github.com/standpipe/standpipe/manifest"
)

// asJSON is a report without what it measures of itself.
func asJSON(t fataler, r *compare.Report) string {
	t.Helper()
	r.Duration = 0
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// elsewhere runs slices as other machines would: what they are told went
// through JSON, slices come in any order, some are run twice, some once in vain.
type elsewhere struct {
	t      *rapid.T
	stores [2]archive.Store
	passes []compare.Pass
	slices int
}

func travelled[T any](t fataler, v T) (got T) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func (e *elsewhere) execute(ctx context.Context, p compare.Pass, all []compare.Slice, take func(int, compare.Outcome) error) error {
	p, all = travelled(e.t, p), travelled(e.t, all)
	e.passes, e.slices = append(e.passes, p), len(all)
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	for _, i := range rapid.Permutation(order).Draw(e.t, "order") {
		var results [][]byte
		for range rapid.IntRange(1, 2).Draw(e.t, "executions") {
			if rapid.Bool().Draw(e.t, "dies first") {
				dying, die := context.WithCancel(ctx)
				if _, err := p.Run(dying, e.stores, all[i], func(compare.Object, int64) { die() }); err == nil && len(all[i].Objects) > 1 {
					e.t.Fatal("a slice that was interrupted has a result")
				}
				die()
			}
			result, err := p.Run(ctx, e.stores, all[i], func(compare.Object, int64) {})
			if err != nil {
				return err
			}
			results = append(results, result)
		}
		if n := len(results); n > 1 && !bytes.Equal(results[0], results[1]) {
			e.t.Fatal("the same slice has two results")
		}
		if err := take(i, compare.Outcome{Result: results[0]}); err != nil {
			return err
		}
	}
	return nil
}

// tangled writes two archives that differ in every way there is: lines lost,
// doubled, altered, in another shape, at the edge, in objects that are cut,
// empty, foreign or without a time in their name. Side A has manifests, at root.
func tangled(t fataler, root string, seed uint64) (a, b string) {
	a, b = filepath.Join(root, "a"), filepath.Join(root, "b")
	r := rand.New(rand.NewPCG(seed, 11))
	lines := numbered(600)
	spoiled, _ := spoil(lines, 5, 6, 7)
	spoiled = append(spoiled, spoiled[0], `{"type":"Tip", "n":1e0}`)
	deal(t, a, append(slices.Clone(lines), `{"n":1,"type":"Tip"}`), r, "a")
	deal(t, b, spoiled, r, "b")
	write(t, b, key(7*3600, "cut"), gz(text(lines[:50]))[:200])
	write(t, b, key(8*3600, "parquet"), []byte("PAR1\x15\x04"))
	write(t, a, key(9*3600, "empty"), nil)
	for side, dir := range []string{a, b} {
		name := filepath.Join(dir, fmt.Sprintf("without a time %d", side))
		write(t, dir, filepath.Base(name), text(lines[:3]))
		if err := os.Chtimes(name, hour, hour.Add(5*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	prove(t, root, a)
	return a, b
}

// prove writes the manifests of an archive's plain objects below root, the last
// one wrong and none for the first.
func prove(t fataler, root, dir string) {
	t.Helper()
	at := standpipe.Position{}
	objects := list(t, open(t, dir))[1:]
	for i, o := range objects {
		body, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(o.Key)))
		if err != nil {
			t.Fatal(err)
		}
		var d standpipe.Digest
		for _, l := range strings.Fields(string(body)) {
			d.Add([]byte(l))
		}
		if i == len(objects)-1 {
			d.Add([]byte("more"))
		}
		m := manifest.Manifest{
			Version: manifest.Version, Number: int64(i + 1), Previous: at,
			Origin:  manifest.Origin{Stream: "class-stream", Created: hour, Incarnation: "20261122000000", Shard: "shardId-000000000000"},
			Objects: []manifest.Object{{Key: "a/" + o.Key, Size: o.Size, Contents: manifest.Contents{Records: 1, Lines: d.Lines, Hash: d.Sum()}}},
		}
		at = standpipe.Position{Sequence: fmt.Sprint(1000 + i)}
		m.Last = at
		write(t, root, manifest.Key(m.Origin, m.Number), m.Encode())
	}
}

func list(t fataler, s archive.Store) (all []archive.Object) {
	t.Helper()
	err := s.List(context.Background(), "", "", func(o archive.Object) error {
		all = append(all, o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Aim: whoever runs the slices, however they are cut, in whatever order, and
// however often they were begun, the report is the one of an undisturbed run in
// one process, byte for byte. Method: archives with every kind of difference and
// fault; random cuts, orders, deaths and double runs; decoded from the sketch
// and counted on disk.
func TestTheReportDoesNotDependOnWhoDidTheWork(t *testing.T) {
	root := t.TempDir()
	a, b := tangled(t, root, 1)
	type question struct {
		compare.Config
		name, report string
	}
	var questions []question
	ask := func(name string, change func(*compare.Config)) {
		c := config(t, a, b)
		c.Manifests = open(t, root)
		change(&c)
		want := mustRun(t, c)
		if want.Counts.Distinct == 0 || len(want.Problems) < 1 || len(want.Proof.Foreign)+len(want.Proof.Wrong) == 0 {
			t.Fatalf("%s: nothing to find: %+v, %d problems, %+v", name, want.Counts, len(want.Problems), want.Proof)
		}
		questions = append(questions, question{c, name, asJSON(t, want)})
	}
	ask("decoded from the sketch", func(*compare.Config) {})
	ask("counted on disk", compare.ForceSpill)
	ask("canonical", func(c *compare.Config) { c.Canonical, c.Legal = true, [2]bool{} })
	ask("in a window", func(c *compare.Config) { c.From, c.To = hour.Add(6*time.Hour), hour.Add(18*time.Hour) })
	ask("few shown", func(c *compare.Config) { c.Shown, c.Sample = 3, 2 })
	rapid.Check(t, func(rt *rapid.T) {
		q := questions[rapid.IntRange(0, len(questions)-1).Draw(rt, "question")]
		c := q.Config
		e := &elsewhere{t: rt, stores: [2]archive.Store{open(rt, a), open(rt, b)}}
		c.Execute = e.execute
		if rapid.Bool().Draw(rt, "by objects") {
			c.Slice.Objects = rapid.IntRange(1, 40).Draw(rt, "objects")
		} else {
			c.Slice.Every = time.Duration(rapid.IntRange(0, 26).Draw(rt, "hours")) * time.Hour
		}
		if got := asJSON(rt, mustRun(rt, c)); got != q.report {
			rt.Fatalf("%s, with %d slices:\n%s\nwant\n%s", q.name, e.slices, got, q.report)
		}
		if len(e.passes) != 2 || e.passes[0].Phase != compare.PhaseScan || e.passes[1].Phase != compare.PhaseLocate {
			rt.Fatalf("%s: passes %+v", q.name, e.passes)
		}
	})
}

// planned runs c and remembers its plan.
func planned(t fataler, c compare.Config) compare.Plan {
	t.Helper()
	var plan compare.Plan
	stop := errors.New("stop")
	c.Execute = func(_ context.Context, p compare.Pass, all []compare.Slice, _ func(int, compare.Outcome) error) error {
		plan = compare.Plan{Now: p.Now, JSON: p.JSON, Slices: travelled(t, all)}
		return stop
	}
	if _, err := compare.Run(context.Background(), c); !errors.Is(err, stop) {
		t.Fatalf("error %v", err)
	}
	return plan
}

// Aim: who joins later reads what was planned and says what the first one says,
// though time went on and objects came.
func TestAPlanIsGoneOnWithAsItWasMade(t *testing.T) {
	root := t.TempDir()
	a, b := tangled(t, root, 2)
	c := config(t, a, b)
	c.Now = hour.Add(12 * time.Hour) // not settled
	want := asJSON(t, mustRun(t, c))
	plan := planned(t, c)
	write(t, a, key(600, "late"), text([]string{"a line that came later"}))
	c.Plan, c.Now = &plan, hour.Add(72*time.Hour)
	if got := asJSON(t, mustRun(t, c)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestResumeRefusesWhatChanged(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "x"), text(numbered(10)))
	write(t, b, key(1, "y"), text(numbered(10)))
	c := config(t, a, b)
	plan := planned(t, c)
	c.Plan = &plan
	write(t, a, key(1, "x"), text(numbered(12)))
	if _, err := compare.Run(t.Context(), c); !errors.Is(err, compare.ErrResume) || !strings.Contains(err.Error(), key(1, "x")+" of side A changed since the comparison began") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(filepath.Join(a, key(1, "x"))); err != nil {
		t.Fatal(err)
	}
	if _, err := compare.Run(t.Context(), c); !errors.Is(err, compare.ErrResume) || !strings.Contains(err.Error(), "is gone since") {
		t.Errorf("error %v", err)
	}
}

// What no worker could do is named and no pass; nor is what came twice or never.
func TestASliceWithoutAResultIsNoPass(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		for i := range 3 {
			write(t, dir, key(i*3600, "x"), text(numbered(10)))
		}
	}
	c := config(t, a, b)
	c.Slice.Every = time.Hour
	run := func(p compare.Pass, s compare.Slice) compare.Outcome {
		result, err := p.Run(t.Context(), c.Stores, s, func(compare.Object, int64) {})
		if err != nil {
			t.Fatal(err)
		}
		return compare.Outcome{Result: result}
	}
	c.Execute = func(_ context.Context, p compare.Pass, all []compare.Slice, take func(int, compare.Outcome) error) error {
		return errors.Join(take(1, compare.Outcome{Failed: "tried 8 times"}), take(2, run(p, all[2])))
	}
	got := mustRun(t, c)
	if got.Verdict != compare.Incomplete || len(got.Problems) != 2 || got.Problems[0].Kind != compare.ProblemSlice {
		t.Fatalf("%s %+v", got.Headline, got.Problems)
	}
	for i, want := range []string{
		"slice 0, 2026-11-22 00:00:00 to 2026-11-22 00:00:00, 2 objects: no result", "slice 1, 2026-11-22 01:00:00 to 2026-11-22 01:00:00, 2 objects: tried 8 times",
	} {
		if !strings.Contains(got.Problems[i].Error, want) || !strings.Contains(got.Headline, want) {
			t.Errorf("%s: %s", got.Headline, got.Problems[i].Error)
		}
	}
	c.Execute = func(_ context.Context, p compare.Pass, all []compare.Slice, take func(int, compare.Outcome) error) error {
		return errors.Join(take(0, run(p, all[0])), take(0, run(p, all[0])))
	}
	if _, err := compare.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "a second result") {
		t.Errorf("error %v", err)
	}
	c.Execute = func(_ context.Context, _ compare.Pass, _ []compare.Slice, take func(int, compare.Outcome) error) error {
		return take(0, compare.Outcome{Result: []byte(`{"sketch":"AA=="}`)})
	}
	if _, err := compare.Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "this is no part of a sketch") {
		t.Errorf("error %v", err)
	}
}

// A second pass that failed is named beside what the first one found.
func TestAFailedSecondPassIsNamedToo(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "x"), text(numbered(10)))
	write(t, b, key(1, "y"), text(numbered(9)))
	c := config(t, a, b)
	c.Now = hour // not settled
	c.Execute = func(ctx context.Context, p compare.Pass, all []compare.Slice, take func(int, compare.Outcome) error) error {
		if p.Phase == compare.PhaseLocate {
			return take(0, compare.Outcome{Failed: "tried 8 times"})
		}
		result, err := p.Run(ctx, c.Stores, all[0], func(compare.Object, int64) {})
		return errors.Join(err, take(0, compare.Outcome{Result: result}))
	}
	got := mustRun(t, c)
	if len(got.Problems) != 2 || got.Problems[0].Kind != compare.ProblemUnsettled || got.Problems[1].Kind != compare.ProblemSlice || !strings.Contains(got.Headline, "locating: slice 0") {
		t.Errorf("%s %+v", got.Headline, got.Problems)
	}
}

// Aim: every object is in exactly one slice, and no slice is larger than it
// may be.
func TestEveryObjectIsInOneSlice(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		a, b := temp(rt, base), temp(rt, base)
		all := map[string]bool{}
		for i, at := range rapid.SliceOfN(rapid.IntRange(0, 5*86400), 1, 30).Draw(rt, "seconds") {
			write(rt, []string{a, b}[i%2], key(at, fmt.Sprint(i)), text([]string{"a line"}))
			all[fmt.Sprint(compare.Side(i%2), key(at, fmt.Sprint(i)))] = true
		}
		c := config(rt, a, b)
		c.Slice = compare.Cut{Every: time.Duration(rapid.IntRange(0, 48).Draw(rt, "hours")) * time.Hour, Objects: rapid.IntRange(0, 5).Draw(rt, "objects")}
		for _, s := range planned(rt, c).Slices {
			if n := c.Slice.Objects; n > 0 && len(s.Objects) > n || len(s.Objects) == 0 {
				rt.Fatalf("%d objects in %s", len(s.Objects), s.Name)
			}
			first := time.Unix(s.Objects[0].At, 0).UTC().Truncate(max(c.Slice.Every, time.Second))
			for _, o := range s.Objects {
				name := fmt.Sprint(o.Side, o.Key)
				if !all[name] {
					rt.Fatalf("%s is there twice, or never was", name)
				}
				delete(all, name)
				if every := c.Slice.Every; every > 0 && c.Slice.Objects == 0 && !time.Unix(o.At, 0).UTC().Truncate(every).Equal(first) {
					rt.Fatalf("%s spans more than %v", s.Name, every)
				}
			}
		}
		if len(all) > 0 {
			rt.Fatalf("left out: %v", all)
		}
	})
}
