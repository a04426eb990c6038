package compare_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// hour is the beginning of the day all tests play on.
var hour = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// key is a name as Firehose gives them, n seconds into the day.
func key(n int, random string) string {
	t := hour.Add(time.Duration(n) * time.Second)
	return t.Format("2006/01/02/15/") + "class-stream-1-" + t.Format("2006-01-02-15-04-05") + "-" + random
}

func write(t fataler, dir, key string, body []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t fataler, dir string) archive.Store {
	t.Helper()
	s, err := archive.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// config compares two folders long after the day.
func config(t fataler, a, b string) compare.Config {
	t.Helper()
	return compare.Config{
		Stores: [2]archive.Store{open(t, a), open(t, b)}, Halo: time.Hour, Settle: 30 * time.Minute,
		Now: hour.Add(72 * time.Hour), Records: compare.Auto, Capacity: 1000, Workers: 2,
		Legal: [2]bool{false, true}, Shown: 1000, SpillDir: "", SpillMax: 1 << 30,
	}
}

func mustRun(t fataler, c compare.Config) *compare.Report {
	t.Helper()
	r, err := compare.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(lines []string) []byte { return []byte(strings.Join(lines, "\n") + "\n") }

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	w.Close()
	return out.Bytes()
}

// numbered are n distinct lines.
func numbered(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"n":%d,"type":"Tip %d","value":"%x"}`, i, i%4, uint64(i)*0x9e3779b97f4a7c15)
	}
	return lines
}

// A file is an object of a model archive.
type file struct {
	at    int // seconds into the day
	lines []string
}

func temp(t fataler, base string) string {
	dir, err := os.MkdirTemp(base, "")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Aim: whatever the two sides hold, the counts are those of the definition:
// missing in B = A.core \ B.all and the other way round, a surplus of the legal
// side being a duplicate; decoded from the sketch or counted on disk.
func TestCountsAreThoseOfTheDefinition(t *testing.T) {
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		line := rapid.Map(rapid.IntRange(0, 12), func(i int) string { return fmt.Sprintf("line %d", i) })
		files := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) file {
			return file{at: rapid.IntRange(0, 6).Draw(rt, "hour") * 3600, lines: rapid.SliceOfN(line, 0, 8).Draw(rt, "lines")}
		}), 1, 6)
		dirs := [2]string{temp(rt, base), temp(rt, base)}
		var core, all [2]map[string]int64
		for side := range dirs {
			core[side], all[side] = map[string]int64{}, map[string]int64{}
			for i, f := range files.Draw(rt, "files") {
				write(rt, dirs[side], key(f.at, fmt.Sprint(i)), text(f.lines))
				for _, l := range f.lines {
					if f.at >= 2*3600 && f.at < 5*3600 {
						core[side][l]++
					}
					if f.at >= 3600 && f.at < 6*3600 {
						all[side][l]++
					}
				}
			}
		}
		var want compare.Counts
		for i := range 13 {
			l := fmt.Sprintf("line %d", i)
			a, b := core[0][l]-all[1][l], core[1][l]-all[0][l]
			switch {
			case a > 0:
				want.MissingInB += a
				want.Distinct++
			case b > 0 && all[0][l] > 0:
				want.DoubledInB += b
				want.Distinct++
			case b > 0:
				want.MissingInA += b
				want.Distinct++
			case all[0][l] != all[1][l]:
				want.Edge += max(all[0][l]-all[1][l], all[1][l]-all[0][l])
			}
		}
		c := config(rt, dirs[0], dirs[1])
		c.From, c.To = hour.Add(2*time.Hour), hour.Add(5*time.Hour)
		got := mustRun(rt, c)
		got.Counts.Altered, got.Counts.Reshaped = 0, 0
		if got.Counts != want {
			rt.Fatalf("%+v, want %+v", got.Counts, want)
		}
		compare.ForceSpill(&c)
		spilled := mustRun(rt, c)
		spilled.Counts.Altered, spilled.Counts.Reshaped = 0, 0
		if !spilled.Method.Spilled || spilled.Counts != want {
			rt.Fatalf("on disk: %+v, want %+v", spilled.Counts, want)
		}
	})
}

// deal spreads lines over objects of side files of different codecs.
func deal(t fataler, dir string, lines []string, r *rand.Rand, random string) {
	r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	for i := 0; len(lines) > 0; i++ {
		n := min(1+r.IntN(800), len(lines))
		body := text(lines[:n])
		if i%2 == 0 {
			body = gz(body)
		}
		write(t, dir, key(r.IntN(86400), fmt.Sprintf("%s-%d", random, i)), body)
		lines = lines[n:]
	}
}

// alter replaces one byte in the middle of a line.
func alter(line string) string { return line[:len(line)/2] + "#" + line[len(line)/2+1:] }

type seeded struct{ dropped, doubled, altered []string }

// spoil drops, doubles and alters lines of B and says which.
func spoil(lines []string, dropped, doubled, altered int) ([]string, seeded) {
	var s seeded
	out := slices.Clone(lines)
	step := len(out) / (dropped + doubled + altered + 1)
	var keep []string
	for i, l := range out {
		switch k := i / step; {
		case i%step != 7 || k >= dropped+doubled+altered:
			keep = append(keep, l)
		case k < dropped:
			s.dropped = append(s.dropped, l)
		case k < dropped+doubled:
			s.doubled = append(s.doubled, l)
			keep = append(keep, l, l)
		default:
			s.altered = append(s.altered, l)
			keep = append(keep, alter(l))
		}
	}
	return keep, s
}

func TestSeededDifferencesAreNamedByHashAndPlace(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	lines := numbered(8_000)
	spoiled, want := spoil(lines, 31, 44, 9)
	deal(t, a, slices.Clone(lines), r, "a")
	deal(t, b, spoiled, r, "b")
	got := mustRun(t, config(t, a, b))
	if got.Verdict != compare.Different || got.Counts != (compare.Counts{MissingInA: 9, MissingInB: 40, DoubledInB: 44, Distinct: 93, Altered: 9}) {
		t.Fatalf("%s %+v", got.Headline, got.Counts)
	}
	if want := "Different. 31 lines of A missing in B, 9 lines altered between A and B, 44 lines more often in B."; got.Headline != want {
		t.Errorf("%s, want %s", got.Headline, want)
	}
	byText := map[string]compare.Difference{}
	for _, d := range got.Differences {
		byText[d.Text] = d
		for side, places := range [][]compare.Place{d.PlacesA, d.PlacesB} {
			for _, p := range places {
				if found := compare.LineAt([]string{a, b}[side], p); found != d.Text {
					t.Errorf("%s: %q, not %q", p, found, d.Text)
				}
			}
		}
	}
	for _, l := range want.dropped {
		if d := byText[l]; d.Kind != compare.MissingInB || len(d.PlacesA) != 1 || len(d.PlacesB) != 0 || d.Partner != "" {
			t.Errorf("dropped %s: %+v", l, d)
		}
	}
	for _, l := range want.doubled {
		if d := byText[l]; d.Kind != compare.DoubledInB || len(d.PlacesA) != 1 || len(d.PlacesB) != 2 || d.A != 1 || d.B != 2 {
			t.Errorf("doubled %s: %+v", l, d)
		}
	}
	for _, l := range want.altered {
		d, e := byText[l], byText[alter(l)]
		if d.Kind != compare.MissingInB || e.Kind != compare.MissingInA || d.Partner != e.Hash || e.Partner != d.Hash {
			t.Errorf("altered %s: %+v, %+v", l, d, e)
		}
	}
}

func TestMoreDifferencesThanTheSketchHoldsAreCountedOnDisk(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	lines := numbered(12_000)
	deal(t, a, slices.Clone(lines), r, "a")
	deal(t, b, slices.Clone(lines[:8_000]), r, "b")
	c := config(t, a, b)
	c.Capacity, c.Shown = 100, 50
	got := mustRun(t, c)
	if !got.Method.Spilled || got.Counts.MissingInB != 4_000 || got.Counts.Distinct != 4_000 || got.Verdict != compare.Different {
		t.Fatalf("%s %+v", got.Headline, got.Counts)
	}
	if len(got.Differences) != 50 || got.Omitted != 3950 || got.Differences[0].Text == "" || len(got.Differences[0].PlacesA) != 1 {
		t.Errorf("%d shown, %d omitted, %+v", len(got.Differences), got.Omitted, got.Differences[0])
	}
	c.SpillMax = 1000
	got = mustRun(t, c)
	if got.Verdict != compare.Incomplete || !strings.Contains(got.Headline, "--max-spill") {
		t.Errorf("%s", got.Headline)
	}
	c.SpillMax, c.SpillDir = 1<<30, filepath.Join(a, "none")
	if got = mustRun(t, c); got.Verdict != compare.Incomplete || !strings.Contains(got.Headline, "--spill-dir") {
		t.Errorf("%s", got.Headline)
	}
}

func TestRecordsWithoutDelimitersAreEqualToLines(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	lines := append(numbered(100), `[1,2]`, `{"text":"}{ \" \\"}`, `not json`)
	write(t, a, key(1, "a"), text(lines))
	write(t, b, key(2, "b"), []byte(strings.Join(lines[:102], "")+"\r\n\n"+lines[102]))
	if got := mustRun(t, config(t, a, b)); got.Verdict != compare.Equal || got.Method.Records != compare.JSON {
		t.Errorf("%s %+v", got.Headline, got.Counts)
	}
}

func TestTheSameRecordInAnotherShapeIsSaidToBeThat(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "a"), text([]string{`{"a":1,"b":"—"}`, `{"x":[1,2]}`, `same`}))
	write(t, b, key(2, "b"), text([]string{`{"b":"\u2014","a":1.0}`, ` {"x":[1, 2]} `, `same`}))
	c := config(t, a, b)
	c.Records = compare.Lines
	got := mustRun(t, c)
	if got.Verdict != compare.Different || got.Counts.Reshaped != 2 || got.Counts.MissingInA != 2 || got.Headline != "Different. 2 lines in another shape on the other side." {
		t.Errorf("%s %+v", got.Headline, got.Counts)
	}
	c.Canonical = true
	if got := mustRun(t, c); got.Verdict != compare.Equal {
		t.Errorf("%s %+v", got.Headline, got.Counts)
	}
}

func TestWhatCannotBeReadIsNamedAndNoPass(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	body := gz(text(numbered(5000)))
	write(t, a, key(1, "whole"), body)
	write(t, b, key(1, "cut"), body[:len(body)/2])
	write(t, b, key(2, "parquet"), []byte("PAR1\x15\x04"))
	got := mustRun(t, config(t, a, b))
	if got.Verdict != compare.Incomplete || len(got.Problems) != 2 {
		t.Fatalf("%s %+v", got.Headline, got.Problems)
	}
	if p := got.Problems[0]; p.Kind != compare.ProblemUnreadable || p.Side != "B" || p.Key != key(1, "cut") || !strings.Contains(p.Error, "gzip at byte") {
		t.Errorf("%+v", p)
	}
	if p := got.Problems[1]; p.Key != key(2, "parquet") || !strings.Contains(p.Error, "Parquet") {
		t.Errorf("%+v", p)
	}
}

// Where nothing differs there is no second pass that would meet the object too.
func TestWhatCannotBeReadBesideEqualLinesIsNoPass(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "x"), text(numbered(10)))
	write(t, b, key(1, "y"), text(numbered(10)))
	write(t, b, key(2, "parquet"), []byte("PAR1\x15\x04"))
	got := mustRun(t, config(t, a, b))
	if got.Verdict != compare.Incomplete || len(got.Problems) != 1 || got.Problems[0].Key != key(2, "parquet") {
		t.Fatalf("%s %+v", got.Headline, got.Problems)
	}
}

// Folders by Korean time, read as UTC, lie nine hours ahead. Waiting mends nothing.
func TestKeysThatLieAheadAreOfAnotherZone(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(3600, "x"), text(numbered(10)))
	write(t, b, key(3600, "y"), text(numbered(10)))
	c := config(t, a, b)
	c.Now = hour.Add(-7 * time.Hour)
	got := mustRun(t, c)
	advice := strings.Join(got.Advice, "\n")
	if got.Verdict != compare.Incomplete || !strings.Contains(got.Headline, "by its key") || !strings.Contains(advice, "--zone") || strings.Contains(advice, "Wait") {
		t.Errorf("%s\n%s", got.Headline, advice)
	}
	c.To = hour.Add(2 * time.Hour)
	if got := mustRun(t, c); !slices.ContainsFunc(got.Advice, func(s string) bool { return strings.HasPrefix(s, "Wait") }) {
		t.Errorf("a window that ends ahead: %q", got.Advice)
	}
}

func TestAYoungWindowIsNoPass(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(3600, "x"), text(numbered(10)))
	write(t, b, key(3600, "y"), text(numbered(10)))
	c := config(t, a, b)
	c.Now = hour.Add(time.Hour + 20*time.Minute)
	if got := mustRun(t, c); got.Verdict != compare.Incomplete || !strings.Contains(got.Headline, "is only 20m0s old") {
		t.Errorf("%s", got.Headline)
	}
	c.To = hour.Add(2 * time.Hour)
	if got := mustRun(t, c); got.Verdict != compare.Incomplete || !strings.Contains(got.Headline, "lies ahead") {
		t.Errorf("%s", got.Headline)
	}
	c.Now = hour.Add(3 * time.Hour)
	if got := mustRun(t, c); got.Verdict != compare.Equal {
		t.Errorf("%s", got.Headline)
	}
	c.From = hour.Add(90 * time.Minute)
	c.Halo = 0
	if got := mustRun(t, c); got.Verdict != compare.Incomplete || !strings.Contains(got.Headline, "nothing in the window") {
		t.Errorf("%s", got.Headline)
	}
}

// meddling changes an object once the first pass has listed it.
type meddling struct {
	archive.Store
	after func()
}

func (m meddling) List(ctx context.Context, prefix, after string, visit func(archive.Object) error) error {
	err := m.Store.List(ctx, prefix, after, visit)
	m.after()
	return err
}

func TestAnObjectThatChangesDuringTheRunIsNoPass(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "x"), text(numbered(10)))
	write(t, b, key(1, "y"), text(numbered(10)))
	write(t, b, key(2, "z"), nil)
	c := config(t, a, b)
	c.Stores[1] = meddling{c.Stores[1], func() {
		write(t, b, key(1, "y"), text(numbered(11)))
		os.Remove(filepath.Join(b, key(2, "z")))
	}}
	got := mustRun(t, c)
	if got.Verdict != compare.Incomplete || len(got.Problems) != 2 || got.Problems[0].Kind != compare.ProblemChanged || got.Problems[1].Kind != compare.ProblemChanged {
		t.Errorf("%s %+v", got.Headline, got.Problems)
	}
}

func TestASampleIsTheSameOnBothSides(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	lines := numbered(8_000)
	deal(t, a, slices.Clone(lines), rand.New(rand.NewPCG(1, 2)), "a")
	deal(t, b, slices.Clone(lines[:4_000]), rand.New(rand.NewPCG(3, 2)), "b")
	c := config(t, a, b)
	c.Sample = 10
	got := mustRun(t, c)
	if n := got.Counts.MissingInB; n < 300 || n > 500 || got.Counts.MissingInA != 0 || !strings.Contains(strings.Join(got.Limits, " "), "one line in 10") {
		t.Errorf("%+v", got.Counts)
	}
}

type stream []string

func (s stream) String() string { return "kinesis://class-stream" }
func (s stream) Lines(_ context.Context, visit func([]byte)) error {
	for _, l := range s {
		visit([]byte(l))
	}
	return nil
}

// The stream has "twice" two times: what looks like a legal duplicate of B is
// a loss of A.
func TestTheStreamSaysWhoIsRight(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "a"), text([]string{"both", "twice", "only a"}))
	write(t, b, key(1, "b"), text([]string{"both", "twice", "twice", "doubled by b", "both"}))
	c := config(t, a, b)
	if got := mustRun(t, c); got.Counts.DoubledInB != 2 || got.Counts.MissingInA != 1 {
		t.Errorf("without: %+v", got.Counts)
	}
	c.Truth = stream{"twice", "both", "only a", "twice"}
	got := mustRun(t, c)
	if got.Counts.DoubledInB != 1 || got.Counts.MissingInA != 2 || got.Counts.MissingInB != 1 || got.Truth.AgreesA != 2 || got.Truth.AgreesB != 1 || got.Truth.Unknown != 1 {
		t.Errorf("with: %+v, %+v", got.Counts, got.Truth)
	}
}

// A surplus that the stream knows to be one is no loss of the other side; it is a
// fault all the same where lines have to be there once.
func TestADoubleIsNoPassWhereItIsNotAllowed(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "a"), text([]string{"one", "two", "two"}))
	write(t, b, key(1, "b"), text([]string{"one", "one", "two"}))
	for name, x := range map[string]struct {
		legal [2]bool
		want  compare.Verdict
	}{
		"on both":    {[2]bool{true, true}, compare.Equal},
		"on B alone": {[2]bool{false, true}, compare.Different},
		"on A alone": {[2]bool{true, false}, compare.Different},
		"on neither": {[2]bool{}, compare.Different},
	} {
		c := config(t, a, b)
		c.Truth, c.Legal = stream{"one", "two"}, x.legal
		got := mustRun(t, c)
		if got.Verdict != x.want || got.Counts.DoubledInA != 1 || got.Counts.DoubledInB != 1 {
			t.Errorf("allowed %s: %s %+v", name, got.Headline, got.Counts)
		}
	}
}

// A fickle store has other bytes each time, and says that nothing has changed.
type fickle struct {
	archive.Store
	bodies [][]byte
	opened *int
}

func (f fickle) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	raw, o, err := f.Store.Open(ctx, key)
	if err != nil {
		return nil, o, err
	}
	raw.Close()
	body := f.bodies[min(*f.opened, len(f.bodies)-1)]
	*f.opened++
	return io.NopCloser(bytes.NewReader(body)), o, nil
}

// What the first pass counted and the second one does not find has not become equal.
func TestPassesThatContradictOneAnotherAreNoPass(t *testing.T) {
	for name, force := range map[string]func(*compare.Config){"decoded": func(*compare.Config) {}, "on disk": compare.ForceSpill} {
		a, b := t.TempDir(), t.TempDir()
		write(t, a, key(1, "a"), text([]string{"both", "only a"}))
		write(t, b, key(1, "b"), text([]string{"both"}))
		c := config(t, a, b)
		c.Records = compare.Lines
		force(&c)
		if got := mustRun(t, c); got.Verdict != compare.Different {
			t.Fatalf("%s: %s", name, got.Headline)
		}
		c.Stores[compare.A] = fickle{c.Stores[compare.A], [][]byte{text([]string{"both", "only a"}), text([]string{"both"})}, new(int)}
		if got := mustRun(t, c); got.Verdict != compare.Incomplete || len(got.Problems) != 1 || !strings.Contains(got.Headline, "contradict") {
			t.Errorf("%s: %s %+v", name, got.Headline, got.Problems)
		}
	}
}

// A decoder puts U+FFFD in the place of what is no character: two values that were
// damaged differently, or one and its damaged copy, have one spelling then.
func TestWhatIsNoTextKeepsItsBytes(t *testing.T) {
	for name, pair := range map[string][2]string{
		"bytes that are no UTF-8":  {"{\"a\":\"caf\xe9\"}", "{\"a\":\"caf\xe8\"}"},
		"one of them replaced":     {"{\"a\":\"caf\xe9\"}", `{"a":"caf�"}`},
		"half a surrogate":         {`{"a":"\ud83d"}`, `{"a":"\ud83c"}`},
		"beside a whole one":       {`{"a":"\ud83d\ude00\ud83d"}`, `{"a":"\ud83d\ude00\ud83c"}`},
		"half a surrogate as text": {`{"a":"\uD83D x"}`, `{"a":"� x"}`},
	} {
		a, b := t.TempDir(), t.TempDir()
		write(t, a, key(1, "a"), text([]string{"both", pair[0]}))
		write(t, b, key(1, "b"), text([]string{"both", pair[1]}))
		c := config(t, a, b)
		c.Canonical = true
		if got := mustRun(t, c); got.Verdict != compare.Different || got.Counts.MissingInA != 1 {
			t.Errorf("%s: %s %+v", name, got.Headline, got.Counts)
		}
	}
	a, b := t.TempDir(), t.TempDir()
	write(t, a, key(1, "a"), text([]string{`{"a":"😀","b":"�","c":"\\ud800"}`}))
	write(t, b, key(1, "b"), text([]string{`{"c":"\u005cud800", "b":"\ufffd", "a":"\ud83d\uDE00"}`}))
	c := config(t, a, b)
	c.Canonical = true
	if got := mustRun(t, c); got.Verdict != compare.Equal {
		t.Errorf("whole characters in another spelling: %s %+v", got.Headline, got.Counts)
	}
}

// Two sides of which nothing was compared are not equal: there are no lines, none in
// the sample, or none in the window itself.
func TestNothingComparedIsNoPass(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, dir := range []string{a, b} {
		write(t, dir, key(1, "x"), text(numbered(5)))
		write(t, dir, key(3*3600, "empty"), []byte("\n"))
	}
	for name, change := range map[string]func(*compare.Config){
		"no lines":         func(c *compare.Config) { c.From, c.To = hour.Add(3*time.Hour), hour.Add(4*time.Hour) },
		"none in a sample": func(c *compare.Config) { c.Sample = 1 << 40 },
		"in the halo only": func(c *compare.Config) { c.From, c.To = hour.Add(time.Hour), hour.Add(2*time.Hour) },
	} {
		c := config(t, a, b)
		if got := mustRun(t, c); got.Verdict != compare.Equal {
			t.Fatalf("%s: %s", name, got.Headline)
		}
		change(&c)
		if got := mustRun(t, c); got.Verdict != compare.Incomplete || len(got.Problems) != 1 || got.Problems[0].Kind != compare.ProblemEmpty || !strings.Contains(got.Headline, "was compared") {
			t.Errorf("%s: %s %+v", name, got.Headline, got.Problems)
		}
	}
}
