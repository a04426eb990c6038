package compare

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/standpipe/standpipe/archive"
)

// A Verdict is the answer.
type Verdict string

// The verdicts. Incomplete wins over the others: what was not read may change
// everything.
const (
	Equal      Verdict = "equal"
	Different  Verdict = "different"
	Incomplete Verdict = "incomplete"
)

// SchemaVersion is the version of the report's JSON form. Fields are added
// without raising it.
const SchemaVersion = 1

// A Report is all that a comparison found.
type Report struct {
	Version  int     `json:"version"`
	Verdict  Verdict `json:"verdict"`
	Headline string  `json:"headline"`
	// Advice is what to do about it, most important first.
	Advice []string `json:"advice"`

	Sides  [2]SideReport `json:"sides"`
	Window Window        `json:"window"`
	Counts Counts        `json:"counts"`
	Hours  []Hour        `json:"hours"`
	// Differences are shown up to a number; Omitted counts the distinct lines
	// that are not.
	Differences []Difference `json:"differences"`
	Omitted     int64        `json:"omitted"`
	Problems    []Problem    `json:"problems"`
	Truth       *TruthReport `json:"truth,omitempty"`
	Proof       *Proof       `json:"proof,omitempty"`
	Method      Method       `json:"method"`
	// Limits are what a comparison of this kind cannot see.
	Limits   []string      `json:"limits"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"durationNanoseconds"`
}

// A SideReport is what was read of one side, core and halo.
type SideReport struct {
	Name        string                  `json:"name"`
	Location    string                  `json:"location"`
	AtLeastOnce bool                    `json:"atLeastOnce"`
	Objects     int64                   `json:"objects"`
	StoredBytes int64                   `json:"storedBytes"`
	PlainBytes  int64                   `json:"plainBytes"`
	Lines       int64                   `json:"lines"`
	Hash        string                  `json:"hash"`
	Codecs      map[archive.Codec]int64 `json:"codecs"`
	// Unnamed counts objects without a time in their key; their modification
	// time was taken.
	Unnamed int64 `json:"unnamed"`
}

// A Window is the time that was compared; nil is no bound.
type Window struct {
	From      *time.Time `json:"from"`
	To        *time.Time `json:"to"`
	Halo      string     `json:"halo"`
	Unsettled string     `json:"unsettled,omitempty"`
	// Ahead: a key is of a time that has not come, so its zone is another.
	Ahead bool `json:"ahead,omitempty"`
}

// An Hour is one hour by the times in the names of objects. Effects of the
// edge cancel out in Running, losses do not.
type Hour struct {
	Start   time.Time `json:"start"`
	A       int64     `json:"a"`
	B       int64     `json:"b"`
	Delta   int64     `json:"delta"`
	Running int64     `json:"running"`
	Halo    bool      `json:"halo,omitempty"`
}

// A Difference is one distinct line of which the sides have different numbers.
type Difference struct {
	Kind   Kind   `json:"kind"`
	Hash   string `json:"hash"`
	Copies int64  `json:"copies"`
	// A and B are how often either side has it, core and halo.
	A int64 `json:"a"`
	B int64 `json:"b"`
	// PlacesA and PlacesB are the first few places of each.
	PlacesA []Place `json:"placesA"`
	PlacesB []Place `json:"placesB"`
	Text    string  `json:"text"`
	// Partner is the hash of the line it belongs to: this one altered, or in
	// another shape; Detail says how.
	Partner string `json:"partner,omitempty"`
	Detail  string `json:"detail,omitempty"`
	// Truth is how often the stream has it, when it was asked.
	Truth *int64 `json:"truth,omitempty"`
}

// A Place is where a line is.
type Place struct {
	Key    string `json:"key"`
	Line   int64  `json:"line"`   // from 1
	Offset int64  `json:"offset"` // of its first byte after decompression
}

func (p Place) String() string { return fmt.Sprintf("%s line %d (byte %d)", p.Key, p.Line, p.Offset) }

func comparePlaces(p, q Place) int {
	return cmp.Or(cmp.Compare(p.Key, q.Key), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Offset, q.Offset))
}

// A Problem is why the comparison is not complete.
type Problem struct {
	Kind  ProblemKind `json:"kind"`
	Side  string      `json:"side,omitempty"`
	Key   string      `json:"key,omitempty"`
	Error string      `json:"error"`
}

// A ProblemKind is a sort of problem.
type ProblemKind string

// The kinds.
const (
	ProblemUnreadable ProblemKind = "unreadable" // cannot be had or decoded to its end
	ProblemChanged    ProblemKind = "changed"    // replaced or removed during the run
	ProblemUnsettled  ProblemKind = "unsettled"  // the window may still grow
	ProblemSpill      ProblemKind = "uncounted"  // the differences could not be counted
	ProblemEmpty      ProblemKind = "empty"      // nothing to compare on a side
	ProblemTruth      ProblemKind = "truth"      // the stream could not be asked
	ProblemSlice      ProblemKind = "failed"     // a part of the work could not be done
	ProblemProof      ProblemKind = "unproved"   // the manifests are not those of a side
	// ProblemContradiction: a later pass did not find what the first one counted,
	// and no store said that something changed.
	ProblemContradiction ProblemKind = "contradiction"
)

func problemOf(o Object, err error) Problem {
	p := Problem{Kind: ProblemUnreadable, Side: o.Side.String(), Key: o.Key, Error: err.Error()}
	if errors.Is(err, archive.ErrChanged) || errors.Is(err, archive.ErrNotFound) {
		p.Kind = ProblemChanged
	}
	return p
}

func compareProblems(p, q Problem) int {
	return cmp.Or(cmp.Compare(p.Side, q.Side), cmp.Compare(p.Key, q.Key))
}

// A Method is how the differences were found.
type Method struct {
	Records   Records `json:"records"`
	Canonical bool    `json:"canonical"`
	Sample    uint64  `json:"sample"`
	Capacity  int     `json:"capacity"`
	Spilled   bool    `json:"spilled"`
	Estimate  int     `json:"estimate"`
}

// A TruthReport is what the stream says.
type TruthReport struct {
	Source string `json:"source"`
	Lines  int64  `json:"lines"`
	// AgreesA and AgreesB count shown differences in which the stream has as
	// many copies as that side; Unknown those it has no more.
	AgreesA int64 `json:"agreesA"`
	AgreesB int64 `json:"agreesB"`
	Neither int64 `json:"neither"`
	Unknown int64 `json:"unknown"`
}

// onlyA reports that the stream was asked and agrees with A wherever it knows.
func (t *TruthReport) onlyA() bool {
	return t != nil && t.AgreesA > 0 && t.AgreesB == 0 && t.Neither == 0
}

func alteredAt(from, to int) string {
	if to <= from+1 {
		return fmt.Sprintf("altered at byte %d", from)
	}
	return fmt.Sprintf("altered from byte %d to %d", from, to)
}
