package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
)

// commits is where standpipe's manifests lie below the root of an archive.
const commits = "_standpipe/commits/"

// manifestMax bounds one manifest.
const manifestMax = 16 << 20

// A manifest is what the proof needs of standpipe's manifest of one flush.
type manifest struct {
	Shard    string             `json:"shard"`
	Number   int64              `json:"number"`
	Previous standpipe.Position `json:"prevLast"`
	Last     standpipe.Position `json:"last"`
	Objects  []struct {
		Key   string `json:"key"`
		Size  int64  `json:"size"`
		Lines int64  `json:"lines"`
		Hash  string `json:"hash"`
	} `json:"objects"`
	Gaps []json.RawMessage `json:"gaps"`
}

// A Proof is what standpipe's own manifests say of one side: that its objects
// are those that were delivered, whole, and its shards' chains have no hole.
type Proof struct {
	Side    string `json:"side"`
	Flushes int64  `json:"flushes"`
	Shards  int64  `json:"shards"`
	// Proved counts objects whose lines have the number and the hash that their
	// manifest gives.
	Proved int64 `json:"proved"`
	// Gaps counts ranges the stream lost before they could be read.
	Gaps int64 `json:"gaps"`
	// Wrong, Absent and Foreign are keys: other content than their manifest
	// says, named by a manifest and not there, there and named by none.
	Wrong   []string `json:"wrong"`
	Absent  []string `json:"absent"`
	Foreign []string `json:"foreign"`
	// Holes are places where a chain does not go on from the manifest before.
	Holes []string `json:"holes"`
}

func (p *Proof) broken() bool {
	return p != nil && (len(p.Wrong) > 0 || len(p.Absent) > 0 || len(p.Holes) > 0)
}

// prove holds one side against its manifests.
func (r *run) prove(ctx context.Context) error {
	c := r.c
	if c.Manifests == nil {
		return nil
	}
	side, prefix, ok := c.proved()
	if !ok {
		return fmt.Errorf("%w: neither archive is below %s, where the manifests are", ErrSettings, c.Manifests.Location())
	}
	p := &prover{
		proof: &Proof{Side: side.String(), Wrong: []string{}, Absent: []string{}, Foreign: []string{}, Holes: []string{}},
		reads: map[string]*read{}, named: map[string]bool{}, chains: map[string]*manifest{},
		exact: !r.json && !c.Canonical && c.Sample == 1, c: c, side: side, prefix: prefix,
	}
	for i, o := range r.inv.objects {
		if o.side == side && r.tally.reads[i] != nil {
			p.reads[prefix+o.Key] = r.tally.reads[i]
		}
	}
	err := c.Manifests.List(ctx, commits, "", func(o archive.Object) error {
		m, err := p.load(ctx, o.Key)
		if err == nil {
			p.take(o.Key, m)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	for key := range p.reads {
		if !p.named[key] {
			p.proof.Foreign = append(p.proof.Foreign, key)
		}
	}
	p.proof.Shards = int64(len(p.chains))
	slices.Sort(p.proof.Foreign)
	r.report.Proof = p.proof
	return nil
}

// proved is the side whose archive lies in the manifests' store, and what its
// keys have in front of them there.
func (c *Config) proved() (side Side, prefix string, ok bool) {
	root := strings.TrimSuffix(c.Manifests.Location(), "/") + "/"
	for side, store := range c.Stores {
		location := strings.TrimSuffix(strings.TrimSuffix(store.Location(), "*"), "/") + "/"
		if strings.HasSuffix(store.Location(), "*") {
			location = strings.TrimSuffix(location, "/")
		}
		if rest, below := strings.CutPrefix(location, root); below {
			return Side(side), rest, true
		}
	}
	return 0, "", false
}

// A prover follows the chains of manifests.
type prover struct {
	c      *Config
	proof  *Proof
	side   Side
	prefix string
	reads  map[string]*read
	named  map[string]bool
	chains map[string]*manifest // the last of each chain
	exact  bool                 // the lines read are those of the manifests
}

func (p *prover) load(ctx context.Context, key string) (*manifest, error) {
	raw, _, err := p.c.Manifests.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	var m manifest
	if err := json.NewDecoder(io.LimitReader(raw, manifestMax)).Decode(&m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", key, err)
	}
	return &m, nil
}

// take adds a manifest; those of a chain come in their order, because their
// numbers are padded.
func (p *prover) take(key string, m *manifest) {
	p.proof.Flushes++
	p.proof.Gaps += int64(len(m.Gaps))
	chain := key[:strings.LastIndexByte(key, '/')]
	if last := p.chains[chain]; last != nil && (m.Number != last.Number+1 || m.Previous.Compare(last.Last) != 0) {
		p.proof.Holes = append(p.proof.Holes, fmt.Sprintf("%s: manifest %d does not follow %d", m.Shard, m.Number, last.Number))
	} else if last == nil && m.Number != 1 {
		p.proof.Holes = append(p.proof.Holes, fmt.Sprintf("%s: the first manifest there is has number %d", m.Shard, m.Number))
	}
	p.chains[chain] = m
	for _, o := range m.Objects {
		p.object(o.Key, o.Lines, o.Hash)
	}
}

func (p *prover) object(key string, count int64, hash string) {
	p.named[key] = true
	read := p.reads[key]
	switch {
	case read == nil:
		if p.expected(key) {
			p.proof.Absent = append(p.proof.Absent, key)
		}
	case read.err != nil || !p.exact:
	case read.lines != count || read.digest.String() != hash:
		p.proof.Wrong = append(p.proof.Wrong, key)
	default:
		p.proof.Proved++
	}
}

// expected says whether an object should have been read: it lies in the
// archive and in the window.
func (p *prover) expected(key string) bool {
	rest, below := strings.CutPrefix(key, p.prefix)
	if !below {
		return false
	}
	t, named := keyTime(rest, p.c.Zones[p.side])
	core, halo := p.c.place(t)
	return named && (core || halo)
}
