package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/verify"
)

// A Slice of a restore is some manifests of one chain, in order.
type Slice struct {
	// ID is the key of the first one: unique in a plan, the same in every plan
	// of the same archive.
	ID        string            `json:"id"`
	Shard     standpipe.ShardID `json:"shard"`
	Manifests []string          `json:"manifests"`
}

// sliceMax is how many manifests are in a slice: a few minutes' work at most
// when all of their objects are there.
const sliceMax = 100

// A Range says which manifests to look at.
type Range struct {
	// From and To bound it. A manifest that lies across an end is inside.
	From, To Point
	// Shards restricts it to some; none is all.
	Shards []standpipe.ShardID
	// Manifests names them instead, by key.
	Manifests []string
}

// Plan calls visit for every slice of the range, chain after chain. It reads
// the manifests, unless they are named.
func Plan(ctx context.Context, s archive.Store, r Range, visit func(Slice) error) error {
	p := planner{visit: visit}
	if r.Manifests != nil {
		keys := slices.Sorted(slices.Values(r.Manifests))
		for _, key := range slices.Compact(keys) {
			if err := p.add(key); err != nil {
				return err
			}
		}
		return p.flush()
	}
	err := s.List(ctx, manifest.CommitsPrefix, "", func(o archive.Object) error {
		_, shard, _, ok := manifest.ParseKey(o.Key)
		if !ok || len(r.Shards) > 0 && !slices.Contains(r.Shards, shard) {
			return nil
		}
		m, err := verify.ReadManifest(ctx, s, o.Key)
		if err != nil {
			return fmt.Errorf("plan from %s: %w (standpipe verify says what is wrong with it)", o.Key, err)
		}
		if !touches(m, r.From, r.To) {
			return nil
		}
		return p.add(o.Key)
	})
	return errors.Join(err, p.flush())
}

type planner struct {
	slice  Slice
	folder string
	visit  func(Slice) error
}

func (p *planner) add(key string) error {
	folder, shard, _, ok := manifest.ParseKey(key)
	if !ok {
		return fmt.Errorf("%q is no key of a manifest: give %s<stream>/<shard>/<number>.json", key, manifest.CommitsPrefix)
	}
	if folder != p.folder || len(p.slice.Manifests) == sliceMax {
		if err := p.flush(); err != nil {
			return err
		}
		p.folder, p.slice = folder, Slice{ID: key, Shard: shard}
	}
	p.slice.Manifests = append(p.slice.Manifests, key)
	return nil
}

func (p *planner) flush() error {
	if len(p.slice.Manifests) == 0 {
		return nil
	}
	s := p.slice
	p.slice = Slice{}
	return p.visit(s)
}

// A Result is what became of slices. Results add up.
type Result struct {
	Manifests int64 `json:"manifests"`
	// Whole objects were left alone, Restored ones made again with their Lines.
	Whole    int64 `json:"whole"`
	Restored int64 `json:"restored"`
	Lines    int64 `json:"lines"`
	// Damaged objects are there and not whole; they are replaced only when told to.
	Damaged int64 `json:"damaged"`
	// Beyond objects cannot be made again: retention has taken their records.
	Beyond int64 `json:"beyondRetention"`
	// Left names what is damaged or beyond, the first thousand.
	Left []verify.Finding `json:"left,omitempty"`
}

// Add sums up.
func (sum *Result) Add(o Result) {
	sum.Manifests += o.Manifests
	sum.Whole += o.Whole
	sum.Restored += o.Restored
	sum.Lines += o.Lines
	sum.Damaged += o.Damaged
	sum.Beyond += o.Beyond
	sum.Left = append(sum.Left, o.Left[:min(len(o.Left), max(0, 1000-len(sum.Left)))]...)
}

// A Restorer restores slices. Safe for concurrent use.
type Restorer struct {
	Archive archive.Store
	Replay  *delivery.Replay
	// Shards are those that the stream still lists.
	Shards []standpipe.Shard
	// Deep reads objects that are there, else their size is believed.
	Deep bool
	// Replace overwrites what is there and not whole.
	Replace bool
}

// Restore makes the objects of a slice whole. It can be run again at any time:
// what is whole is left alone. The Result is valid beside an error.
func (r *Restorer) Restore(ctx context.Context, s Slice) (sum Result, err error) {
	for _, key := range s.Manifests {
		one, err := r.one(ctx, key)
		sum.Add(one)
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

func (r *Restorer) one(ctx context.Context, key string) (sum Result, err error) {
	m, err := verify.ReadManifest(ctx, r.Archive, key)
	if err != nil {
		return sum, fmt.Errorf("read %s: %w", key, err)
	}
	sum.Manifests++
	var missing, damaged []int
	for n, o := range m.Objects {
		kind, detail, err := r.look(ctx, m, o)
		switch {
		case err != nil:
			return sum, err
		case kind == "":
			sum.Whole++
		case kind == verify.Missing:
			missing = append(missing, n)
		case r.Replace:
			damaged = append(damaged, n)
		default:
			sum.Damaged++
			sum.leave(m, key, o, kind, detail+": --replace writes it anew")
		}
	}
	for _, todo := range []struct {
		lost    []int
		replace bool
	}{{missing, false}, {damaged, true}} {
		if len(todo.lost) == 0 {
			continue
		}
		err := r.Replay.Restore(ctx, m, shardOf(r.Shards, m), todo.lost, todo.replace)
		if err != nil && !errors.Is(err, delivery.ErrTrimmed) {
			return sum, err
		}
		for _, n := range todo.lost {
			if err != nil {
				sum.Beyond++
				sum.leave(m, key, m.Objects[n], verify.Missing, err.Error())
				continue
			}
			sum.Restored++
			sum.Lines += m.Objects[n].Lines
		}
	}
	return sum, nil
}

func (sum *Result) leave(m manifest.Manifest, key string, o manifest.Object, k verify.Kind, detail string) {
	sum.Left = append(sum.Left, verify.Finding{
		Kind: k, Shard: m.Shard, Manifest: key, After: &m.Previous, Last: &m.Last, Key: o.Key, Detail: detail,
	})
}

// look judges one object.
func (r *Restorer) look(ctx context.Context, m manifest.Manifest, o manifest.Object) (verify.Kind, string, error) {
	body, there, err := r.Archive.Open(ctx, o.Key)
	if errors.Is(err, archive.ErrNotFound) {
		return verify.Missing, "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("look at %s: %w", o.Key, err)
	}
	if err := body.Close(); err != nil {
		return "", "", fmt.Errorf("look at %s: %w", o.Key, err)
	}
	if there.Size == o.Size && !r.Deep {
		return "", "", nil
	}
	c, err := verify.ReadContent(ctx, r.Archive, o.Key)
	if err != nil {
		return "", "", fmt.Errorf("read %s: %w", o.Key, err)
	}
	kind, detail := verify.Judge(c, o, m.Raw)
	return kind, detail, nil
}

// shardOf is the shard of a manifest as the stream lists it. One that is no
// longer listed has left retention, which reading it tells.
func shardOf(listed []standpipe.Shard, m manifest.Manifest) standpipe.Shard {
	for _, s := range listed {
		if s.ID == m.Shard {
			return s
		}
	}
	return standpipe.Shard{ID: m.Shard}
}

// FromReport takes the manifests to restore out of verify's report, and names
// what restoring cannot mend.
func FromReport(b []byte) (manifests []string, deep bool, left []verify.Finding, err error) {
	var r verify.Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, false, nil, fmt.Errorf("decode the report: %w", err)
	}
	if r.Schema != verify.Schema {
		return nil, false, nil, fmt.Errorf("the report has schema %d, this program knows %d", r.Schema, verify.Schema)
	}
	if r.Unlisted > 0 {
		return nil, false, nil, fmt.Errorf("the report lists %d findings and leaves out %d: replay the range by --from and --to", len(r.Findings), r.Unlisted)
	}
	manifests = []string{}
	for _, f := range r.Findings {
		if f.Kind.Repairable() && f.Key != "" && f.Manifest != "" {
			manifests = append(manifests, f.Manifest)
			continue
		}
		left = append(left, f)
	}
	return manifests, r.Deep, left, nil
}
