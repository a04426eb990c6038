package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/manifest"
)

// FindingsMax is how many findings are listed; more are counted only.
const FindingsMax = 100_000

// rootsMax bounds the first path segments that are remembered as the
// archive's; with more, everything counts as inside.
const rootsMax = 10_000

// Options are what a run looks at and with what.
type Options struct {
	// Store is the archive's root: where _standpipe/ lies.
	Store archive.Store
	// Prefix restricts the objects that are judged. Chains are walked whole.
	Prefix string
	// Deep reads every object, not only those whose size is not as written or
	// that were written after their manifest.
	Deep bool
	// Stream reads a manifest's records again and returns the digest of their
	// lines and their number; nil leaves the stream alone. ErrBeyond when
	// retention has taken them.
	Stream func(ctx context.Context, m manifest.Manifest) (standpipe.Digest, int64, error)
	// Ends are how far the checkpoints stood before Run; nil when nobody asked them.
	Ends []End
	// Intent returns the intent that an object says it belongs to, empty for
	// one that says nothing; nil when nothing can tell. With it a young object
	// of a flush under way is told from a foreign one.
	Intent func(ctx context.Context, key string) (string, error)
	// Settle is how old an unnamed object must be to be judged although it
	// names an intent.
	Settle time.Duration
	// Repair names the command that mends a finding.
	Repair func(Finding) string
	// TempDir holds sorted names, a few hundred bytes for each object.
	TempDir string
	// Workers is how many objects are read at a time; 0 is 8.
	Workers int
	Now     time.Time
	// Progress is told the counts now and then, from one goroutine at a time.
	Progress func(Counts)
}

// ErrBeyond says that records have left the stream's retention.
var ErrBeyond = errors.New("beyond the stream's retention")

// ErrNoManifests says that there is nothing to verify.
var ErrNoManifests = errors.New("no manifests")

// ErrNoObjects says that no manifest names an object below the prefix: to find
// nothing wrong with it would mean nothing.
var ErrNoObjects = errors.New("no manifest names an object there")

// A named is an object that a manifest names, as it is sorted on disk.
type named struct {
	Manifest string             `json:"m"`
	Shard    standpipe.ShardID  `json:"s"`
	After    standpipe.Position `json:"a"`
	Last     standpipe.Position `json:"l"`
	Raw      bool               `json:"r,omitempty"`
	Proved   time.Time          `json:"t"` // when the manifest was written
	Object   manifest.Object    `json:"o"`
}

func (n named) finding(k Kind, detail string) Finding {
	return Finding{Kind: k, Shard: n.Shard, Manifest: n.Manifest, After: &n.After, Last: &n.Last, Key: n.Object.Key, Detail: detail}
}

// entry puts the key first, so that entries sort by it.
func entry(key string, payload any) []byte {
	b, err := json.Marshal(payload)
	if err != nil { // cannot happen: plain data only
		panic(fmt.Sprintf("encode entry: %v", err))
	}
	return append(append([]byte(key), 0), b...)
}

func split(e []byte) (key string, payload []byte) {
	k, p, _ := strings.Cut(string(e), "\x00")
	return k, []byte(p)
}

// A run of verify. Findings come from several goroutines, the rest is the
// caller's alone.
type verifier struct {
	Options
	chains  []*chain
	roots   map[string]bool
	names   *sorter         // of named, by key
	alone   *sorter         // keys in no manifest
	seen    int64           // files under the chains
	spoiled map[string]bool // named objects with a finding: as many as there is damage

	mu       sync.Mutex // covers what follows
	report   Report
	reported time.Time
}

// Run judges an archive. The error is nil when everything was looked at,
// whatever was found; the report is valid in any case.
func Run(ctx context.Context, o Options) (r Report, err error) {
	if o.Workers <= 0 {
		o.Workers = 8
	}
	dir, err := os.MkdirTemp(o.TempDir, "standpipe-verify-*")
	if err != nil {
		return r, fmt.Errorf("make a folder for sorted names: %w", err)
	}
	v := &verifier{
		Options: o, roots: map[string]bool{}, spoiled: map[string]bool{}, names: newSorter(dir), alone: newSorter(dir),
		report: Report{
			Schema: Schema, Archive: o.Store.Location(), Prefix: o.Prefix, Begun: o.Now.UTC(), Deep: o.Deep, Stream: o.Stream != nil,
			Found: map[Kind]int64{}, Findings: []Finding{},
		},
	}
	defer func() {
		err = errors.Join(err, v.names.close(), v.alone.close(), os.RemoveAll(dir))
		sortFindings(v.report.Findings)
		v.report.Verdict = verdict(v.report.Found)
		if err != nil && v.report.Verdict == Whole {
			v.report.Verdict = Incomplete
		}
		r = v.report
	}()
	if err := v.walk(ctx); err != nil {
		return r, fmt.Errorf("walk the manifests: %w", err)
	}
	if v.seen == 0 {
		return r, &standpipe.Error{
			Class: standpipe.NotFound, Op: "look under " + o.Store.Location(), Err: ErrNoManifests,
			Hint: "give the place where _standpipe/commits/ lies; the mode at-least-once writes no manifests",
		}
	}
	for _, f := range seams(v.chains) {
		v.found(f)
	}
	v.cut(o.Ends)
	if err := v.merge(ctx); err != nil {
		return r, fmt.Errorf("compare the listing with the manifests: %w", err)
	}
	if err := v.strangers(ctx); err != nil {
		return r, fmt.Errorf("judge the objects in no manifest: %w", err)
	}
	if v.names.empty() && o.Prefix != "" && len(v.report.Found) == 0 {
		return r, &standpipe.Error{
			Class: standpipe.NotFound, Op: "look under " + o.Store.Location() + " for " + o.Prefix, Err: ErrNoObjects,
			Hint: fmt.Sprintf("%d objects lie there; is the name right? Without it all of %s is verified", v.report.Counts.Outside, o.Store.Location()),
		}
	}
	return r, nil
}

// found takes note of a finding.
func (v *verifier) found(f Finding) {
	if v.Repair != nil {
		f.Repair = v.Repair(f)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Found[f.Kind]++
	if len(v.report.Findings) < FindingsMax {
		v.report.Findings = append(v.report.Findings, f)
		return
	}
	v.report.Unlisted++
}

// count changes the counts and shows them now and then.
func (v *verifier) count(change func(*Counts)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(&v.report.Counts)
	if v.Progress != nil && time.Since(v.reported) > 200*time.Millisecond {
		v.reported = time.Now()
		v.Progress(v.report.Counts)
	}
}

// walk follows every chain and sorts the names in it.
func (v *verifier) walk(ctx context.Context) error {
	var current *chain
	every := func(string) bool { return true }
	return walk(ctx, v.Store, every, v.Workers, func(l link) error {
		v.seen++
		if l.kind == Foreign {
			v.found(Finding{Kind: Foreign, Key: l.key, Detail: l.err.Error()})
			return nil
		}
		if current == nil || current.folder != l.folder {
			current = &chain{folder: l.folder}
			v.chains = append(v.chains, current)
			v.count(func(c *Counts) { c.Chains++ })
		}
		current.last = l.key
		if l.kind != "" {
			v.found(Finding{Kind: l.kind, Shard: l.shard, Manifest: l.key, Detail: l.err.Error()})
		}
		if l.m.Version == 0 || l.kind == Unreadable {
			current.number, current.before = max(current.number, l.number), nil
			return nil
		}
		for _, f := range current.follow(l) {
			v.found(f)
		}
		return v.take(ctx, l)
	})
}

// take sorts the names of one manifest, and asks the stream about it.
func (v *verifier) take(ctx context.Context, l link) error {
	v.count(func(c *Counts) {
		c.Manifests++
		c.Records += l.m.Counts.Records
		c.Lines += l.m.Counts.Lines
		c.Trimmed += int64(len(l.m.Gaps))
	})
	for _, o := range l.m.Objects {
		if root, _, deeper := strings.Cut(o.Key, "/"); deeper && len(v.roots) < rootsMax {
			v.roots[root] = true
		}
		if !strings.HasPrefix(o.Key, v.Prefix) {
			continue
		}
		n := named{Manifest: l.key, Shard: l.shard, After: l.m.Previous, Last: l.m.Last, Raw: l.m.Raw, Proved: l.at, Object: o}
		n.Object.Ordinals = nil // not needed, and may be many
		if err := v.names.add(entry(o.Key, n)); err != nil {
			return err
		}
	}
	return v.ask(ctx, l)
}

// ask compares a manifest with the stream.
func (v *verifier) ask(ctx context.Context, l link) error {
	if v.Stream == nil || l.m.Counts.Records == 0 {
		return nil
	}
	d, records, err := v.Stream(ctx, l.m)
	switch {
	case errors.Is(err, ErrBeyond):
		v.count(func(c *Counts) { c.Beyond++ })
	case err != nil:
		return fmt.Errorf("read manifest %s's records again: %w", l.key, err)
	case records != l.m.Counts.Records || d.Lines != l.m.Counts.Lines || d.Sum() != l.m.Hash:
		v.found(finding(Differs, l, l.m.Previous, l.m.Last, fmt.Sprintf(
			"the stream has %d records with %d lines and hash %s, the manifest says %d with %d and %s",
			records, d.Lines, d.Sum(), l.m.Counts.Records, l.m.Counts.Lines, l.m.Hash)))
		fallthrough
	default:
		v.count(func(c *Counts) { c.Streamed++ })
	}
	return nil
}
