package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrResume says that the archives are not those any more that the comparison
// to go on with was planned on. Compare with errors.Is.
var ErrResume = errors.New("cannot resume")

// A Plan is what a comparison reads: which objects, listed when, in which
// slices. Every machine that works on it prints the same report.
type Plan struct {
	// Now is when the archives were listed, by the clock of who did it.
	Now time.Time
	// JSON: records also end where JSON values end, see Config.Records.
	JSON   bool
	Slices []Slice
}

// A Slice is a part of the objects, read in one go.
type Slice struct {
	// Name says for people which part it is.
	Name    string   `json:"name"`
	Objects []Object `json:"objects"`
}

// Bytes is the stored size of the slice's objects.
func (s Slice) Bytes() (n int64) {
	for _, o := range s.Objects {
		n += o.Size
	}
	return n
}

// A Cut says how objects are cut into slices. The zero Cut chooses: days, or
// hours when there are less than two days, small ones together, large ones apart.
type Cut struct {
	// Every is how much time a slice spans at most.
	Every time.Duration
	// Objects is how many objects a slice has at most, whatever their time.
	Objects int
}

const (
	// sliceObjects bounds the objects of a slice: each takes some 200 bytes of
	// the slice's description.
	sliceObjects = 1000
	// sliceSmall and sliceLarge bound the stored bytes of a slice. A result is up
	// to 2 MiB with the default capacity, so slices should not be small without
	// need; a large one is some minutes' work.
	sliceSmall = 16 << 20
	sliceLarge = 1 << 30
	// spread is in how many slices a window without hours is cut at least, so
	// that several cores or machines have something to do.
	spread = 16
)

// bounds are what a Cut comes to for some objects.
type bounds struct {
	every       time.Duration // 0: time does not matter
	objects     int
	least, most int64 // bytes
}

func (c Cut) bounds(inv *inventory) bounds {
	l := bounds{every: c.Every, objects: sliceObjects, most: sliceLarge}
	switch {
	case c.Objects > 0:
		l.every, l.objects = 0, min(c.Objects, sliceObjects)
	case c.Every == 0:
		l.every = time.Hour
		if inv.span() >= 48*time.Hour {
			l.every = 24 * time.Hour
		}
		l.least, l.most = sliceSmall, min(max(inv.bytes/spread, sliceSmall), sliceLarge)
	}
	return l
}

// span is the time between the oldest object and the youngest.
func (inv *inventory) span() time.Duration {
	if len(inv.objects) == 0 {
		return 0
	}
	byTime := func(a, b Object) int { return cmp.Compare(a.At, b.At) }
	return time.Duration(slices.MaxFunc(inv.objects, byTime).At-slices.MinFunc(inv.objects, byTime).At) * time.Second
}

// cut makes slices of the inventory and brings its objects into their order.
// Objects of both sides are dealt by time, so that most lines of a slice are
// there on both sides and its sketch is nearly empty.
func (inv *inventory) cut(c Cut) []Slice {
	slices.SortFunc(inv.objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Side, b.Side), cmp.Compare(a.Key, b.Key))
	})
	var (
		all   []Slice
		l     = c.bounds(inv)
		begin int
		bytes int64
	)
	end := func(at int) {
		if at > begin {
			all = append(all, newSlice(inv.objects[begin:at:at]))
		}
		begin, bytes = at, 0
	}
	for i, o := range inv.objects {
		next := i > begin && l.every > 0 && !o.time().Truncate(l.every).Equal(inv.objects[i-1].time().Truncate(l.every))
		if i-begin == l.objects || bytes > 0 && bytes+o.Size > l.most || next && bytes >= l.least {
			end(i)
		}
		bytes += o.Size
	}
	end(len(inv.objects))
	return all
}

func newSlice(objects []Object) Slice {
	first, last := objects[0].time(), objects[len(objects)-1].time()
	return Slice{
		Name:    fmt.Sprintf("%s to %s, %s", first.Format(time.DateTime), last.Format(time.DateTime), plural(int64(len(objects)), "object", "objects")),
		Objects: objects,
	}
}

// plan lists the archives, or takes what was listed before.
func (r *run) plan(ctx context.Context) (err error) {
	if r.c.Plan != nil {
		return r.adopt(ctx, *r.c.Plan)
	}
	if r.inv, err = take(ctx, r.c); err != nil {
		return err
	}
	if r.json, err = r.c.units(ctx, r.inv); err != nil {
		return err
	}
	r.slices = r.inv.cut(r.c.Slice)
	return nil
}

// adopt goes on with a plan, if the archives still have what was planned. What
// came since is left out, as it is by a run that listed them then.
func (r *run) adopt(ctx context.Context, p Plan) error {
	r.inv, r.json, r.slices, r.c.Now = &inventory{}, p.JSON, p.Slices, p.Now
	r.report.Started = p.Now
	planned := map[sideKey]string{} // to its ETag
	for _, s := range p.Slices {
		for _, o := range s.Objects {
			r.inv.add(o)
			planned[sideKey{o.Side, o.Key}] = o.ETag
		}
	}
	var changed error
	err := r.c.list(ctx, func(o Object) {
		n := sideKey{o.Side, o.Key}
		if etag, there := planned[n]; there && etag != o.ETag && changed == nil {
			changed = fmt.Errorf("%w: %s of side %s changed since the comparison began: start again without --resume", ErrResume, o.Key, o.Side)
		}
		delete(planned, n)
	})
	if err != nil {
		return err
	}
	if changed != nil {
		return changed
	}
	for _, o := range r.inv.objects {
		if _, gone := planned[sideKey{o.Side, o.Key}]; gone {
			return fmt.Errorf("%w: %s of side %s is gone since the comparison began: start again without --resume", ErrResume, o.Key, o.Side)
		}
	}
	return nil
}
