package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/standpipe/standpipe/archive"
)

// A pair is an object as it is listed and as a manifest names it.
type pair struct {
	listed archive.Object
	named  named
}

// late says that the object was written after the manifest that proves it.
// Nothing of ours does that but replay: whoever else did may have changed it.
// Both times are the store's, so no clocks are compared. S3 gives an object the
// time at which its upload began, and keeps it when a lifecycle rule or
// replication moves the object. A plain copy of an archive has new times.
func (p pair) late() bool { return p.listed.Modified.After(p.named.Proved) }

// merge passes over the sorted names and the listing once, beside each other,
// and judges the objects that are in both.
func (v *verifier) merge(ctx context.Context) error {
	return ordered(ctx, v.Workers, v.pairs, v.judge, func(f *Finding) error {
		if f != nil {
			v.spoiled[f.Key] = true
			v.found(*f)
		}
		return nil
	})
}

// pairs puts what is in both, and takes note of what is in one only. An object
// that is not listed is put too: one look decides whether it is missing.
func (v *verifier) pairs(ctx context.Context, put func(pair) error) error {
	names := cursor{v.names}.open()
	defer names.stop()
	if err := names.next(); err != nil {
		return err
	}
	last := ""
	err := v.Store.List(ctx, v.Prefix, "", func(o archive.Object) error {
		if archive.Own(o.Key) {
			return nil
		}
		if o.Key <= last {
			return fmt.Errorf("the listing is not in order: %s after %s", o.Key, last)
		}
		last = o.Key
		for names.more && names.key < o.Key {
			if err := v.pass(names, archive.Object{}, put); err != nil {
				return err
			}
		}
		if names.more && names.key == o.Key {
			v.count(func(c *Counts) { c.Objects++; c.Bytes += o.Size })
			return v.pass(names, o, put)
		}
		if !v.inside(o.Key) {
			v.count(func(c *Counts) { c.Outside++ })
			return nil
		}
		return v.alone.add(entry(o.Key, o))
	})
	for err == nil && names.more {
		err = v.pass(names, archive.Object{}, put)
	}
	return err
}

// pass puts the name under the cursor and moves on. Two manifests cannot name
// one object: at most one of them tells the truth.
func (v *verifier) pass(names *names, o archive.Object, put func(pair) error) error {
	var n named
	if err := json.Unmarshal(names.payload, &n); err != nil {
		return fmt.Errorf("read sorted name %s: %w", names.key, err)
	}
	if err := put(pair{o, n}); err != nil {
		return err
	}
	key := names.key
	for {
		if err := names.next(); err != nil {
			return err
		}
		if !names.more || names.key != key {
			return nil
		}
		var again named
		if err := json.Unmarshal(names.payload, &again); err != nil {
			return fmt.Errorf("read sorted name %s: %w", key, err)
		}
		v.found(again.finding(Proof, "manifest "+n.Manifest+" names the same object"))
	}
}

// inside says that the archive has objects beside this one.
func (v *verifier) inside(key string) bool {
	root, _, deeper := strings.Cut(key, "/")
	return !deeper || v.roots[root] || len(v.roots) >= rootsMax
}

// judge looks at one object, as closely as it takes.
func (v *verifier) judge(ctx context.Context, p pair) *Finding {
	if p.listed.Key == "" {
		return v.absent(ctx, p.named)
	}
	late := p.late()
	if late {
		v.count(func(n *Counts) { n.Late++ })
	}
	if p.listed.Size == p.named.Object.Size && !late && !v.Deep {
		return nil
	}
	c, err := ReadContent(ctx, v.Store, p.named.Object.Key)
	v.count(func(n *Counts) { n.Read += c.Object.Size })
	var f Finding
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrChanged):
		f = p.named.finding(Changed, err.Error())
	case err != nil:
		f = p.named.finding(Unreadable, err.Error())
	case c.Object.ETag != p.listed.ETag:
		f = p.named.finding(Changed, "it was replaced after it was listed")
	default:
		kind, detail := Judge(c, p.named.Object, p.named.Raw)
		if kind == "" {
			return nil
		}
		f = p.named.finding(kind, detail)
	}
	return &f
}

// absent looks once more for an object that was not listed.
func (v *verifier) absent(ctx context.Context, n named) *Finding {
	r, _, err := v.Store.Open(ctx, n.Object.Key)
	var f Finding
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		_ = r.Close()
		f = n.finding(Changed, "it was not listed and is there now")
	case errors.Is(err, archive.ErrNotFound):
		f = n.finding(Missing, fmt.Sprintf("%d lines of %d records", n.Object.Lines, n.Object.Records))
	default:
		f = n.finding(Unreadable, err.Error())
	}
	return &f
}

// A cursor stands on one entry of a sorter.
type cursor struct{ *sorter }

type names struct {
	pull    func() ([]byte, error, bool)
	stop    func()
	more    bool
	key     string
	payload []byte
}

func (c cursor) open() *names {
	n := &names{}
	n.pull, n.stop = iter.Pull2(c.sorted())
	return n
}

func (n *names) next() error {
	e, err, ok := n.pull()
	if err != nil {
		return err
	}
	if n.more = ok; ok {
		n.key, n.payload = split(e)
	}
	return nil
}
