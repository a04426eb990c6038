package delivery

import (
	"github.com/standpipe/standpipe/checkpoint"
)

// AtRest is what the rows of a store tell without any worker: for whoever
// looks from outside. Whether an owner lives, one look cannot tell.
func AtRest(roster checkpoint.Roster) ([]ShardStatus, Fleet) {
	var f Fleet
	var all []ShardStatus
	owned, waiting := map[string]int{}, roster.Waiting()
	for _, l := range roster.Leases {
		holder := l.Owner
		if holder == "" {
			holder = l.Successor
		}
		c := ShardStatus{Shard: l.Shard}
		c.show(l, waiting[l.Shard], holder)
		if p := l.Pending; p != nil {
			c.Pending = pendingFlush(*p)
		}
		switch c.State {
		case StateUnowned:
			f.Unowned++
		case StateElsewhere:
			owned[holder]++
		}
		all = append(all, c)
	}
	for _, w := range roster.Workers {
		f.Workers = append(f.Workers, FleetWorker{w, owned[w.ID]})
	}
	return all, f
}

// pendingFlush is an intent as far as it can be read: one of another version is
// shown by its position alone.
func pendingFlush(p checkpoint.Pending) *PendingFlush {
	f := &PendingFlush{Last: p.Position}
	if i, err := decodeIntent(p.State); err == nil {
		f.ID, f.Opened = i.ID, i.Opened
		if i.Plan != nil {
			f.Objects = len(i.Plan.Objects)
		}
	}
	return f
}
