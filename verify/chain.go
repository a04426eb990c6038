package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	// start is the first record that the chain covers, done where it stands.
	start string
	done  standpipe.Position
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
		c.start, c.origin = m.First, m.Origin
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

// overlaps compares chains of the same shard and delivery: a lease that was lost
// and made anew begins a second chain, which may cover records again.
func overlaps(chains []*chain) (found []Finding) {
	type shard struct {
		delivery, stream, created string
		id                        standpipe.ShardID
	}
	seen := map[shard][]*chain{}
	for _, c := range chains {
		if c.start == "" {
			continue
		}
		id := shard{c.origin.Delivery, c.origin.Stream, c.origin.Created.UTC().String(), c.origin.Shard}
		for _, other := range seen[id] {
			a, b := other, c
			if standpipe.CompareSequence(a.start, b.start) > 0 {
				a, b = b, a // a begins first
			}
			from := standpipe.Position{Sequence: b.start}
			if a.done.Compare(from) < 0 {
				continue
			}
			found = append(found, Finding{
				Kind: Overlap, Shard: c.origin.Shard, Manifest: b.last, After: &from, Last: &a.done,
				Detail: fmt.Sprintf("%s and %s both cover it: the shard was begun anew, and its records are there twice", a.origin.Folder(), b.origin.Folder()),
			})
		}
		seen[id] = append(seen[id], c)
	}
	return found
}
