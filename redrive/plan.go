package redrive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/jobs"
)

// Kind is the jobs' kind.
const Kind = "redrive"

// A slice ends at so many objects or stored bytes, whichever comes first: work
// of a minute or so.
const (
	sliceObjects = 200
	sliceBytes   = 32 << 20
)

// A Spec is the question of a job: from where, to where, and which failures.
type Spec struct {
	// Source is the Location of the archive with the error-output objects, To
	// names the destination: a stream, or a sink's Location with its prefix.
	Source string `json:"source"`
	To     string `json:"to"`
	// Code leaves out every other error code; empty is all.
	Code string `json:"code,omitempty"`
}

// An Item is one object of a slice.
type Item struct {
	Key  string `json:"key"`
	ETag string `json:"etag"`
	Size int64  `json:"size"`
	// Except are error codes that an earlier job has redriven from it.
	Except []string `json:"except,omitempty"`
}

// wants says whether a failure is redriven.
func (s Spec) wants(i Item, f Failure) bool {
	return (s.Code == "" || s.Code == f.Code) && !slices.Contains(i.Except, f.Code)
}

// digest is a short name of what the words name together.
func digest(words ...string) string {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Family begins the id of every job of a source and a destination.
func (s Spec) Family() string { return Kind + "-" + digest(s.Source, s.To)[:12] + "-" }

// Earlier are the family's jobs in a store, oldest first.
func (s Spec) Earlier(ctx context.Context, store jobs.Store) (family []jobs.Job, err error) {
	all, err := store.Jobs(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the jobs: %w", err)
	}
	for _, j := range all {
		if strings.HasPrefix(j.ID, s.Family()) {
			family = append(family, j)
		}
	}
	return family, nil
}

// itemID is what an object is known by.
type itemID struct{ key, etag string }

// covered reads it from the family's slices, whatever became of them: what has
// failed is resumed, not planned again.
func covered(ctx context.Context, store jobs.Store, family []jobs.Job) (map[itemID][]string, error) {
	known := map[itemID][]string{}
	for _, j := range family {
		var spec Spec
		if err := json.Unmarshal(j.Spec, &spec); err != nil {
			return nil, fmt.Errorf("read job %s: %w", j.ID, err)
		}
		all, err := store.Slices(ctx, j.ID)
		if err != nil {
			return nil, fmt.Errorf("read job %s: %w", j.ID, err)
		}
		for _, s := range all {
			var items []Item
			if err := json.Unmarshal(s.Spec, &items); err != nil {
				return nil, fmt.Errorf("read slice %d of job %s: %w", s.Number, j.ID, err)
			}
			for _, i := range items {
				id := itemID{i.Key, i.ETag}
				known[id] = append(known[id], spec.Code)
			}
		}
	}
	return known, nil
}

// List gives the objects of a source that the family, whose jobs are in store,
// does not have yet. store may be nil: then it is all of them.
func (s Spec) List(ctx context.Context, from archive.Store, store jobs.Store, visit func(Item) error) error {
	known := map[itemID][]string{}
	if store != nil {
		family, err := s.Earlier(ctx, store)
		if err == nil {
			known, err = covered(ctx, store, family)
		}
		if err != nil {
			return err
		}
	}
	return from.List(ctx, "", "", func(o archive.Object) error {
		codes := known[itemID{o.Key, o.ETag}]
		if archive.Own(o.Key) || slices.Contains(codes, "") || slices.Contains(codes, s.Code) {
			return nil
		}
		i := Item{Key: o.Key, ETag: o.ETag, Size: o.Size}
		if s.Code == "" {
			i.Except = codes
		}
		return visit(i)
	})
}

// Plan makes the next job of the family, with its slices in the order of the
// listing. No slices means that there is nothing new.
func (s Spec) Plan(ctx context.Context, from archive.Store, store jobs.Store, now time.Time) (jobs.Job, []jobs.Slice, error) {
	family, err := s.Earlier(ctx, store)
	if err != nil {
		return jobs.Job{}, nil, err
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return jobs.Job{}, nil, fmt.Errorf("encode the job: %w", err)
	}
	last := 0 // not how many there are: an earlier one may have been deleted
	for _, one := range family {
		if n, err := strconv.Atoi(strings.TrimPrefix(one.ID, s.Family())); err == nil {
			last = max(last, n)
		}
	}
	j := jobs.Job{
		ID: fmt.Sprintf("%s%d", s.Family(), last+1), Kind: Kind, Spec: spec,
		Title: "redrive " + s.Source + " to " + s.To, Created: now,
	}
	var (
		plan  []jobs.Slice
		group []Item
		size  int64
	)
	closeGroup := func() error {
		if len(group) == 0 {
			return nil
		}
		items, err := json.Marshal(group)
		plan = append(plan, jobs.Slice{
			Job: j.ID, Number: len(plan), State: jobs.Waiting, Spec: items,
			Name: fmt.Sprintf("%d objects from %s", len(group), group[0].Key),
		})
		group, size = nil, 0
		return err
	}
	err = s.List(ctx, from, store, func(i Item) error {
		if len(group) == sliceObjects || len(group) > 0 && size+i.Size > sliceBytes {
			if err := closeGroup(); err != nil {
				return err
			}
		}
		group, size = append(group, i), size+i.Size
		return nil
	})
	if err == nil {
		err = closeGroup()
	}
	j.Slices = len(plan)
	return j, plan, err
}

// Look reads every object of a plan and writes nothing.
func (s Spec) Look(ctx context.Context, from archive.Store, store jobs.Store) (total Report, err error) {
	err = s.List(ctx, from, store, func(i Item) error {
		total.Objects++
		return read(ctx, from, i, func(e entry) error {
			if total.note(s, i, e) {
				total.Bytes += int64(len(e.failure.Raw))
			}
			return nil
		})
	})
	return total, err
}
