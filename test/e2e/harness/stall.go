package harness

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Stall measures how long this machine let a process that was ready to run
// wait: the part of a measured time that says nothing about the program.
type Stall struct {
	worst atomic.Int64
	stop  func()
}

// stallTick is how often it looks, and the least it can see.
const stallTick = 20 * time.Millisecond

// NewStall begins to measure; Worst ends it.
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
				s.worst.Store(max(s.worst.Load(), int64(now.Sub(last)-stallTick)))
				last = now
			}
		}
	}()
	return s
}

// Worst is the longest stall seen.
func (s *Stall) Worst() time.Duration {
	s.stop()
	return time.Duration(s.worst.Load())
}
