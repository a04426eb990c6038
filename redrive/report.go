package redrive

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
)

// What a report holds of what others wrote is bounded: so many rejections are
// named (all are counted), and so many codes have a count of their own.
const (
	rejectionsKept = 100
	codesKept      = 50
	otherCodes     = "(other)"
)

// A Report is what became of a slice, or of many.
type Report struct {
	// Objects are the source objects that were read.
	Objects int64 `json:"objects"`
	// Records are the readable ones; those of other codes than asked for count
	// in LeftOut too. Redriven ones are in the destination.
	Records  int64 `json:"records"`
	LeftOut  int64 `json:"leftOut"`
	Redriven int64 `json:"redriven"`
	// Bytes is the content of the redriven records.
	Bytes int64 `json:"bytes"`
	// Unchanged counts output objects that were there already.
	Unchanged int64 `json:"unchanged"`
	// Rejected counts lines that are unreadable and records that the destination
	// will never take. Rejections names the first hundred.
	Rejected   int64            `json:"rejected"`
	Rejections []Rejection      `json:"rejections"`
	Codes      map[string]int64 `json:"codes"`
}

// A Rejection is a line that was not redriven, and why.
type Rejection struct {
	Object string `json:"object"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
}

func (r Rejection) String() string { return fmt.Sprintf("%s:%d: %s", r.Object, r.Line, r.Reason) }

func (r *Report) reject(object string, line int64, reason string) {
	r.Rejected++
	if len(r.Rejections) < rejectionsKept {
		r.Rejections = append(r.Rejections, Rejection{object, line, reason})
	}
}

// note counts an entry and reports whether it is to be redriven.
func (r *Report) note(spec Spec, item Item, e entry) bool {
	if e.err != nil {
		r.reject(item.Key, e.line, e.err.Error())
		return false
	}
	r.Records++
	r.count(e.failure.Code, 1)
	if !spec.wants(item, e.failure) {
		r.LeftOut++
		return false
	}
	return true
}

func (r *Report) count(code string, n int64) {
	if r.Codes == nil {
		r.Codes = map[string]int64{}
	}
	if _, known := r.Codes[code]; !known && len(r.Codes) >= codesKept {
		code = otherCodes
	}
	r.Codes[code] += n
}

// Add counts what another report did.
func (r *Report) Add(o Report) {
	r.Objects += o.Objects
	r.Records += o.Records
	r.LeftOut += o.LeftOut
	r.Redriven += o.Redriven
	r.Bytes += o.Bytes
	r.Unchanged += o.Unchanged
	r.Rejected += o.Rejected
	r.Rejections = append(r.Rejections, o.Rejections[:min(len(o.Rejections), rejectionsKept-len(r.Rejections))]...)
	for code, n := range o.Codes {
		r.count(code, n)
	}
}

// ReportOf is what a slice did so far, done or not.
func ReportOf(s jobs.Slice) (Report, error) {
	if s.Result != nil {
		var r Report
		err := json.Unmarshal(s.Result, &r)
		return r, err
	}
	var p progress
	if s.Progress == nil {
		return Report{}, nil
	}
	err := json.Unmarshal(s.Progress, &p)
	return p.Report, err
}

// progress is how far a slice is.
type progress struct {
	// Object is the item being read; those before it are done or failed.
	Object int `json:"object"`
	// From is the first entry of it that is not counted yet; with To, a batch of
	// From up to To was about to be sent at Since, and its outcome is unknown.
	From  int64  `json:"from,omitempty"`
	To    int64  `json:"to,omitempty"`
	Since string `json:"since,omitempty"`
	// Failed are the items that could not be done, and why.
	Failed []failed `json:"failed,omitempty"`
	Report Report   `json:"report"`
}

type failed struct {
	Item   int    `json:"item"`
	Reason string `json:"reason"`
	// Changed: the object is not the one that was planned. What it is now is
	// planned as another one.
	Changed bool `json:"changed,omitempty"`
}

// Owes reports whether a slice failed with objects that nobody redrives unless it
// is resumed: no later plan has them.
func Owes(s jobs.Slice) (bool, error) {
	var (
		items []Item
		p     progress
	)
	if s.State != jobs.Failed {
		return false, nil
	}
	err := json.Unmarshal(s.Spec, &items)
	if s.Progress != nil {
		err = errors.Join(err, json.Unmarshal(s.Progress, &p))
	}
	return p.Object < len(items) || slices.ContainsFunc(p.Failed, func(f failed) bool { return !f.Changed }), err
}

// work is what a handler is given, decoded.
type work struct {
	task  jobs.Task
	spec  Spec
	items []Item
	at    progress
}

func begin(t jobs.Task) (work, error) {
	w := work{task: t}
	err := json.Unmarshal(t.Job.Spec, &w.spec)
	if err == nil {
		err = json.Unmarshal(t.Slice.Spec, &w.items)
	}
	if err == nil && t.Slice.Progress != nil {
		err = json.Unmarshal(t.Slice.Progress, &w.at)
	}
	if err != nil {
		return w, &standpipe.Error{Class: standpipe.Fatal, Op: "read the slice", Err: err}
	}
	return w, nil
}

// fail notes that an item cannot be done.
func (w *work) fail(item int, err error) {
	w.at.Failed = append(w.at.Failed, failed{item, err.Error(), errors.Is(err, errChanged)})
}

// end is the result, or the error that names what could not be done.
func (w *work) end() (json.RawMessage, error) {
	if n := len(w.at.Failed); n > 0 {
		first := w.at.Failed[0]
		more := ""
		if n > 1 {
			more = fmt.Sprintf(", and %d more objects", n-1)
		}
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "redrive " + w.items[first.Item].Key,
			Err: fmt.Errorf("%s%s", first.Reason, more),
		}
	}
	return json.Marshal(w.at.Report)
}
