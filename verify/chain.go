package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/manifest"
)

// A link is one file under the chains: a manifest, or what cannot be read as one.
type link struct {
	key    string
	folder string
	shard  standpipe.ShardID
	number int64
	at     time.Time // when it was written, as the store says

	m    manifest.Manifest
	kind Kind // of what is wrong with the file, else empty
	err  error
}

// ReadManifest reads one manifest and holds it to its own name and sums.
func ReadManifest(ctx context.Context, s archive.Store, key string) (manifest.Manifest, error) {
	l := readLink(ctx, s, key)
	return l.m, l.err
}

func readLink(ctx context.Context, s archive.Store, key string) (l link) {
	l.key = key
	var ok bool
	if l.folder, l.shard, l.number, ok = manifest.ParseKey(key); !ok {
		l.kind, l.err = Foreign, errors.New("not named like a manifest")
		return l
	}
	r, _, err := s.Open(ctx, key)
	if err != nil {
		l.kind, l.err = Unreadable, err
		return l
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, manifest.Limit+1))
	if err != nil || len(body) > manifest.Limit {
		l.kind, l.err = Unreadable, errors.Join(err, fmt.Errorf("%d bytes read", len(body)))
		return l
	}
	if l.m, err = manifest.Decode(body); err != nil {
		l.kind, l.err = Proof, err
		return l
	}
	switch {
	case manifest.Key(l.m.Origin, l.m.Number) != key:
		l.kind, l.err = Proof, fmt.Errorf("it says that it is number %d of %s", l.m.Number, l.m.Folder())
	default:
		if l.err = l.m.Check(); l.err != nil {
			l.kind = Proof
		}
	}
	return l
}

// walk calls visit for every file under the chains whose key is wanted, in
// order. They are read ahead, workers at a time.
func walk(ctx context.Context, s archive.Store, want func(key string) bool, workers int, visit func(link) error) error {
	return ordered(ctx, workers,
		func(ctx context.Context, put func(archive.Object) error) error {
			return s.List(ctx, manifest.CommitsPrefix, "", func(o archive.Object) error {
				if !want(o.Key) {
					return nil
				}
				return put(o)
			})
		},
		func(ctx context.Context, o archive.Object) link {
			l := readLink(ctx, s, o.Key)
			l.at = o.Modified
			return l
		},
		visit)
}

// A chain is how far one shard's manifests were followed.
type chain struct {
	folder string
	origin manifest.Origin
	last   string // key of the last file seen
	number int64  // of the last manifest
	before *manifest.Manifest
	// start is the first record that the chain covers, previous what it comes
	// after, done where the chain stands.
	start          string
	previous, done standpipe.Position
}

// follow adds one manifest and says what is wrong between it and the one
// before. before is nil at the beginning and after one that could not be read.
func (c *chain) follow(l link) (found []Finding) {
	m := l.m
	switch {
	case l.number > c.number+1:
		after := standpipe.Position{}
		if c.number > 0 {
			after = c.done
		}
		found = append(found, finding(Gap, l, after, m.Previous,
			fmt.Sprintf("manifests %d to %d are not there", c.number+1, l.number-1)))
	case c.before == nil:
	case m.Follows(*c.before) == manifest.Missing:
		found = append(found, finding(Gap, l, c.before.Last, m.Previous,
			fmt.Sprintf("manifest %d ends at %s, %d begins after %s", c.number, c.before.Last, l.number, m.Previous)))
	case m.Follows(*c.before) == manifest.Overlapping:
		found = append(found, finding(Overlap, l, m.Previous, c.before.Last,
			fmt.Sprintf("manifest %d ends at %s, %d begins after %s", c.number, c.before.Last, l.number, m.Previous)))
	}
	if c.start == "" {
		c.start, c.previous, c.origin = m.First, m.Previous, m.Origin
	}
	c.number, c.before, c.done = l.number, &m, m.Last
	return found
}

func finding(k Kind, l link, after, last standpipe.Position, detail string) Finding {
	f := Finding{Kind: k, Shard: l.shard, Manifest: l.key, Detail: detail}
	if after.Sequence != "" {
		f.After = &after
	}
	if last.Sequence != "" {
		f.Last = &last
	}
	return f
}

// seams compares chains of the same shard and delivery: a lease that was lost or
// moved and made anew begins a second chain, which may cover records again, or
// begin where others were never delivered.
func seams(chains []*chain) (found []Finding) {
	type shard struct {
		delivery, stream, created string
		id                        standpipe.ShardID
	}
	all := map[shard][]*chain{}
	var order []shard
	for _, c := range chains {
		if c.start == "" {
			continue
		}
		id := shard{c.origin.Delivery, c.origin.Stream, c.origin.Created.UTC().String(), c.origin.Shard}
		if all[id] == nil {
			order = append(order, id)
		}
		all[id] = append(all[id], c)
	}
	for _, id := range order {
		of := all[id]
		slices.SortStableFunc(of, func(a, b *chain) int { return standpipe.CompareSequence(a.start, b.start) })
		furthest := of[0]
		for n, b := range of[1:] {
			found = append(found, b.overlaps(of[:n+1])...)
			if gap := b.after(furthest); gap != nil {
				found = append(found, *gap)
			}
			if b.done.Compare(furthest.done) > 0 {
				furthest = b
			}
		}
	}
	return found
}

// overlaps names the chains that begin before c and have records of it.
func (c *chain) overlaps(before []*chain) (found []Finding) {
	from := standpipe.Position{Sequence: c.start}
	for _, a := range before {
		if a.done.Compare(from) < 0 {
			continue
		}
		found = append(found, Finding{
			Kind: Overlap, Shard: c.origin.Shard, Manifest: c.last, After: &from, Last: &a.done,
			Detail: fmt.Sprintf("%s and %s both cover it: the shard was begun anew, and its records are there twice", a.origin.Folder(), c.origin.Folder()),
		})
	}
	return found
}

// after is the gap between two chains, if there may be one: c neither goes on
// where a ends nor begins before that.
func (c *chain) after(a *chain) *Finding {
	if c.previous == a.done || a.done.Compare(standpipe.Position{Sequence: c.start}) >= 0 {
		return nil
	}
	f := &Finding{
		Kind: Gap, Shard: c.origin.Shard, Manifest: c.last, After: &a.done,
		Detail: fmt.Sprintf("%s ends there and %s begins at %s: the shard was begun anew, and what lies between, if anything does, is in neither", a.origin.Folder(), c.origin.Folder(), c.start),
	}
	if n, ok := new(big.Int).SetString(c.start, 10); ok {
		f.Last = &standpipe.Position{Sequence: n.Sub(n, big.NewInt(1)).String()}
	}
	return f
}
