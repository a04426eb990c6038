package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
)

// A Manifest is the part of a manifest that an outsider needs to follow a
// shard: which objects hold its next range, in which order, and what is said
// of them. All that the harness knows of the format is in this type and in
// Chains.
type Manifest struct {
	Shard    string             `json:"shard"`
	Number   int64              `json:"number"`
	PrevLast standpipe.Position `json:"prevLast"`
	First    string             `json:"first"`
	Last     standpipe.Position `json:"last"`
	Objects  []ManifestObject   `json:"objects"`
	Gaps     []json.RawMessage  `json:"gaps"`
}

// A ManifestObject is one object of a flush as its manifest describes it.
type ManifestObject struct {
	Key        string    `json:"key"`
	Size       int64     `json:"size"` // as stored
	Lines      int64     `json:"lines"`
	Hash       string    `json:"hash"` // see standpipe.Digest
	ArrivalMax time.Time `json:"arrivalMax"`
}

// Chains reads every manifest, "…/_standpipe/commits/<stream…>/<shard>/<number>.json",
// and returns each shard's in order. Numbers must be gap-free and each must
// begin where the one before ended.
func (a *Archive) Chains(ctx context.Context) (map[string][]Manifest, error) {
	listed, err := a.list(ctx, "")
	if err != nil {
		return nil, err
	}
	chains := map[string][]Manifest{}
	for key := range listed {
		if !isManifest(key) {
			continue
		}
		m, err := a.manifest(ctx, key)
		if err != nil {
			return nil, err
		}
		chains[m.Shard] = append(chains[m.Shard], m)
	}
	for shard, chain := range chains {
		slices.SortFunc(chain, func(x, y Manifest) int { return int(x.Number - y.Number) })
		if err := checkChain(chain); err != nil {
			return nil, fmt.Errorf("manifests of %s: %w", shard, err)
		}
	}
	return chains, nil
}

func isManifest(key string) bool {
	return strings.Contains("/"+key, "/"+bookkeeping+"commits/") && path.Ext(key) == ".json"
}

// manifest reads one and checks it against its own name.
func (a *Archive) manifest(ctx context.Context, key string) (Manifest, error) {
	var m Manifest
	body, err := a.Get(ctx, key)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("decode manifest %s: %w", key, err)
	}
	number, err := strconv.ParseInt(strings.TrimSuffix(path.Base(key), ".json"), 10, 64)
	if err != nil {
		return m, fmt.Errorf("manifest %s is not named by a number: %w", key, err)
	}
	if m.Number != number || m.Shard != path.Base(path.Dir(key)) {
		return m, fmt.Errorf("manifest %s says it is number %d of %s", key, m.Number, m.Shard)
	}
	return m, nil
}

func checkChain(chain []Manifest) error {
	for i, m := range chain {
		if want := int64(i) + 1; m.Number != want {
			return fmt.Errorf("number %d follows, want %d", m.Number, want)
		}
		if i > 0 && m.PrevLast != chain[i-1].Last {
			return fmt.Errorf("number %d begins after %v, the one before ended at %v", m.Number, m.PrevLast, chain[i-1].Last)
		}
	}
	return nil
}

// ShardText joins the objects of one shard in the order of its manifests, and
// checks that the manifests name every object once.
func (a *Archive) ShardText(chain []Manifest) ([]byte, error) {
	var text []byte
	named := map[string]bool{}
	for _, m := range chain {
		for _, o := range m.Objects {
			part, visible := a.Text(o.Key)
			if !visible {
				return nil, fmt.Errorf("manifest %d names %s, which is not visible", m.Number, o.Key)
			}
			if named[o.Key] {
				return nil, fmt.Errorf("manifest %d names %s, which was named before", m.Number, o.Key)
			}
			named[o.Key] = true
			text = append(text, part...)
		}
	}
	return text, nil
}

// Covers reads the chains and puts each shard's joined objects into text. It
// says nil once no shard is shorter than its records.
func (a *Archive) Covers(ctx context.Context, contents map[string][][]byte, text map[string][]byte) error {
	chains, err := a.Chains(ctx)
	if err != nil {
		return err
	}
	for shard, records := range contents {
		if text[shard], err = a.ShardText(chains[shard]); err != nil {
			return err
		}
		want := 0
		for _, r := range records {
			want += len(r)
		}
		if got := len(text[shard]); got < want {
			return fmt.Errorf("%s has %d of %d bytes", shard, got, want)
		}
	}
	return nil
}
