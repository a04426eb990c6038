package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/standpipe/standpipe/compare"
)

var (
	//go:embed page.html
	pageSource string
	//go:embed page.css
	style string

	pageTemplate = template.Must(template.New("page").Parse(pageSource))
)

// openDetails is how many differences are shown open.
const openDetails = 3

type page struct {
	StyleHash, Headline, Window, Footer, More string
	Style                                     template.CSS
	Verdict                                   compare.Verdict
	Advice, Problems, Proof, Limits           []string
	Sides                                     []pageSide
	Counts                                    []pageCount
	Chart                                     *chart
	Hours                                     []pageHour
	Differences                               []pageDifference
}

type pageSide struct{ Name, Class, Location, Facts, Hash string }

type pageCount struct{ N, What string }

type pageHour struct{ Start, A, B, Delta, Running string }

type pageDifference struct {
	Open                       bool
	Kind                       compare.Kind
	Meaning, Short, Hash, Text string
	Places                     []pagePlace
}

type pagePlace struct {
	Side, Key, Line, Offset string
}

// HTML writes the report as one file.
func HTML(w io.Writer, r *compare.Report) error {
	sum := sha256.Sum256([]byte(style))
	p := page{
		StyleHash: base64.StdEncoding.EncodeToString(sum[:]), Style: template.CSS(style),
		Headline: r.Headline, Verdict: r.Verdict, Window: window(r), Advice: r.Advice, Limits: r.Limits,
		Chart: newChart(r.Hours), Proof: proof(r),
		Footer: fmt.Sprintf("standpipe compare, begun %s, took %s. Sketch for %s differences%s.",
			clock(r.Started), r.Duration.Round(time.Millisecond), number(int64(r.Method.Capacity)), map[bool]string{true: ", counted on disk"}[r.Method.Spilled]),
	}
	if t := truth(r); t != "" {
		p.Proof = append([]string{t}, p.Proof...)
	}
	for _, s := range r.Sides {
		p.Sides = append(p.Sides, pageSide{s.Name, strings.ToLower(s.Name), s.Location, facts(s), s.Hash})
	}
	for _, row := range countRows(r) {
		p.Counts = append(p.Counts, pageCount{number(row.n), row.what})
	}
	for _, problems := range r.Problems {
		p.Problems = append(p.Problems, problem(problems))
	}
	for _, h := range r.Hours {
		if h.Delta != 0 {
			p.Hours = append(p.Hours, pageHour{h.Start.UTC().Format("01-02 15h"), number(h.A), number(h.B), fmt.Sprintf("%+d", h.Delta), fmt.Sprintf("%+d", h.Running)})
		}
	}
	for i, d := range r.Differences {
		p.Differences = append(p.Differences, pageOf(d, i < openDetails))
	}
	if r.Omitted > 0 {
		p.More = fmt.Sprintf("And %s more distinct lines.", number(r.Omitted))
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("write the HTML report: %w", err)
	}
	return nil
}

func pageOf(d compare.Difference, open bool) pageDifference {
	p := pageDifference{Open: open, Kind: d.Kind, Meaning: meaning(d), Short: d.Hash[:8], Hash: d.Hash, Text: d.Text}
	for side, places := range [][]compare.Place{d.PlacesA, d.PlacesB} {
		for _, at := range places {
			p.Places = append(p.Places, pagePlace{compare.Side(side).String(), at.Key, number(at.Line), number(at.Offset)})
		}
	}
	return p
}
