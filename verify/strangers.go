package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/manifest"
)

// strangers judges the objects that no manifest named when the walk began:
// named since by a live writer, the lines of a named one once more, young and
// of a flush under way, or foreign. Memory grows with what was committed during
// the run and with what is doubled, not with the archive.
func (v *verifier) strangers(ctx context.Context) error {
	if v.alone.empty() {
		return nil
	}
	settled := map[string]bool{} // keys that need no further look
	if err := v.since(ctx, func(key string) { settled[key] = true }); err != nil {
		return err
	}
	if err := v.doubles(ctx, settled); err != nil {
		return err
	}
	return v.each(settled, func(o archive.Object) error {
		f, err := v.unclaimed(ctx, o)
		if err == nil {
			v.found(f)
		}
		return err
	})
}

// each calls visit for the strangers that are not settled.
func (v *verifier) each(settled map[string]bool, visit func(archive.Object) error) error {
	for e, err := range v.alone.sorted() {
		if err != nil {
			return err
		}
		key, payload := split(e)
		if settled[key] {
			continue
		}
		var o archive.Object
		if err := json.Unmarshal(payload, &o); err != nil {
			return fmt.Errorf("read sorted name %s: %w", key, err)
		}
		if err := visit(o); err != nil {
			return err
		}
	}
	return nil
}

// since names the objects of the manifests that were written during the run.
func (v *verifier) since(ctx context.Context, visit func(key string)) error {
	met := map[string]*chain{}
	for _, c := range v.chains {
		met[c.folder] = c
	}
	fresh := func(key string) bool {
		folder, _, _, ok := manifest.ParseKey(key)
		return ok && (met[folder] == nil || key > met[folder].last)
	}
	return walk(ctx, v.Store, fresh, v.Workers, func(l link) error {
		for _, o := range l.m.Objects {
			visit(o.Key)
		}
		return nil
	})
}

// doubles finds the strangers that hold what a named object holds: all of them
// are read, and both sides are sorted by content.
func (v *verifier) doubles(ctx context.Context, settled map[string]bool) error {
	strangers, known := newSorter(v.names.dir), newSorter(v.names.dir)
	defer func() { _ = errors.Join(strangers.close(), known.close()) }()
	list := func(_ context.Context, put func(archive.Object) error) error { return v.each(settled, put) }
	read := func(ctx context.Context, o archive.Object) Content {
		c, err := ReadContent(ctx, v.Store, o.Key)
		v.count(func(n *Counts) { n.Read += c.Object.Size })
		if err != nil {
			c.Broken = err // foreign, whatever it holds
		}
		c.Object.Key = o.Key
		return c
	}
	err := ordered(ctx, v.Workers, list, read, func(c Content) error {
		if c.Broken == nil && c.Digest.Lines > 0 {
			if err := strangers.add(entry("lines "+linesOf(c.Digest.Lines, c.Digest.Sum()), c.Object.Key)); err != nil {
				return err
			}
		}
		return strangers.add(entry("bytes "+bytesOf(c.Object.Size, c.CRC32), c.Object.Key))
	})
	if err != nil {
		return err
	}
	for e, err := range v.names.sorted() {
		if err != nil {
			return err
		}
		key, payload := split(e)
		var n named
		if err := json.Unmarshal(payload, &n); err != nil {
			return fmt.Errorf("read sorted name %s: %w", key, err)
		}
		by := "lines " + linesOf(n.Object.Lines, n.Object.Hash)
		if n.Raw {
			by = "bytes " + bytesOf(n.Object.Size, n.Object.CRC32)
		}
		if err := known.add(entry(by, n)); err != nil {
			return err
		}
	}
	return match(strangers, known, func(key string, n named) {
		if settled[key] {
			return
		}
		settled[key] = true
		f := n.finding(Doubled, fmt.Sprintf("its %d lines are those of %s", n.Object.Lines, n.Object.Key))
		if f.Key, f.As = key, n.Object.Key; v.spoiled[f.As] {
			f.Kind, f.Detail = Foreign, fmt.Sprintf("no manifest names it, and it has the %d lines of %s, which is not whole", n.Object.Lines, f.As)
		}
		v.found(f)
	})
}

func linesOf(n int64, hash string) string { return fmt.Sprintf("%d %s", n, hash) }

func bytesOf(size int64, crc string) string { return fmt.Sprintf("%d %s", size, crc) }

// match calls same for every stranger whose content is also a named object's.
func match(strangers, known *sorter, same func(key string, n named)) error {
	names := cursor{known}.open()
	defer names.stop()
	if err := names.next(); err != nil {
		return err
	}
	for e, err := range strangers.sorted() {
		if err != nil {
			return err
		}
		by, payload := split(e)
		for names.more && names.key < by {
			if err := names.next(); err != nil {
				return err
			}
		}
		if !names.more || names.key != by {
			continue
		}
		var key string
		var n named
		if err := errors.Join(json.Unmarshal(payload, &key), json.Unmarshal(names.payload, &n)); err != nil {
			return fmt.Errorf("read sorted content %s: %w", by, err)
		}
		same(key, n)
	}
	return nil
}

// unclaimed judges an object that no manifest names and that doubles nothing.
func (v *verifier) unclaimed(ctx context.Context, o archive.Object) (Finding, error) {
	f := Finding{Kind: Foreign, Key: o.Key, Detail: "no manifest names it"}
	if v.Intent == nil || v.Now.Sub(o.Modified) >= v.Settle {
		return f, nil
	}
	intent, err := v.Intent(ctx, o.Key)
	if err != nil {
		return f, fmt.Errorf("ask for the intent of %s: %w", o.Key, err)
	}
	if intent != "" {
		f.Kind, f.Detail = Unsettled, fmt.Sprintf("of flush %s, which no manifest proves yet: verify again in %s", intent, v.Settle)
	}
	return f, nil
}
