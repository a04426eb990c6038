package sink

import (
	_ "embed"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

//go:embed testdata/patterns.golden
var patternsGolden string

// Every line was printed by java.time.format.DateTimeFormatter of Java 17.
func TestPatternsPrintWhatJavaPrints(t *testing.T) {
	type verdict struct{ accepted, fails bool }
	seen := map[string]*verdict{}
	wrong, checked := 0, 0
	report := func(format string, args ...any) {
		if wrong++; wrong < 40 {
			t.Errorf(format, args...)
		}
	}
	for line := range strings.Lines(patternsGolden) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		p := f[0]
		if seen[p] == nil {
			seen[p] = &verdict{}
		}
		if len(f) == 2 {
			continue
		}
		seen[p].accepted = true
		want, printed := strings.CutPrefix(f[3], "=")
		if !printed {
			seen[p].fails = true
			continue
		}
		c, err := compile(p)
		if err != nil {
			continue // judged below
		}
		zone, err := time.LoadLocation(f[1])
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339, f[2])
		if err != nil {
			t.Fatal(err)
		}
		checked++
		if got := string(c.append(nil, at.In(zone))); got != want {
			report("%q of %s in %s: %q, Java prints %q", p, f[2], f[1], got, want)
		}
	}
	for p, v := range seen {
		// What Java accepts but fails to print is refused: a key cannot fail.
		if _, err := compile(p); (err == nil) != (v.accepted && !v.fails) {
			report("%q: compile says %v, Java accepts: %v, fails to print: %v", p, err, v.accepted, v.fails)
		}
	}
	t.Logf("%d patterns, %d texts compared, %d wrong", len(seen), checked, wrong)
	if checked < 3000 {
		t.Errorf("only %d texts compared", checked)
	}
}

func TestEveryLetterFirehoseRefusesIsRefused(t *testing.T) {
	for _, l := range "CIJPRTUVbfijloprt" {
		if _, err := compile(string(l)); err == nil {
			t.Errorf("%c is accepted", l)
		}
	}
	for _, l := range "ABDEFGHKLMNOQSWXYZacdeghkmnqsuvwxyz" {
		if _, err := compile(string(l)); err != nil {
			t.Errorf("%c: %v", l, err)
		}
	}
}

// Aim: a record whose arrival lies in the span of another never needs a new
// route, and time outside is not missed. Method: any instant, any pattern of
// accepted letters, any zone with odd transitions.
func TestThePrefixIsConstantWithinASpan(t *testing.T) {
	letters := []string{"yyyy", "YYYY", "MM", "dd", "HH", "hh", "a", "B", "mm", "ss", "ww", "W", "e", "D", "Q", "X", "z", "zzzz", "VV", "F", "G"}
	zones := []string{
		"UTC", "Europe/Berlin", "Europe/Dublin", "Australia/Lord_Howe", "Asia/Katmandu", "America/Sao_Paulo",
		"Pacific/Apia", "Africa/Monrovia", "Antarctica/Troll", "Asia/Pyongyang",
	}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := loadZone(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		pattern := strings.Join(rapid.SliceOfN(rapid.SampledFrom(letters), 1, 3).Draw(t, "letters"), "-")
		c, err := compile(pattern)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(0, 2_000_000_000).Draw(t, "second"), 0)
		if rapid.Bool().Draw(t, "near a transition") {
			if _, to := at.In(zone).ZoneBounds(); !to.IsZero() {
				at = to.Add(time.Duration(rapid.Int64Range(-7200, 7200).Draw(t, "off")) * time.Second)
			}
		}
		start, end := span(at.In(zone), c.unit)
		if at.Before(start) || !at.Before(end) {
			t.Fatalf("%v is not in [%v, %v)", at, start, end)
		}
		want := string(c.append(nil, at.In(zone)))
		for range 8 {
			in := start.Add(time.Duration(rapid.Int64Range(0, int64(end.Sub(start)/time.Second)-1).Draw(t, "in")) * time.Second)
			if got := string(c.append(nil, in.In(zone))); got != want {
				t.Fatalf("%s: %q at %v, but %q at %v of the same span", pattern, want, at, got, in)
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"yyyy/MM/dd/HH/", "'a''b'", "[yyyy", "ppH", "p", "VV", "zzzz", "]", "'", "YYYY-'W'ww", "\xff", "SSSSSSSSS"} {
		f.Add(s)
	}
	at := time.Date(2026, 7, 13, 14, 5, 9, 0, time.UTC)
	f.Fuzz(func(t *testing.T, pattern string) {
		c, err := compile(pattern)
		if err != nil {
			return
		}
		a, b := string(c.append(nil, at)), string(c.append([]byte("x"), at))
		if "x"+a != b {
			t.Fatalf("%q prints %q and then %q", pattern, a, b)
		}
	})
}
