package delivery

import (
	"sync"
	"time"
)

// stallAfter is for how long a shard may do nothing that it did not announce
// before it is given up. It is longer than any pause of the machine that
// leaves the others' leases alive, and short beside any retention.
const stallAfter = 5 * time.Minute

// progress is when a shard has to be heard of again. An outage is no stall: a
// call that is repeated announces each attempt, and a wait for memory is
// announced as endless. Written by the shard's goroutine, read by the loop.
type progress struct {
	mu  sync.Mutex // covers due
	due time.Time
}

// expect announces that what begins now may take up to d.
func (p *progress) expect(d time.Duration) {
	p.mu.Lock()
	p.due = time.Now().Add(d + stallAfter)
	p.mu.Unlock()
}

// endless is for waits that others end: of memory, which the whole process shares.
const endless = 10 * 365 * 24 * time.Hour

func (p *progress) overdue(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.After(p.due)
}
