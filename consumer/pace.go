package consumer

import (
	"time"

	"github.com/standpipe/standpipe"
)

// Limits is the share of a shard's read capacity one reader takes. Kinesis
// grants 5 GetRecords calls and 2 MiB per second and shard to all polling
// consumers together (Kinesis quotas), so a reader that has caught up stays
// far below that.
type Limits struct {
	// MaxPerSecond bounds calls per second while the reader has caught up.
	// Default 1, as AWS recommends; more than 5 counts as 5.
	MaxPerSecond float64
	// IdleInterval is what the interval grows to while nothing arrives.
	// Default 2 s.
	IdleInterval time.Duration
	// BytesPerSecond is the reader's share of the shard's bandwidth while it
	// catches up. Default and most: 2 MiB.
	BytesPerSecond int64
}

// The hard limits of a shard.
const (
	shardInterval       = time.Second / 5
	shardBytes    int64 = 2 << 20
)

// DefaultLimits returns the defaults named at each field.
func DefaultLimits() Limits {
	return Limits{MaxPerSecond: 1, IdleInterval: 2 * time.Second, BytesPerSecond: shardBytes}
}

// normal replaces what is unset and caps what Kinesis would refuse.
func (l Limits) normal() Limits {
	d := DefaultLimits()
	if l.MaxPerSecond <= 0 {
		l.MaxPerSecond = d.MaxPerSecond
	}
	l.MaxPerSecond = min(l.MaxPerSecond, 5)
	if l.IdleInterval <= 0 {
		l.IdleInterval = d.IdleInterval
	}
	if l.BytesPerSecond <= 0 || l.BytesPerSecond > shardBytes {
		l.BytesPerSecond = shardBytes
	}
	return l
}

// An outcome is what one call showed.
type outcome struct {
	at      time.Time       // when it was sent
	class   standpipe.Class // of its error; empty for a page
	after   time.Duration   // the server's own wish, zero if none
	bytes   int64           // payload received, also of a page that was dropped
	records int
	behind  time.Duration
}

const (
	// tip is how far behind a page may say it is and still count as caught up:
	// on a busy shard the distance is rarely exactly 0.
	tip = time.Second
	// fullPage and fullBytes tell a page that was cut by a limit, hence that
	// more is waiting, also from a server that always says 0 ms behind.
	fullPage        = 10_000
	fullBytes int64 = 1 << 20
	// stuckAfter empty pages in a row whose distance does not shrink, the
	// reader no longer believes that data is ahead (peers spun on this).
	stuckAfter = 25
)

// A pace decides when a reader may call next. It is a value: observe is a pure
// function of what was seen, so that every decision can be tested.
type pace struct {
	limits   Limits
	ready    time.Time // earliest time of the next call
	failures int       // calls failed in a row
	idle     int       // empty pages in a row with nothing ahead
	stuck    int       // empty pages in a row with data ahead and no progress
	behind   time.Duration
}

// observe returns the pace after one more call. jitter is in [0, 1).
//
//	error       throttled 1-10 s, denied or gone 5-30 s, other 250 ms-10 s,
//	            doubling with each failure in a row
//	catching up at once, within 5 calls and 2 MiB per second: a 10 MiB page
//	            is followed by 5 s of silence, or the next calls are throttled
//	caught up   1/MaxPerSecond, growing to IdleInterval while pages are empty
func (p pace) observe(o outcome, jitter float64) pace {
	l := p.limits.normal()
	credit := time.Duration(float64(o.bytes) / float64(l.BytesPerSecond) * float64(time.Second))
	earliest := o.at.Add(max(shardInterval, credit))
	if o.class != "" {
		p.failures++
		wait := max(backOffFor(o.class, p.failures, jitter), o.after)
		p.ready = later(earliest, o.at.Add(wait))
		return p
	}
	p.failures = 0
	empty := o.records == 0
	switch {
	case !empty:
		p.idle, p.stuck = 0, 0
	case o.behind > tip && (p.behind == 0 || o.behind < p.behind):
		p.idle, p.stuck = 0, 0
	case o.behind > tip:
		p.idle, p.stuck = 0, p.stuck+1
	default:
		p.idle, p.stuck = p.idle+1, 0
	}
	p.behind = o.behind
	ahead := o.behind > tip || o.records >= fullPage || o.bytes >= fullBytes
	if ahead && p.stuck < stuckAfter {
		p.ready = earliest
		return p
	}
	caughtUp := time.Duration(float64(time.Second) / l.MaxPerSecond)
	wait := caughtUp
	if idle := max(p.idle, p.stuck-stuckAfter+1); idle > 0 && l.IdleInterval > caughtUp {
		// A quarter more with each empty page: 1, 1.25, 1.56, 1.95, 2 s.
		for range min(idle-1, 64) {
			wait += wait / 4
		}
		wait = min(wait, l.IdleInterval)
	}
	// Up to a tenth more, so that a thousand shards opened at once do not poll
	// in one breath for ever.
	wait += time.Duration(jitter / 10 * float64(wait))
	p.ready = later(earliest, o.at.Add(wait))
	return p
}

// backOffFor is the wait after the nth failure in a row.
func backOffFor(class standpipe.Class, n int, jitter float64) time.Duration {
	switch class {
	case standpipe.Throttled:
		return backOff(time.Second, 10*time.Second, n, jitter)
	case standpipe.Denied, standpipe.NotFound, standpipe.Fatal, standpipe.Fenced:
		return backOff(5*time.Second, 30*time.Second, n, jitter)
	}
	return backOff(250*time.Millisecond, 10*time.Second, n, jitter)
}

// backOff doubles from least with each failure and adds up to a half of
// jitter; never below least, never above most.
func backOff(least, most time.Duration, n int, jitter float64) time.Duration {
	wait := least << min(max(n-1, 0), 16)
	wait += time.Duration(jitter * float64(wait) / 2)
	return min(wait, most)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
