package jobs

import (
	"time"
)

// An observer remembers since when it has seen each slice at its revision, and
// when it last dispatched it. Everything is on the observer's own clock. It
// belongs to one goroutine.
type observer struct {
	claimTimeout time.Duration
	seen         map[string]map[int]sighting // by job and number
}

type sighting struct {
	revision   int64
	since      time.Time
	dispatched time.Time
}

func newObserver(claimTimeout time.Duration) *observer {
	return &observer{claimTimeout: claimTimeout, seen: map[string]map[int]sighting{}}
}

// due returns the slices of one job that have to be dispatched now: waiting
// ones that have rested, and running ones that stood still for the claim
// timeout. A message may get lost, so what did not move is dispatched again
// after another claim timeout. When the queue is full, when it holds a message
// for every slice that has not ended, lost ones are not likely, and messages
// about slices that only wait for a worker would pile up: then after 20.
func (o *observer) due(job string, slices []Slice, full bool, now time.Time) (due []Slice) {
	again := o.claimTimeout
	if full {
		again *= 20
	}
	seen := o.seen[job]
	if seen == nil {
		seen = map[int]sighting{}
		o.seen[job] = seen
	}
	for _, s := range slices {
		if s.Ended() {
			delete(seen, s.Number)
			continue
		}
		x, known := seen[s.Number]
		if !known || x.revision != s.Revision {
			x = sighting{revision: s.Revision, since: now}
		}
		still := now.Sub(x.since)
		ready := s.State == Waiting && still >= s.Rest || s.State == Running && still >= o.claimTimeout
		if ready && (x.dispatched.IsZero() || now.Sub(x.dispatched) >= again) {
			x.dispatched = now
			due = append(due, s)
		}
		seen[s.Number] = x
	}
	return due
}

// forget drops what is known of jobs that are not in keep.
func (o *observer) forget(keep map[string]bool) {
	for job := range o.seen {
		if !keep[job] {
			delete(o.seen, job)
		}
	}
}
