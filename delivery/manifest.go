package delivery

import (
	"encoding/json"
	"fmt"

	"github.com/standpipe/standpipe"
)

// StatePrefix is where everything that is not data lies in the bucket. Query
// engines of the Hive family skip names that begin with an underscore.
const StatePrefix = "_standpipe/"

// A Manifest is the proof of one committed flush. The manifests of a shard are
// numbered without gaps, and each one's Previous is the Last of the one before
// it, so whoever follows 1, 2, 3… meets every record after the start once and
// learns when the shard ended. Its content is a pure function of the plan: two
// workers that publish the same intent write the same bytes.
type Manifest struct {
	Version int `json:"v"`
	Origin
	Number   int64                `json:"number"`
	Previous standpipe.Position   `json:"prevLast"`
	First    string               `json:"first,omitempty"`
	Last     standpipe.Position   `json:"last"`
	Children []standpipe.ShardID  `json:"children,omitempty"`
	Reason   standpipe.SealReason `json:"reason"`
	Objects  []ManifestObject     `json:"objects"`
	Counts   ManifestCounts       `json:"counts"`
	// Hash is the multiset hash of all lines of the flush.
	Hash   string `json:"hash"`
	Gaps   []Gap  `json:"gaps,omitempty"`
	Intent string `json:"intent"`
	Rev    int    `json:"rev"`
}

// A ManifestObject is one visible object of a flush.
type ManifestObject struct {
	Key string `json:"key"`
	// Size counts the object's bytes, after compression.
	Size int64 `json:"size"`
	Contents
}

// ManifestCounts add up: Records = those in objects + Dropped.
type ManifestCounts struct {
	Records int64 `json:"records"`
	Dropped int64 `json:"dropped"`
	Lines   int64 `json:"lines"`
	Bytes   int64 `json:"bytes"`
}

// ManifestKey is where manifest number n of a chain lies. Numbers are padded,
// so a listing is in order.
func ManifestKey(o Origin, n int64) string {
	return fmt.Sprintf("%scommits/%s-%s/%s/%012d.json", StatePrefix, o.Stream, o.Incarnation, o.Shard, n)
}

func planKey(o Origin, id FlushID, rev int, random string) string {
	return fmt.Sprintf("%spending/%s-%s/%s/%s-r%d-%s.json", StatePrefix, o.Stream, o.Incarnation, o.Shard, id, rev, random)
}

func newManifest(i Intent, p Plan) (Manifest, error) {
	m := Manifest{
		Version: 1, Origin: p.Origin, Number: i.Number,
		Previous: i.Base, First: p.First, Last: i.Last, Children: p.Children,
		Reason: p.Reason, Objects: []ManifestObject{},
		Counts: ManifestCounts{Records: p.Records, Dropped: p.Dropped},
		Gaps:   p.Gaps, Intent: i.ID.String(), Rev: i.Rev,
	}
	var all standpipe.Digest
	for _, o := range p.Objects {
		m.Objects = append(m.Objects, ManifestObject{Key: o.Key, Size: o.Size(), Contents: o.Contents})
		d, err := standpipe.ParseDigest(o.Lines, o.Hash)
		if err != nil {
			return m, fmt.Errorf("object %s of intent %s: %w", o.Key, i.ID, err)
		}
		all.Merge(d)
		m.Counts.Bytes += o.Bytes
	}
	m.Counts.Lines, m.Hash = all.Lines, all.Sum()
	return m, nil
}

func (m Manifest) encode() []byte {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil { // cannot happen: plain data only
		panic(fmt.Sprintf("encode manifest: %v", err))
	}
	return append(b, '\n')
}
