package checkpoint

import (
	"cmp"
	"slices"

	"github.com/standpipe/standpipe"
)

// Me is what a worker knows of itself that no row shows yet.
type Me struct {
	ID       string
	Leaving  bool
	Capacity int // 0 for no limit
	// Held are the shards it has in hand, each with the worker it is already
	// being handed to, or "". A shard that rests after a failure is held too.
	Held map[standpipe.ShardID]string
	// Fixed are held shards that cannot be handed over now.
	Fixed map[standpipe.ShardID]bool
	// Refused are shards it must not take now.
	Refused map[standpipe.ShardID]bool
}

// A Plan is what one worker should do now.
type Plan struct {
	// Take are leases to take, by shard id.
	Take []Lease
	// Give are shards to hand over. To is empty only for a worker that is
	// leaving and finds nobody: release.
	Give []Move
	// Due are other workers that the plan gives leases nobody has: unless they
	// look, those wait.
	Due []string
	// Starved is the number of leases that nobody may take, because the living
	// workers' capacities are too small.
	Starved int
}

// A Move is one hand-over.
type Move struct {
	Shard standpipe.ShardID
	To    string
}

// patience is for how many lease durations a lease that the plan gives to
// another worker may stay free before anybody with room takes it.
const patience = 2

// Plan decides for one worker. Every worker computes the whole assignment, of
// which it does its own part, so workers that see the same roster never reach
// for the same lease; where they see different ones, the conditional write
// decides and the next plan starts from what came of it.
//
// Each worker gets an equal share of the leases that can be delivered now;
// where that does not divide, those that have more keep one more, so a balanced
// fleet moves nothing. Shards that wait for a parent or are finished count for
// nobody. Free leases go to those below their share first; only what is missing
// then is handed over, by those above theirs.
func (o *Observer) Plan(v View, me Me) Plan {
	t := newTable(v, me)
	var p Plan
	for n, s := range v.Seats {
		_, held := me.Held[s.Shard]
		willing := !held && !me.Leaving && !me.Refused[s.Shard]
		switch t.holders[n] {
		case me.ID: // released to me, or mine by a take whose answer was lost
			if willing {
				p.Take = append(p.Take, s.Lease)
			}
		case "":
			to := t.neediest()
			if to == nil {
				p.Starved++
				break
			}
			if s.Free >= patience*o.duration && willing && t.room(me.ID) {
				to = t.byID[me.ID]
			}
			t.holders[n] = to.id
			to.count++
			switch {
			case to.id != me.ID:
				if !slices.Contains(p.Due, to.id) {
					p.Due = append(p.Due, to.id)
				}
			case willing:
				p.Take = append(p.Take, s.Lease)
			}
		}
	}
	p.Give = t.moves(v, me)
	if v.Blind {
		p.Take, p.Give, p.Due = nil, nil, nil
	}
	return p
}

// table is the assignment while it is worked out.
type table struct {
	places  []*place          // by worker id
	byID    map[string]*place // of the workers that may take
	holders []string          // of each seat of the view
	leaving map[string]int    // leases of workers that only give
}

// A place is one worker's: what it has and what is its share.
type place struct {
	id           string
	capacity     int // 0 for no limit
	count, share int
}

func newTable(v View, me Me) *table {
	t := &table{byID: map[string]*place{}, leaving: map[string]int{}, holders: make([]string, len(v.Seats))}
	for _, w := range v.Workers {
		capacity, leaving := w.Capacity, w.Leaving
		if w.ID == me.ID {
			capacity, leaving = me.Capacity, me.Leaving // the row may be older
		}
		if !leaving {
			p := &place{id: w.ID, capacity: capacity}
			t.places, t.byID[w.ID] = append(t.places, p), p
		}
	}
	for n, s := range v.Seats {
		holder := s.Holder
		if to, held := me.Held[s.Shard]; held {
			holder = me.ID
			if to != "" && t.byID[to] != nil {
				holder = to
			}
		}
		t.holders[n] = holder
		if p := t.byID[holder]; p != nil {
			p.count++
		} else if holder != "" {
			t.leaving[holder]++
		}
	}
	t.divide(len(v.Seats))
	return t
}

// divide gives every worker its share of n leases: equal ones, as far as
// capacities allow, and the remainder to those that have most.
func (t *table) divide(n int) {
	open := slices.Clone(t.places)
	slices.SortStableFunc(open, func(a, b *place) int { return cmp.Compare(b.count, a.count) })
	for len(open) > 0 {
		level := n / len(open)
		full := slices.IndexFunc(open, func(p *place) bool { return p.capacity > 0 && p.capacity <= level })
		if full < 0 {
			for k, p := range open {
				p.share = level
				if k < n%len(open) {
					p.share++
				}
			}
			return
		}
		open[full].share = open[full].capacity
		n -= open[full].capacity
		open = slices.Delete(open, full, full+1)
	}
}

// neediest is the worker furthest below its share, nil when nobody is.
func (t *table) neediest() (most *place) {
	for _, p := range t.places {
		if p.count < p.share && (most == nil || p.share-p.count > most.share-most.count) {
			most = p
		}
	}
	return most
}

func (t *table) room(id string) bool {
	p := t.byID[id]
	return p != nil && (p.capacity == 0 || p.count < p.capacity)
}

// moves plans the hand-overs of all workers, in the order of their ids, and
// returns those of me.
func (t *table) moves(v View, me Me) (mine []Move) {
	for _, w := range v.Workers {
		excess := t.leaving[w.ID]
		p := t.byID[w.ID]
		if p != nil {
			excess = p.count - p.share
		}
		for n := len(v.Seats) - 1; n >= 0 && excess > 0; n-- {
			s := v.Seats[n]
			if t.holders[n] != w.ID {
				continue
			}
			if w.ID == me.ID {
				to, held := me.Held[s.Shard]
				if !held || to != "" || me.Fixed[s.Shard] {
					continue
				}
			}
			to := t.neediest()
			switch {
			case to != nil:
				to.count++
				t.holders[n] = to.id
				if w.ID == me.ID {
					mine = append(mine, Move{s.Shard, to.id})
				}
			case w.ID == me.ID && me.Leaving:
				mine = append(mine, Move{s.Shard, ""})
			}
			if p != nil {
				p.count--
			}
			excess--
		}
	}
	return mine
}

func sortWorkers(ws []Worker) {
	slices.SortFunc(ws, func(a, b Worker) int { return cmp.Compare(a.ID, b.ID) })
}
