package page

import (
	"bufio"
	"fmt"
	"io"

	"github.com/standpipe/standpipe/compare"
)

// Combined writes one line per difference, with a symbol as rclone check has
// them: + only in A, - only in B, * altered or in another shape, = a duplicate,
// ! an object that could not be read; then hash, copies and the first place.
func Combined(w io.Writer, r *compare.Report) error {
	b := bufio.NewWriter(w)
	for _, p := range r.Problems {
		if p.Key != "" {
			fmt.Fprintf(b, "! %s %s\n", p.Side, p.Key)
		}
	}
	for _, d := range r.Differences {
		fmt.Fprintf(b, "%s %s %d%s\n", symbol(d), d.Hash, d.Copies, first(d))
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write the list of differences: %w", err)
	}
	return nil
}

func symbol(d compare.Difference) string {
	switch {
	case d.Partner != "":
		return "*"
	case d.Kind == compare.MissingInB:
		return "+"
	case d.Kind == compare.MissingInA:
		return "-"
	}
	return "="
}

// first is a place of the side that has more.
func first(d compare.Difference) string {
	places, side := d.PlacesA, "A"
	if d.B > d.A {
		places, side = d.PlacesB, "B"
	}
	if len(places) == 0 {
		return ""
	}
	return fmt.Sprintf(" %s %s:%d", side, places[0].Key, places[0].Line)
}
