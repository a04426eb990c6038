package kinesis

import (
	"sync"
	"sync/atomic"
	"time"
)

// A clock is the server's only source of time: the one given, plus what an
// operator advanced it by. Safe for concurrent use.
type clock struct {
	source func() time.Time
	offset atomic.Int64 // nanoseconds

	mu   sync.Mutex
	wake chan struct{} // closed when the clock is moved
}

func (c *clock) now() time.Time {
	return c.source().Add(time.Duration(c.offset.Load())).UTC()
}

// advance moves the clock; a negative step moves it back.
func (c *clock) advance(d time.Duration) {
	c.offset.Add(int64(d))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake != nil {
		close(c.wake)
		c.wake = nil
	}
}

// moved returns a channel that is closed when the clock is next moved.
func (c *clock) moved() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wake == nil {
		c.wake = make(chan struct{})
	}
	return c.wake
}
