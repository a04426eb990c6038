package checkpoint

import (
	"time"

	"github.com/standpipe/standpipe"
)

// An Observer judges who lives, from what one process sees. It compares
// counters with what they were and asks its own monotonic clock how long they
// have stood still; clocks of two machines are never compared. Owned by one
// goroutine.
//
// A wrong judgement costs work, never correctness: whoever loses a lease is
// fenced by its epoch.
type Observer struct {
	me       string
	duration time.Duration
	leases   map[standpipe.ShardID]sighting
	workers  map[string]sighting
}

// A sighting is a row's counter and when it was first seen at that value.
type sighting struct {
	counter int64
	since   time.Time
}

// age is never less than nothing: a row that was first seen in the answer to a
// question is younger than the question.
func (s sighting) age(now time.Time) time.Duration { return max(now.Sub(s.since), 0) }

// NewObserver makes the observer of worker me, for leases that last duration.
// With duration 0 nobody else can live: the store belongs to this process
// alone, and every lease of another owner is a dead predecessor's.
func NewObserver(me string, duration time.Duration) *Observer {
	return &Observer{me: me, duration: duration, leases: map[standpipe.ShardID]sighting{}, workers: map[string]sighting{}}
}

// A View is a roster as an observer judges it: who can deliver and what there
// is to deliver now.
type View struct {
	// Workers are those that live, by id. The observer itself is always among them.
	Workers []Worker
	// Seats are the leases that can be delivered now, by shard id: not
	// finished, and no parent with a lease unfinished.
	Seats []Seat
	// Waiting are the unfinished parents of the leases that cannot be delivered yet.
	Waiting map[standpipe.ShardID][]standpipe.ShardID
	// Gone are workers that have been still for ten lease durations and own
	// nothing: their rows are litter.
	Gone []string
	// Blind says that the observer's own heartbeat does not show: it is cut
	// off from the store, or has just come back, and must judge nobody.
	Blind bool
}

// A Seat is a lease that can be delivered.
type Seat struct {
	Lease
	// Holder is who delivers it, or is about to: a living owner, or the
	// successor it was released to. Empty: it may be taken.
	Holder string
	// Free is how long it has been without a holder, as far as was seen.
	Free time.Duration
}

// Look judges a roster that was asked for and answered at two moments of the
// observer's clock. Ages are counted from the answer to the question after it,
// so that a slow store, or a pause of the process in between, makes rows look
// younger and never older.
func (o *Observer) Look(r Roster, asked, answered time.Time) View {
	v := View{Waiting: map[standpipe.ShardID][]standpipe.ShardID{}}
	o.wake(r, asked)
	workers, leases := o.workers, o.leases
	o.workers, o.leases = make(map[string]sighting, len(workers)), make(map[standpipe.ShardID]sighting, len(leases))
	members, alive := map[string]Worker{}, map[string]bool{o.me: true}
	owners := map[string]bool{}
	me := Worker{ID: o.me}
	for _, w := range r.Workers {
		members[w.ID] = w
		s := saw(workers, w.ID, w.Counter, answered)
		o.workers[w.ID] = s
		switch age := s.age(asked); {
		case w.ID == o.me:
			me = w
			v.Blind = o.duration > 0 && age >= o.duration
		case age < o.duration:
			alive[w.ID] = true
		}
	}
	ended := map[standpipe.ShardID]bool{}
	for _, l := range r.Leases {
		ended[l.Shard] = l.Checkpoint.AtEnd()
	}
	for _, l := range r.Leases {
		s := saw(leases, l.Shard, l.Counter, answered)
		o.leases[l.Shard] = s
		if l.Owner != "" && !ended[l.Shard] {
			owners[l.Owner] = true
		}
		if parents := unfinished(l, ended); len(parents) > 0 {
			v.Waiting[l.Shard] = parents
			continue
		}
		if !ended[l.Shard] {
			v.Seats = append(v.Seats, o.seat(l, s, members, alive, asked))
		}
	}
	v.Workers = append(v.Workers, me)
	for _, w := range r.Workers {
		switch age := o.workers[w.ID].age(asked); {
		case w.ID == o.me:
		case alive[w.ID]:
			v.Workers = append(v.Workers, w)
		case age >= 10*o.duration && !owners[w.ID] && !v.Blind:
			v.Gone = append(v.Gone, w.ID)
		}
	}
	sortWorkers(v.Workers)
	return v
}

// seat judges one lease.
func (o *Observer) seat(l Lease, s sighting, members map[string]Worker, alive map[string]bool, now time.Time) Seat {
	seat := Seat{Lease: l}
	still := s.age(now)
	switch {
	case l.Owner != "":
		if w, ok := o.workers[l.Owner]; ok {
			still = min(still, w.age(now))
		}
		// An owner without a row counts by its lease alone.
		if l.Owner == o.me || still < o.duration {
			seat.Holder = l.Owner
			return seat
		}
		still -= o.duration
	case l.Successor != "":
		// A successor that is leaving or was never there will not come.
		if w, ok := members[l.Successor]; ok && alive[w.ID] && !w.Leaving && still < o.duration {
			seat.Holder = l.Successor
			return seat
		}
	}
	seat.Free = max(still, 0)
	return seat
}

// wake forgets all ages when the observer's own counter moved after it had
// stood still: it was asleep or cut off, as the others may have been, and what
// it did not see proves nothing.
func (o *Observer) wake(r Roster, now time.Time) {
	mine, known := o.workers[o.me]
	for _, w := range r.Workers {
		if w.ID == o.me && known && w.Counter != mine.counter && now.Sub(mine.since) >= o.duration {
			clear(o.leases)
			clear(o.workers)
		}
	}
}

func saw[K comparable](before map[K]sighting, key K, counter int64, now time.Time) sighting {
	if s, ok := before[key]; ok && s.counter == counter {
		return s
	}
	return sighting{counter, now}
}

// unfinished names the parents of l that have to end before it may begin. A
// parent without a lease has left retention and cannot be waited for.
func unfinished(l Lease, ended map[standpipe.ShardID]bool) (parents []standpipe.ShardID) {
	for _, p := range l.Parents {
		if end, leased := ended[p]; leased && !end {
			parents = append(parents, p)
		}
	}
	return parents
}
