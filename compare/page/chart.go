package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/standpipe/standpipe/compare"
)

const (
	barsMax  = 120
	barWidth = 10
)

// A chart is two drawings over the same hours, in units of an SVG that is
// stretched to the page's width; what is to be read stands beside it as text.
type chart struct {
	Step                string
	Width               int
	Bars                []bar
	Top                 string
	First, Middle, Last string
	Sums                string
	Zero                string
	Running             string
}

type bar struct {
	X, XA, XB, Wide, Half    int
	TopA, HighA, TopB, HighB string
	Halo                     bool
	Title                    string
}

// newChart draws the hours, empty ones too; several in one bar when there are
// more than fit.
func newChart(hours []compare.Hour) *chart {
	if len(hours) == 0 {
		return nil
	}
	first, last := hours[0].Start, hours[len(hours)-1].Start
	span := int(last.Sub(first)/time.Hour) + 1
	step := 1
	for _, step = range []int{1, 2, 3, 6, 12, 24, 24 * 7, 24 * 30, 24 * 365} {
		if (span+step-1)/step <= barsMax {
			break
		}
	}
	bins := make([]compare.Hour, min((span+step-1)/step, 10*barsMax))
	for i := range bins {
		bins[i].Start, bins[i].Halo = first.Add(time.Duration(i*step)*time.Hour), true
	}
	filled := make([]bool, len(bins))
	for _, h := range hours {
		i := min(int(h.Start.Sub(first)/time.Hour)/step, len(bins)-1)
		bins[i].A += h.A
		bins[i].B += h.B
		bins[i].Running = h.Running
		bins[i].Halo = bins[i].Halo && h.Halo
		filled[i] = true
	}
	for i := range bins {
		if !filled[i] {
			bins[i].Halo = false
			bins[i].Running = bins[i-1].Running // the first one is filled
		}
	}
	return draw(bins, step)
}

func draw(bins []compare.Hour, step int) *chart {
	c := &chart{Step: "hour", Width: len(bins) * barWidth}
	switch {
	case step == 24:
		c.Step = "day"
	case step > 1:
		c.Step = fmt.Sprintf("%d hours", step)
	}
	top, low, high := int64(1), int64(0), int64(0)
	for _, h := range bins {
		top = max(top, h.A, h.B)
		low, high = min(low, h.Running), max(high, h.Running)
	}
	var points []string
	for i, h := range bins {
		c.Bars = append(c.Bars, newBar(i, h, top))
		y := 95 - 90*share(h.Running-low, high-low)
		points = append(points, fmt.Sprintf("%d,%.1f %d,%.1f", i*barWidth, y, (i+1)*barWidth, y))
	}
	at := func(h compare.Hour) string { return h.Start.UTC().Format("2006-01-02 15:04") }
	c.Top, c.Sums = number(top), fmt.Sprintf("from %+d to %+d", low, high)
	if low == high {
		c.Sums = "0 throughout"
	}
	c.Zero = fmt.Sprintf("%.1f", 95-90*share(-low, high-low))
	c.Running = strings.Join(points, " ")
	c.First = at(bins[0])
	if len(bins) > 2 {
		c.Middle = at(bins[len(bins)/2])
	}
	if len(bins) > 1 {
		c.Last = at(bins[len(bins)-1])
	}
	return c
}

func newBar(i int, h compare.Hour, top int64) bar {
	b := bar{X: i * barWidth, XA: i*barWidth + 1, XB: i*barWidth + 5, Wide: barWidth, Half: 4, Halo: h.Halo}
	height := func(n int64) (from, high string) {
		v := 96 * share(n, top)
		return fmt.Sprintf("%.2f", 100-v), fmt.Sprintf("%.2f", v)
	}
	b.TopA, b.HighA = height(h.A)
	b.TopB, b.HighB = height(h.B)
	b.Title = fmt.Sprintf("%s: A %s, B %s", h.Start.UTC().Format("2006-01-02 15:04"), number(h.A), number(h.B))
	return b
}

// share is n of all, a half when all is nothing.
func share(n, all int64) float64 {
	if all == 0 {
		return 0.5
	}
	return float64(n) / float64(all)
}
