package delivery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// intentVersion is the format of intents and plans. A reader that meets
// another version leaves the lease alone: guessing could publish twice.
const intentVersion = 1

// inlineMax is the largest intent, in bytes, that carries its plan in the
// lease row; a larger plan becomes an object of its own. In DynamoDB a row
// pays a write unit per KiB: 4 KiB in PREPARE and COMMIT cost 8 units, which
// is what the one PUT it saves costs ($5 per million PUTs, $0.625 per million
// units).
const inlineMax = 4000

// planLimit bounds what is read back as a plan: 500 objects with their
// ordinals and parts take about 1 MB.
const planLimit = 64 << 20

// A FlushID names one attempt to deliver one range. The random part makes it
// unique: two workers that both prepare "flush 7" must never take the other's
// intent for their own (rule R4).
type FlushID struct {
	Epoch  int64  `json:"epoch"`
	Flush  int64  `json:"flush"`
	Random string `json:"random"`
}

func (id FlushID) String() string { return fmt.Sprintf("%d-%d-%s", id.Epoch, id.Flush, id.Random) }

// An Intent is the decision to publish: once it is stored in the lease, its
// objects will become visible, whoever owns the shard. It names everything
// recovery needs, so recovery needs neither Kinesis nor the configuration.
type Intent struct {
	Version int     `json:"v"`
	ID      FlushID `json:"id"`
	// Rev counts repairs; each gets new keys.
	Rev int `json:"rev"`
	// Base is the checkpoint the range starts after, Last where it ends.
	Base standpipe.Position `json:"base"`
	Last standpipe.Position `json:"last"`
	// Number is that of the manifest this flush becomes.
	Number int64 `json:"number"`
	// Opened is when the first upload can have begun. It bounds the age of the
	// uploads from above and is compared with the bucket's abort rule only.
	Opened time.Time `json:"opened"`
	// Sink is the location of the objects. Another one is not ours to touch.
	Sink string `json:"sink"`
	// Plan is inline when it is small, else PlanKey names the object that
	// holds it and PlanSHA256 its content.
	Plan       *Plan  `json:"plan,omitempty"`
	PlanKey    string `json:"planKey,omitempty"`
	PlanSHA256 string `json:"planSHA256,omitempty"`
}

// A Plan fixes which record is in which object (rule R7): it is written before
// anything can become visible and never recomputed.
type Plan struct {
	Origin manifest.Origin      `json:"origin"`
	Reason standpipe.SealReason `json:"reason"`
	First  string               `json:"first,omitempty"`
	// Raw says that records were concatenated, see RecordFormat.
	Raw     bool            `json:"raw,omitempty"`
	Objects []PlannedObject `json:"objects"`
	Records int64           `json:"records"`
	Dropped int64           `json:"dropped"`
	// Seen is the latest arrival time in the range.
	Seen     time.Time           `json:"seen,omitzero"`
	Gaps     []manifest.Gap      `json:"gaps,omitempty"`
	Children []standpipe.ShardID `json:"children,omitempty"`
}

// A PlannedObject is one staged object of a plan.
type PlannedObject struct {
	sink.Upload
	// Prefix is what the records were routed to.
	Prefix string `json:"prefix"`
	manifest.Contents
	// Ordinals says which records of the range are in this object; nil in a
	// plan of one object, where it is all that were not dropped.
	Ordinals []standpipe.Run `json:"ordinals,omitempty"`
}

var errIntentVersion = errors.New("intent of an unknown version")

func encodeIntent(i Intent) []byte {
	b, err := json.Marshal(i)
	if err != nil { // cannot happen: plain data only
		panic(fmt.Sprintf("encode intent: %v", err))
	}
	return b
}

func decodeIntent(b []byte) (Intent, error) {
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Intent{}, fmt.Errorf("%w: %v", errIntentVersion, err)
	}
	if head.Version != intentVersion {
		return Intent{}, fmt.Errorf("%w: %d, this program knows %d", errIntentVersion, head.Version, intentVersion)
	}
	var i Intent
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&i); err != nil {
		return Intent{}, fmt.Errorf("%w: %v", errIntentVersion, err)
	}
	return i, nil
}

// embed puts plan into the intent: inline when the whole is at most that many bytes, else as an object
// under key whose bytes it returns for the caller to write first.
func (i *Intent) embed(plan Plan, key string, most int) (object []byte) {
	i.Plan, i.PlanKey, i.PlanSHA256 = &plan, "", ""
	if len(encodeIntent(*i)) <= most {
		return nil
	}
	b, err := json.Marshal(plan)
	if err != nil { // cannot happen: plain data only
		panic(fmt.Sprintf("encode plan: %v", err))
	}
	i.Plan, i.PlanKey, i.PlanSHA256 = nil, key, digest(b)
	return b
}

func decodePlan(b []byte, sha string) (Plan, error) {
	var p Plan
	if got := digest(b); got != sha {
		return p, fmt.Errorf("plan has SHA-256 %s, its intent says %s", got, sha)
	}
	return p, json.Unmarshal(b, &p)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
