package kinesis

import (
	"sync"
	"time"
)

// The quotas of one shard (developer guide, "Quotas and limits").
const (
	writeBytes   = 1 << 20 // a second, data and partition keys
	writeRecords = 1000    // a second
	readCalls    = 5       // a second
	readBytes    = 2 << 20 // a second
)

// limits is what one shard has left of its quotas. Time is an argument. Safe
// for concurrent use.
type limits struct {
	mu      sync.Mutex
	bytes   bucket
	records bucket
	calls   bucket
	busy    time.Time // until here earlier pages used up the read bandwidth
	refuse  int       // calls to refuse whatever the quotas say, ordered by an operator
	blanks  int       // GetRecords to answer without records, likewise
}

// A bucket refills at rate up to one second's worth and may go into debt, so
// that one record greater than the rate passes a full bucket.
type bucket struct {
	level float64
	last  time.Time
}

func (b *bucket) refill(now time.Time, rate float64) {
	if b.last.IsZero() || now.Before(b.last) {
		b.level, b.last = max(b.level, rate), now
		return
	}
	b.level = min(rate, b.level+rate*now.Sub(b.last).Seconds())
	b.last = now
}

// refused takes one of the refusals an operator ordered.
func (l *limits) refused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse == 0 {
		return false
	}
	l.refuse--
	return true
}

// write asks for one record of size bytes.
func (l *limits) write(now time.Time, size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes.refill(now, writeBytes)
	l.records.refill(now, writeRecords)
	if l.bytes.level < min(float64(size), writeBytes) || l.records.level < 1 {
		return false
	}
	l.bytes.level -= float64(size)
	l.records.level--
	return true
}

// read asks for one GetRecords.
func (l *limits) read(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls.refill(now, readCalls)
	if l.busy.Sub(now) > time.Second/readCalls || l.calls.level < 1 {
		return false
	}
	l.calls.level--
	return true
}

// sent counts a page: a 10 MiB one keeps the shard busy for five seconds.
func (l *limits) sent(now time.Time, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy.Before(now) {
		l.busy = now
	}
	l.busy = l.busy.Add(time.Duration(float64(size) / readBytes * float64(time.Second)))
}

// blank takes one of the empty pages an operator ordered.
func (l *limits) blank() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blanks == 0 {
		return false
	}
	l.blanks--
	return true
}

// order sets the refusals and empty pages to come.
func (l *limits) order(refuse, blanks *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if refuse != nil {
		l.refuse = *refuse
	}
	if blanks != nil {
		l.blanks = *blanks
	}
}
