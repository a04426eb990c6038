package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/verify"
)

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
	// Unlike objects were not made again, for their records give other lines
	// now, or their manifest is gone.
	Unlike int64 `json:"unlike"`
	// Foreign objects are of another delivery stream, whose configuration makes them.
	Foreign int64 `json:"foreign"`
	// Left names what is damaged, beyond, unlike or foreign, the first thousand.
	Left []verify.Finding `json:"left,omitempty"`
}

// Incomplete is how many objects are not as they should be.
func (sum *Result) Incomplete() int64 { return sum.Damaged + sum.Beyond + sum.Unlike + sum.Foreign }

// Add sums up.
func (sum *Result) Add(o Result) {
	sum.Manifests += o.Manifests
	sum.Whole += o.Whole
	sum.Restored += o.Restored
	sum.Lines += o.Lines
	sum.Damaged += o.Damaged
	sum.Beyond += o.Beyond
	sum.Unlike += o.Unlike
	sum.Foreign += o.Foreign
	sum.Left = append(sum.Left, o.Left[:min(len(o.Left), max(0, 1000-len(sum.Left)))]...)
}

// A Restorer restores slices. Safe for concurrent use.
type Restorer struct {
	Archive archive.Store
	Replay  *delivery.Replay
	// Delivery is the name of the delivery stream whose objects Replay can make;
	// empty is any.
	Delivery string
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
	err = s.Each(func(key string) error {
		one, err := r.one(ctx, key)
		sum.Add(one)
		return err
	})
	return sum, err
}

// Do is the jobs.Handler of a slice.
func (r *Restorer) Do(ctx context.Context, t jobs.Task) (json.RawMessage, error) {
	var (
		spec  Spec
		slice Slice
	)
	if err := errors.Join(json.Unmarshal(t.Job.Spec, &spec), json.Unmarshal(t.Slice.Spec, &slice)); err != nil {
		return nil, unreadable(t, err)
	}
	one := *r
	one.Deep, one.Replace = spec.Deep, spec.Replace
	sum, err := one.Restore(ctx, slice)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sum)
}

func (r *Restorer) one(ctx context.Context, key string) (sum Result, err error) {
	m, err := verify.ReadManifest(ctx, r.Archive, key)
	if errors.Is(err, archive.ErrNotFound) {
		_, shard, _, _ := manifest.ParseKey(key)
		sum.Unlike++
		sum.Left = append(sum.Left, verify.Finding{Kind: verify.Gap, Shard: shard, Manifest: key, Detail: "the manifest is gone: standpipe verify names its range"})
		return sum, nil
	}
	if err != nil {
		return sum, fmt.Errorf("read %s: %w", key, err)
	}
	sum.Manifests++
	if another(m, r.Delivery) {
		for _, o := range m.Objects {
			sum.Foreign++
			sum.leave(m, key, o, verify.Foreign, fmt.Sprintf("it is of the delivery stream %s: replay it with its configuration", m.Delivery))
		}
		return sum, nil
	}
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
		kind    verify.Kind
		replace bool
	}{{missing, verify.Missing, false}, {damaged, verify.Altered, true}} {
		if len(todo.lost) == 0 {
			continue
		}
		err := r.Replay.Restore(ctx, m, shardOf(r.Shards, m), todo.lost, todo.replace)
		var left *int64
		switch {
		case errors.Is(err, delivery.ErrTrimmed):
			left = &sum.Beyond
		case errors.Is(err, delivery.ErrUnlike):
			left = &sum.Unlike
		case err != nil:
			return sum, err
		}
		for _, n := range todo.lost {
			if left != nil {
				*left++
				sum.leave(m, key, m.Objects[n], todo.kind, err.Error())
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

// FromReport reads verify's report, takes the manifests to restore out of it, and
// names what restoring cannot mend.
func FromReport(b []byte) (r verify.Report, manifests []string, left []verify.Finding, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, nil, nil, fmt.Errorf("decode the report: %w", err)
	}
	if r.Schema != verify.Schema {
		return r, nil, nil, fmt.Errorf("the report has schema %d, this program knows %d", r.Schema, verify.Schema)
	}
	if r.Unlisted > 0 {
		return r, nil, nil, fmt.Errorf("the report lists %d findings and leaves out %d: replay the range by --from and --to", len(r.Findings), r.Unlisted)
	}
	manifests = []string{}
	for _, f := range r.Findings {
		if f.Kind.Repairable() && f.Key != "" && f.Manifest != "" {
			manifests = append(manifests, f.Manifest)
			continue
		}
		left = append(left, f)
	}
	return r, manifests, left, nil
}
