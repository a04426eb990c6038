package compare

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/standpipe/standpipe/archive"
)

// An Object is one to read, as it was listed.
type Object struct {
	Side Side   `json:"side"`
	Key  string `json:"key"`
	Size int64  `json:"size"`
	ETag string `json:"etag"`
	// At is the time it is filed under, in seconds since 1970.
	At int64 `json:"at"`
	// Halo: it lies in the window's surroundings only.
	Halo bool `json:"halo,omitempty"`
	// Unnamed: the time is that of its last change, its key has none.
	Unnamed bool `json:"unnamed,omitempty"`
}

// time is when the object is filed.
func (o Object) time() time.Time { return time.Unix(o.At, 0).UTC() }

// hour is the hour it is filed under, in seconds since 1970.
func (o Object) hour() int64 { return o.time().Truncate(time.Hour).Unix() }

// An inventory is what is to be read of both sides.
type inventory struct {
	objects []Object
	bytes   int64
	// youngest is the latest time of any object in the window.
	youngest time.Time
	unnamed  [2]int64 // objects without a time in their key
}

// take lists both sides.
func take(ctx context.Context, c *Config) (*inventory, error) {
	inv := &inventory{}
	err := c.list(ctx, func(o Object) {
		inv.add(o)
		if n := len(inv.objects); n%1000 == 0 {
			c.report(Progress{Phase: PhaseList, Objects: int64(n), Bytes: inv.bytes})
		}
	})
	c.report(Progress{Phase: PhaseList, Objects: int64(len(inv.objects)), Bytes: inv.bytes})
	return inv, err
}

// list visits the objects in the window, by side and key.
func (c *Config) list(ctx context.Context, visit func(Object)) error {
	for side, store := range c.Stores {
		if store == nil {
			continue // one side alone, for a sketch
		}
		err := store.List(ctx, "", "", func(o archive.Object) error {
			if listed, inside := c.file(Side(side), o); inside && !archive.Own(o.Key) {
				visit(listed)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("list %s, side %s: %w", store.Location(), Side(side), err)
		}
	}
	return nil
}

// file says when an object is filed, and whether that is in the window.
func (c *Config) file(side Side, listed archive.Object) (o Object, inside bool) {
	t, named := keyTime(listed.Key, c.Zones[side])
	if !named {
		t = listed.Modified
	}
	core, halo := c.place(t)
	return Object{
		Side: side, Key: listed.Key, Size: listed.Size, ETag: listed.ETag,
		At: t.Unix(), Halo: !core, Unnamed: !named,
	}, core || halo
}

func (inv *inventory) add(o Object) {
	inv.objects = append(inv.objects, o)
	inv.bytes += o.Size
	if o.Unnamed {
		inv.unnamed[o.Side]++
	}
	if t := o.time(); !o.Halo && t.After(inv.youngest) {
		inv.youngest = t
	}
}

// place says where a time lies: in the core, in the halo around it, or neither.
func (c *Config) place(t time.Time) (core, halo bool) {
	inside := func(widen time.Duration) bool {
		return (c.From.IsZero() || !t.Before(c.From.Add(-widen))) && (c.To.IsZero() || t.Before(c.To.Add(widen)))
	}
	if inside(0) {
		return true, false
	}
	return false, inside(c.Halo)
}

// unsettled says why the window may still grow, or nothing.
func (inv *inventory) unsettled(c *Config) string {
	end, what := inv.youngest, "the youngest object"
	if !c.To.IsZero() {
		end, what = c.To, "the end of the window"
	}
	if end.IsZero() || !end.Add(c.Settle).After(c.Now) {
		return ""
	}
	if inv.ahead(c) {
		return fmt.Sprintf("%s, of %s by its key, lies ahead", what, stamp(end))
	}
	if end.After(c.Now) {
		return fmt.Sprintf("%s, %s, lies ahead", what, stamp(end))
	}
	return fmt.Sprintf("%s, %s, is only %v old: lines may still arrive within %v", what, stamp(end), c.Now.Sub(end).Round(time.Second), c.Settle)
}

// ahead says that the time in an object's key has not come.
func (inv *inventory) ahead(c *Config) bool { return c.To.IsZero() && inv.youngest.After(c.Now) }

// sample chooses up to n objects of a side, spread over it.
func (inv *inventory) sample(side Side, n int) []Object {
	all := slices.DeleteFunc(slices.Clone(inv.objects), func(o Object) bool { return o.Side != side || o.Size == 0 })
	if len(all) <= n {
		return all
	}
	var some []Object
	for i := range n {
		some = append(some, all[i*(len(all)-1)/(n-1)])
	}
	return some
}

func (c *Config) report(p Progress) {
	if c.Progress != nil {
		c.Progress(p)
	}
}
