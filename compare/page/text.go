package page

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare"
)

// textShown is how many differences the text lists; the other forms have all
// that the report has.
const textShown = 20

// Text writes the report for a terminal of 80 columns and more.
func Text(w io.Writer, r *compare.Report) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s\n\n", r.Headline)
	for _, s := range r.Sides {
		fmt.Fprintf(b, "  %s  %s\n     %s\n", s.Name, s.Location, facts(s))
	}
	fmt.Fprintf(b, "     %s\n", window(r))
	rows := countRows(r)
	if len(rows) > 0 {
		b.WriteString("\n")
	}
	for _, row := range rows {
		fmt.Fprintf(b, "  %14s  %s\n", number(row.n), row.what)
	}
	if len(r.Problems) > 0 {
		b.WriteString("\nNot complete:\n")
	}
	for _, p := range r.Problems {
		fmt.Fprintf(b, "  %s\n", problem(p))
	}
	textHours(b, r.Hours)
	textDifferences(b, r)
	if t := truth(r); t != "" {
		fmt.Fprintf(b, "\n%s\n", t)
	}
	for _, l := range proof(r) {
		fmt.Fprintf(b, "%s\n", l)
	}
	if len(r.Advice) > 0 {
		b.WriteString("\nWhat to do:\n")
	}
	for _, a := range r.Advice {
		fmt.Fprintf(b, "  - %s\n", a)
	}
	b.WriteString("\nWhat this cannot see:\n")
	for _, l := range r.Limits {
		fmt.Fprintf(b, "  - %s\n", l)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// facts is a side in a line.
func facts(s compare.SideReport) string {
	var codecs []string
	for _, c := range []archive.Codec{archive.Gzip, archive.Zip, archive.Snappy, archive.HadoopSnappy, archive.SnappyFramed, archive.Zstd, archive.None} {
		if s.Codecs[c] > 0 {
			codecs = append(codecs, string(c))
		}
	}
	promise := "exactly once"
	if s.AtLeastOnce {
		promise = "at least once: duplicates are legal"
	}
	in := ""
	if len(codecs) > 0 {
		in = " (" + strings.Join(codecs, ", ") + ")"
	}
	return fmt.Sprintf("%s lines in %s objects, %s stored, %s plain%s; %s",
		number(s.Lines), number(s.Objects), size(s.StoredBytes), size(s.PlainBytes), in, promise)
}

func window(r *compare.Report) string {
	w := r.Window
	s := "everything there is"
	switch {
	case w.From != nil && w.To != nil:
		s = fmt.Sprintf("from %s to %s, halo %s", clock(*w.From), clock(*w.To), w.Halo)
	case w.From != nil:
		s = fmt.Sprintf("from %s, halo %s", clock(*w.From), w.Halo)
	case w.To != nil:
		s = fmt.Sprintf("up to %s, halo %s", clock(*w.To), w.Halo)
	}
	s += "; records are " + string(r.Method.Records)
	if r.Method.Canonical {
		s += ", JSON in canonical form"
	}
	if r.Method.Sample > 1 {
		s += fmt.Sprintf(", a sample of 1/%d", r.Method.Sample)
	}
	return s
}

type countRow struct {
	n    int64
	what string
}

// countRows are the counts that are not 0.
func countRows(r *compare.Report) []countRow {
	c := r.Counts
	var rows []countRow
	for _, row := range []countRow{
		{c.MissingInA, "missing in A: B has them"},
		{c.MissingInB, "missing in B: A has them"},
		{c.Altered, "of both of these are pairs: one line, altered"},
		{c.Reshaped, "of both of these are pairs: one record in two shapes"},
		{c.DoubledInA, "duplicates in A"},
		{c.DoubledInB, "duplicates in B"},
		{c.Edge, "at the edge of the window, not judged"},
	} {
		if row.n > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

func problem(p compare.Problem) string {
	if p.Key == "" {
		return p.Error
	}
	return fmt.Sprintf("%s %s: %s: %s", p.Side, p.Key, p.Kind, strings.TrimPrefix(p.Error, p.Key+": "))
}

// hoursShown is how many hours the text lists: those with a delta first of all.
const hoursShown = 24

func textHours(b *bufio.Writer, hours []compare.Hour) {
	var differ []compare.Hour
	for _, h := range hours {
		if h.Delta != 0 {
			differ = append(differ, h)
		}
	}
	if len(differ) == 0 {
		return
	}
	fmt.Fprintf(b, "\nHours that differ, by the times in the names of objects:\n  %-16s %12s %12s %9s %9s\n", "hour", "A", "B", "A-B", "running")
	for i, h := range differ {
		if i == hoursShown {
			fmt.Fprintf(b, "  and %d more\n", len(differ)-i)
			break
		}
		mark := ""
		if h.Halo {
			mark = "  halo"
		}
		fmt.Fprintf(b, "  %-16s %12s %12s %+9d %+9d%s\n", h.Start.UTC().Format("2006-01-02 15:04"), number(h.A), number(h.B), h.Delta, h.Running, mark)
	}
}

func textDifferences(b *bufio.Writer, r *compare.Report) {
	if len(r.Differences) == 0 {
		return
	}
	fmt.Fprintf(b, "\nDifferences:\n")
	for i, d := range r.Differences {
		if i == textShown {
			break
		}
		fmt.Fprintf(b, "  %s  %s\n", meaning(d), d.Hash)
		for _, side := range []struct {
			name   string
			places []compare.Place
		}{{"A", d.PlacesA}, {"B", d.PlacesB}} {
			for _, p := range side.places {
				fmt.Fprintf(b, "      %s %s\n", side.name, p)
			}
		}
		if d.Text != "" {
			fmt.Fprintf(b, "      %s\n", clip(d.Text, 100))
		}
	}
	if more := int64(max(len(r.Differences)-textShown, 0)) + r.Omitted; more > 0 {
		fmt.Fprintf(b, "  and %s more distinct lines; --json and --html list up to --show of them\n", number(more))
	}
}

// meaning says a difference in words.
func meaning(d compare.Difference) string {
	s := map[compare.Kind]string{
		compare.MissingInA: "missing in A", compare.MissingInB: "missing in B",
		compare.DoubledInA: "duplicate in A", compare.DoubledInB: "duplicate in B",
	}[d.Kind]
	switch {
	case d.Kind == compare.MissingInA && d.A > 0:
		s = "too few in A"
	case d.Kind == compare.MissingInB && d.B > 0:
		s = "too few in B"
	}
	if d.Copies > 1 {
		s += fmt.Sprintf(" (%s times)", number(d.Copies))
	}
	if d.Detail != "" {
		s += ", " + d.Detail + " (pairs with " + d.Partner[:8] + "…)"
	}
	if d.Truth != nil {
		s += ", the stream has it " + times(*d.Truth)
	}
	return s
}

func times(n int64) string {
	switch n {
	case 0:
		return "not at all"
	case 1:
		return "once"
	}
	return number(n) + " times"
}

func truth(r *compare.Report) string {
	t := r.Truth
	if t == nil {
		return ""
	}
	return fmt.Sprintf("%s has %s lines. Of the differences it agrees with A in %s, with B in %s, with neither in %s; %s are in it no more.",
		t.Source, number(t.Lines), number(t.AgreesA), number(t.AgreesB), number(t.Neither), number(t.Unknown))
}

func proof(r *compare.Report) []string {
	p := r.Proof
	if p == nil {
		return nil
	}
	lines := []string{fmt.Sprintf("Manifests of %s: %s flushes of %s shards; %s objects have exactly the lines their manifest gives; %s gaps recorded.",
		p.Side, number(p.Flushes), number(p.Shards), number(p.Proved), number(p.Gaps))}
	if p.Unproved > 0 {
		lines = append(lines, fmt.Sprintf("  %s objects are there, and their lines were not held against their manifests: they were written raw, or are compared as JSON or as a sample", number(p.Unproved)))
	}
	for _, list := range []struct {
		what string
		all  []string
	}{{"has other lines than its manifest says", p.Wrong}, {"is named by a manifest and not there", p.Absent}, {"is named by no manifest", p.Foreign}, {"", p.Holes}} {
		for i, s := range list.all {
			if i == textShown {
				lines = append(lines, fmt.Sprintf("  and %d more", len(list.all)-i))
				break
			}
			lines = append(lines, strings.TrimRight("  "+s+" "+list.what, " "))
		}
	}
	return lines
}

func clip(s string, n int) string {
	for i := range s {
		if i >= n {
			return s[:i] + "…"
		}
	}
	return s
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// number groups n by thousands.
func number(n int64) string {
	sign, s := "", fmt.Sprint(n)
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

func size(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if v < 1024 {
			if unit == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.1f TiB", v)
}
