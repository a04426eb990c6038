package compare

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/manifest"
)

// A Proof is what standpipe's own manifests say of one side: that its objects
// are those that were delivered, whole, and its shards' chains have no hole.
type Proof struct {
	Side    string `json:"side"`
	Flushes int64  `json:"flushes"`
	Shards  int64  `json:"shards"`
	// Proved counts objects whose lines have the number and the hash that their
	// manifest gives.
	Proved int64 `json:"proved"`
	// Unproved counts those whose lines were not held against it: they were written
	// raw, or the comparison cuts, spells or samples them otherwise.
	Unproved int64 `json:"unproved"`
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

// follow makes ready to hold one side against its manifests.
func (r *run) follow() error {
	c := r.c
	if c.Manifests == nil {
		return nil
	}
	side, prefix, ok := c.proved()
	if !ok {
		return fmt.Errorf("%w: neither archive is below %s, where the manifests are", ErrSettings, c.Manifests.Location())
	}
	r.prover = &prover{
		proof: &Proof{Side: side.String(), Wrong: []string{}, Absent: []string{}, Foreign: []string{}, Holes: []string{}},
		named: map[string]bool{}, chains: map[string]manifest.Manifest{}, c: c, side: side, prefix: prefix,
	}
	return nil
}

// prove holds what was read against the manifests.
func (r *run) prove(ctx context.Context) error {
	p := r.prover
	if p == nil {
		return nil
	}
	p.reads, p.exact = r.reads, !r.json && !r.c.Canonical && r.c.Sample == 1
	err := r.c.Manifests.List(ctx, manifest.CommitsPrefix, "", func(o archive.Object) error {
		m, err := p.load(ctx, o.Key)
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		if err != nil {
			p.proof.Holes = append(p.proof.Holes, fmt.Sprintf("%s: %v", o.Key, err))
			return nil
		}
		p.take(m)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	read := 0
	for o := range p.reads {
		if o.side != p.side {
			continue
		}
		read++
		if key := p.prefix + o.key; !p.named[key] {
			p.proof.Foreign = append(p.proof.Foreign, key)
		}
	}
	if read > 0 && len(p.proof.Foreign) == read && len(p.proof.Absent) == 0 {
		r.report.Problems = append(r.report.Problems, Problem{
			Kind: ProblemProof, Side: p.side.String(),
			Error: fmt.Sprintf("no manifest in %s names an object of side %s, %s: nothing is proved", r.c.Manifests.Location(), p.side, r.report.Sides[p.side].Location),
		})
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
	reads  map[sideKey]objectRead
	named  map[string]bool
	chains map[string]manifest.Manifest // the last of each chain, without its objects
	exact  bool                         // the lines read are those of the manifests
}

// load reads a manifest that is what its name says. Whether its sums add up is
// for standpipe verify to say: here the objects are held against it.
func (p *prover) load(ctx context.Context, key string) (m manifest.Manifest, err error) {
	if _, _, _, ok := manifest.ParseKey(key); !ok {
		return m, errors.New("not named like a manifest")
	}
	raw, _, err := p.c.Manifests.Open(ctx, key)
	if err != nil {
		return m, err
	}
	defer raw.Close()
	body, err := io.ReadAll(io.LimitReader(raw, manifest.Limit+1))
	if err != nil {
		return m, err
	}
	if len(body) > manifest.Limit {
		return m, fmt.Errorf("larger than %d MiB", manifest.Limit>>20)
	}
	if m, err = manifest.Decode(body); err != nil {
		return m, err
	}
	if manifest.Key(m.Origin, m.Number) != key {
		return m, fmt.Errorf("it says that it is number %d of %s", m.Number, m.Folder())
	}
	return m, nil
}

// take adds a manifest; those of a chain come in their order, because their
// numbers are padded.
func (p *prover) take(m manifest.Manifest) {
	p.proof.Flushes++
	p.proof.Gaps += int64(len(m.Gaps))
	last, known := p.chains[m.Folder()]
	switch {
	case known && (m.Number != last.Number+1 || m.Follows(last) != manifest.Contiguous):
		p.proof.Holes = append(p.proof.Holes, fmt.Sprintf("%s: manifest %d does not follow %d", m.Shard, m.Number, last.Number))
	case !known && m.Number != 1:
		p.proof.Holes = append(p.proof.Holes, fmt.Sprintf("%s: the first manifest there is has number %d", m.Shard, m.Number))
	}
	for _, o := range m.Objects {
		p.object(o, p.exact && !m.Raw)
	}
	m.Objects = nil
	p.chains[m.Folder()] = m
}

func (p *prover) object(o manifest.Object, exact bool) {
	p.named[o.Key] = true
	rest, below := strings.CutPrefix(o.Key, p.prefix)
	if !below {
		return
	}
	read, there := p.reads[sideKey{p.side, rest}]
	switch {
	case !there:
		if p.expected(rest) {
			p.proof.Absent = append(p.proof.Absent, o.Key)
		}
	case read.Failed: // a problem of the report
	case !exact:
		p.proof.Unproved++
	case read.Lines != o.Lines || read.Hash.String() != o.Hash:
		p.proof.Wrong = append(p.proof.Wrong, o.Key)
	default:
		p.proof.Proved++
	}
}

// expected says whether an object should have been read: it lies in the window.
func (p *prover) expected(key string) bool {
	t, named := keyTime(key, p.c.Zones[p.side])
	core, halo := p.c.place(t)
	return named && (core || halo)
}
