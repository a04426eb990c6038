package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/verify"
)

// A Slice of a restore is some manifests of one chain, in order. It names them
// by runs of their numbers, so that what a plan takes in memory and in the job
// store follows its slices and not its manifests: about 5 KB for 1,000
// manifests in slices of 100.
type Slice struct {
	// Folder is the chain's, see manifest.Origin.
	Folder string          `json:"folder"`
	Runs   []standpipe.Run `json:"runs"`
}

// Len is how many manifests there are in it.
func (s Slice) Len() (n int64) {
	for _, r := range s.Runs {
		n += r.Count
	}
	return n
}

// Each calls visit with the key of every manifest.
func (s Slice) Each(visit func(key string) error) error {
	for _, r := range s.Runs {
		for n := r.Start; n < r.Start+r.Count; n++ {
			if err := visit(manifest.KeyIn(s.Folder, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Shard is the chain's.
func (s Slice) Shard() standpipe.ShardID {
	_, shard, _, _ := manifest.ParseKey(manifest.KeyIn(s.Folder, s.Runs[0].Start))
	return shard
}

// String names it for people.
func (s Slice) String() string {
	first, last := s.Runs[0].Start, s.Runs[len(s.Runs)-1]
	return fmt.Sprintf("%s, manifests %d to %d", s.Shard(), first, last.Start+last.Count-1)
}

// A Range says which manifests to look at.
type Range struct {
	// From and To bound it. A manifest that lies across an end is inside.
	From, To Point
	// Shards restricts it to some; none is all.
	Shards []standpipe.ShardID
	// Delivery leaves out what other delivery streams have put into the bucket:
	// their objects are made by their configuration. Empty is all.
	Delivery string
	// Manifests names them instead, by key.
	Manifests []string
}

// Plan calls visit for every slice of the range, chain after chain, with size
// manifests in each but the last of a chain. It reads the manifests, unless
// they are named. others are the delivery streams whose manifests lie in the
// range and were left out.
func Plan(ctx context.Context, s archive.Store, r Range, size int, visit func(Slice) error) (others []string, err error) {
	p := planner{size: int64(size), visit: visit}
	if r.Manifests != nil {
		keys := slices.Sorted(slices.Values(r.Manifests))
		for _, key := range slices.Compact(keys) {
			if err := p.add(key); err != nil {
				return nil, err
			}
		}
		return nil, p.flush()
	}
	err = s.List(ctx, manifest.CommitsPrefix, "", func(o archive.Object) error {
		_, shard, _, ok := manifest.ParseKey(o.Key)
		if !ok || len(r.Shards) > 0 && !slices.Contains(r.Shards, shard) {
			return nil
		}
		m, err := verify.ReadManifest(ctx, s, o.Key)
		switch {
		case err != nil:
			return fmt.Errorf("plan from %s: %w (standpipe verify says what is wrong with it)", o.Key, err)
		case !touches(m, r.From, r.To):
			return nil
		case !another(m, r.Delivery):
			return p.add(o.Key)
		case !slices.Contains(others, m.Delivery):
			others = append(others, m.Delivery)
		}
		return nil
	})
	return others, errors.Join(err, p.flush())
}

// another reports whether m belongs to another delivery stream than name.
// Manifests of the first versions did not say.
func another(m manifest.Manifest, name string) bool {
	return name != "" && m.Delivery != "" && m.Delivery != name
}

type planner struct {
	size  int64
	slice Slice
	count int64
	visit func(Slice) error
}

func (p *planner) add(key string) error {
	folder, _, n, ok := manifest.ParseKey(key)
	if !ok {
		return fmt.Errorf("%q is no key of a manifest: give %s<stream>/<shard>/<number>.json", key, manifest.CommitsPrefix)
	}
	if folder != p.slice.Folder || p.count == p.size {
		if err := p.flush(); err != nil {
			return err
		}
		p.slice.Folder = folder
	}
	p.count++
	if k := len(p.slice.Runs) - 1; k >= 0 && p.slice.Runs[k].Start+p.slice.Runs[k].Count == n {
		p.slice.Runs[k].Count++
	} else {
		p.slice.Runs = append(p.slice.Runs, standpipe.Run{Start: n, Count: 1})
	}
	return nil
}

func (p *planner) flush() error {
	if p.count == 0 {
		return nil
	}
	s := p.slice
	p.slice, p.count = Slice{}, 0
	return p.visit(s)
}
