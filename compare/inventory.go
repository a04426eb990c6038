package compare

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/standpipe/standpipe/archive"
)

// An object is one to read.
type object struct {
	archive.Object
	side Side
	halo bool  // in the window's surroundings only
	hour int64 // it is filed under, in seconds since 1970
}

// An inventory is what is to be read of both sides.
type inventory struct {
	objects []object
	bytes   int64
	// youngest is the latest time of any object in the window.
	youngest time.Time
	unnamed  [2]int64 // objects without a time in their key
}

// take lists both sides. Objects come out by side and key.
func take(ctx context.Context, c *Config) (*inventory, error) {
	inv := &inventory{}
	for side, store := range c.Stores {
		if store == nil {
			continue // one side alone, for a sketch
		}
		err := store.List(ctx, "", "", func(o archive.Object) error {
			if !archive.Own(o.Key) {
				inv.add(c, Side(side), o)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list %s, side %s: %w", store.Location(), Side(side), err)
		}
		c.report(Progress{Phase: PhaseList, Objects: int64(len(inv.objects)), Bytes: inv.bytes})
	}
	return inv, nil
}

func (inv *inventory) add(c *Config, side Side, listed archive.Object) {
	t, named := keyTime(listed.Key, c.Zones[side])
	if !named {
		inv.unnamed[side]++
		t = listed.Modified
	}
	core, halo := c.place(t)
	if !core && !halo {
		return
	}
	inv.objects = append(inv.objects, object{Object: listed, side: side, halo: !core, hour: t.Truncate(time.Hour).Unix()})
	inv.bytes += listed.Size
	if core && t.After(inv.youngest) {
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
	if end.After(c.Now) {
		return fmt.Sprintf("%s, %s, lies ahead", what, stamp(end))
	}
	return fmt.Sprintf("%s, %s, is only %v old: lines may still arrive within %v", what, stamp(end), c.Now.Sub(end).Round(time.Second), c.Settle)
}

// sample chooses up to n objects of a side, spread over it.
func (inv *inventory) sample(side Side, n int) []object {
	all := slices.DeleteFunc(slices.Clone(inv.objects), func(o object) bool { return o.side != side || o.Size == 0 })
	if len(all) <= n {
		return all
	}
	var some []object
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
