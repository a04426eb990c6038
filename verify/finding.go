package verify

import (
	"cmp"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
)

// A Kind is one verdict on one thing.
type Kind string

// The verdicts that mean damage.
const (
	// Missing: a manifest names the object, and it is not there.
	Missing Kind = "missing"
	// Altered: as many lines as were written, but not the same bytes; or bytes
	// that cannot be decoded though none is missing. A flipped byte.
	Altered Kind = "altered"
	// Lines: the object can be read and holds more or fewer lines than it should.
	Lines Kind = "lines"
	// Doubled: the lines of a named object, which is whole, are there once more
	// in an object that no manifest names.
	Doubled Kind = "doubled"
	// Gap: the chain has a hole, or ends before its checkpoint. Records in it are
	// in no manifest.
	Gap Kind = "gap"
	// Foreign: no manifest names the object, and its lines are nobody's.
	Foreign Kind = "foreign"
	// Overlap: two manifests cover the same records.
	Overlap Kind = "overlap"
	// Proof: a manifest contradicts itself, or lies under another's name.
	Proof Kind = "proof"
	// Differs: the stream, which still has the records, says otherwise.
	Differs Kind = "stream"
)

// The verdicts that leave the question open.
const (
	// Unreadable: not to be decoded to its end and not of its size, of an
	// unknown format, or refused by the store.
	Unreadable Kind = "unreadable"
	// Changed: replaced or removed while it was looked at.
	Changed Kind = "changed"
	// Unsettled: a young object of a flush that no manifest names yet: a live
	// writer may be about to.
	Unsettled Kind = "unsettled"
)

// Damage says that the verdict is one: the archive is not what it should be.
func (k Kind) Damage() bool {
	return k != Unreadable && k != Changed && k != Unsettled
}

// Repairable says that the records of the manifest, read again, make the
// object whole.
func (k Kind) Repairable() bool {
	return k == Missing || k == Altered || k == Lines || k == Unreadable
}

// A Finding is one thing that is not as it should be.
type Finding struct {
	Kind  Kind              `json:"kind"`
	Shard standpipe.ShardID `json:"shard,omitempty"`
	// Manifest is the key of the manifest concerned.
	Manifest string `json:"manifest,omitempty"`
	// After and Last bound the range of the shard: after the one, up to and
	// including the other.
	After *standpipe.Position `json:"after,omitempty"`
	Last  *standpipe.Position `json:"last,omitempty"`
	// Key is the object's.
	Key string `json:"key,omitempty"`
	// As is the named object whose lines the object under Key holds.
	As string `json:"as,omitempty"`
	// Detail says what was found, in numbers.
	Detail string `json:"detail"`
	// Repair is the command that mends it, empty when a person has to decide.
	Repair string `json:"repair,omitempty"`
}

// Counts is what was looked at.
type Counts struct {
	Chains    int64 `json:"chains"`
	Manifests int64 `json:"manifests"`
	// Ends counts the chains whose end was held against a checkpoint.
	Ends    int64 `json:"ends"`
	Objects int64 `json:"objects"`
	Records int64 `json:"records"`
	Lines   int64 `json:"lines"`
	// Bytes is what the objects have in the listing, Read what was read of them.
	Bytes int64 `json:"bytes"`
	Read  int64 `json:"read"`
	// Late counts objects that were written after their manifest: restored,
	// copied, or changed. They are read.
	Late int64 `json:"late"`
	// Outside counts objects that lie where the archive has none: not judged.
	Outside int64 `json:"outside"`
	// Trimmed counts stretches that retention took before they were read, as the
	// manifests themselves say; Streamed the manifests compared with the stream,
	// and Beyond those whose records have left its retention.
	Trimmed  int64 `json:"trimmed"`
	Streamed int64 `json:"streamed"`
	Beyond   int64 `json:"beyondRetention"`
}

// Schema is the version of Report.
const Schema = 1

// A Report is what one run found.
type Report struct {
	Schema  int       `json:"schema"`
	Archive string    `json:"archive"`
	Prefix  string    `json:"prefix,omitempty"`
	Begun   time.Time `json:"begun"`
	Deep    bool      `json:"deep"`
	Stream  bool      `json:"stream"`
	Verdict Verdict   `json:"verdict"`
	Counts  Counts    `json:"counts"`
	// Found counts findings by kind, also those that are not listed.
	Found    map[Kind]int64 `json:"found"`
	Findings []Finding      `json:"findings"`
	// Unlisted is how many findings are only counted.
	Unlisted int64 `json:"unlisted,omitempty"`
}

// A Verdict is the sum of a report.
type Verdict string

// The verdicts. Damage outweighs what could not be judged.
const (
	Whole      Verdict = "whole"
	Damaged    Verdict = "damaged"
	Incomplete Verdict = "incomplete"
)

func verdict(found map[Kind]int64) Verdict {
	v := Whole
	for k, n := range found {
		switch {
		case n == 0:
		case k.Damage():
			return Damaged
		default:
			v = Incomplete
		}
	}
	return v
}

func sortFindings(f []Finding) {
	slices.SortFunc(f, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Manifest, b.Manifest), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Kind, b.Kind))
	})
}
