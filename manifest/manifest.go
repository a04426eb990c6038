package manifest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/standpipe/standpipe"
)

// Version is the format that this program writes and reads.
const Version = 1

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
	// Raw says that records were concatenated as they are: nothing in an object
	// tells where one ends, so its lines cannot be counted or hashed again.
	Raw     bool     `json:"raw,omitempty"`
	Objects []Object `json:"objects"`
	Counts  Counts   `json:"counts"`
	// Hash is the multiset hash of all lines of the flush.
	Hash   string          `json:"hash"`
	Gaps   []standpipe.Gap `json:"gaps,omitempty"`
	Intent string          `json:"intent"`
	Rev    int             `json:"rev"`
}

// An Origin says which chain of manifests a flush belongs to.
type Origin struct {
	// Delivery is the delivery stream's name, empty before there was this field.
	// Several may deliver one stream into one bucket.
	Delivery    string            `json:"delivery,omitempty"`
	Stream      string            `json:"stream"`
	Created     time.Time         `json:"streamCreated"`
	Incarnation string            `json:"incarnation"`
	Shard       standpipe.ShardID `json:"shard"`
}

// An Object is one visible object of a flush.
type Object struct {
	Key string `json:"key"`
	// Size counts the object's bytes, after compression, and CRC32 is their
	// IEEE checksum as 8 hexadecimal digits. Whoever finds others has to read
	// the lines: an object that was compressed anew is still whole.
	Size  int64  `json:"size"`
	CRC32 string `json:"crc32"`
	Contents
	// Ordinals says which records of the range are in this object, counted from
	// 0; nil in a flush of one object, where it is all that were not dropped.
	// By them an object can be made again, whatever the configuration says then.
	Ordinals []standpipe.Run `json:"ordinals,omitempty"`
}

// Contents says what is in one object.
type Contents struct {
	Records int64 `json:"records"`
	Lines   int64 `json:"lines"`
	// Bytes counts the lines before compression.
	Bytes int64 `json:"bytes"`
	// Hash is the multiset hash of the lines, see standpipe.Digest.
	Hash string `json:"hash"`
	// First and Last are sequence numbers.
	First string `json:"first"`
	Last  string `json:"last"`
	// ArrivalMin and ArrivalMax need not be those of First and Last.
	ArrivalMin time.Time `json:"arrivalMin"`
	ArrivalMax time.Time `json:"arrivalMax"`
}

// Counts add up: Records = those in objects + Dropped.
type Counts struct {
	Records int64 `json:"records"`
	Dropped int64 `json:"dropped"`
	Lines   int64 `json:"lines"`
	Bytes   int64 `json:"bytes"`
}

// Sum adds up the objects: the lines and bytes of Counts, and Hash.
func (m *Manifest) Sum() error {
	var all standpipe.Digest
	m.Counts.Bytes = 0
	for _, o := range m.Objects {
		d, err := standpipe.ParseDigest(o.Lines, o.Hash)
		if err != nil {
			return fmt.Errorf("object %s: %w", o.Key, err)
		}
		all.Merge(d)
		m.Counts.Bytes += o.Bytes
	}
	m.Counts.Lines, m.Hash = all.Lines, all.Sum()
	return nil
}

// Encode is the manifest as it is stored. Equal manifests give equal bytes.
func (m Manifest) Encode() []byte {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil { // cannot happen: plain data only
		panic(fmt.Sprintf("encode manifest: %v", err))
	}
	return append(b, '\n')
}

// Decode reads a manifest. One of another version is an error: what is not
// understood must not pass for whole.
func Decode(b []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode manifest: %w", err)
	}
	if m.Version != Version {
		return m, fmt.Errorf("manifest of version %d, this program knows %d", m.Version, Version)
	}
	return m, nil
}
