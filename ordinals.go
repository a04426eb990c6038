package standpipe

// A Run is Count consecutive ordinals from Start on. Ordinals count the records
// of a range from 0.
type Run struct {
	Start int64 `json:"start"`
	Count int64 `json:"count"`
}

// Has reports whether runs, in ascending order, contain ordinal.
func Has(runs []Run, ordinal int64) bool {
	for _, r := range runs {
		if ordinal < r.Start {
			return false
		}
		if ordinal < r.Start+r.Count {
			return true
		}
	}
	return false
}
