package kinesis

import (
	"sync/atomic"
	"time"
)

// A clock is the server's only source of time: the one given, plus what an
// operator advanced it by. Safe for concurrent use.
type clock struct {
	source func() time.Time
	offset atomic.Int64 // nanoseconds
}

func (c *clock) now() time.Time {
	return c.source().Add(time.Duration(c.offset.Load())).UTC()
}

// advance moves the clock; a negative step moves it back.
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }
