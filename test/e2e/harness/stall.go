package harness

import (
	"sync"
	"time"
)

// A Stall measures how long this machine let a process that was ready to run
// wait: the part of a measured time that says nothing about the program.
type Stall struct {
	stop func()

	mu  sync.Mutex
	all []span
}

type span struct{ from, to time.Time }

// stallTick is how often it looks, and the least it can see.
const stallTick = 20 * time.Millisecond

// NewStall begins to measure, until Stop.
func NewStall() *Stall {
	done, ended := make(chan struct{}), make(chan struct{})
	s := &Stall{stop: sync.OnceFunc(func() { close(done); <-ended })}
	go func() {
		defer close(ended)
		tick := time.NewTicker(stallTick)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				now := time.Now()
				s.note(span{last.Add(stallTick), now})
				last = now
			}
		}
	}()
	return s
}

func (s *Stall) note(x span) {
	if x.to.Sub(x.from) < stallTick {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, x)
}

// Stop ends the measuring.
func (s *Stall) Stop() { s.stop() }

// Within is how much of the time between two moments the machine stood still.
func (s *Stall) Within(from, to time.Time) (sum time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		if x.from.Before(from) {
			x.from = from
		}
		if x.to.After(to) {
			x.to = to
		}
		sum += max(0, x.to.Sub(x.from))
	}
	return sum
}
