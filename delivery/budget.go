package delivery

import (
	"container/list"
	"context"
	"sync"
)

// A Budget bounds the bytes of records that the process holds: bodies being
// read, lines being compressed, parts not yet uploaded. A shard takes from it
// before it reads, so memory grows with the budget and not with the number of
// shards. Waiters are served in order: a small request never overtakes a large
// one. Safe for concurrent use.
type Budget struct {
	size int64

	mu      sync.Mutex // covers what follows; held for a few instructions only
	used    int64
	peak    int64
	waiters list.List // of *waiter
}

type waiter struct {
	bytes int64
	ready chan struct{}
}

// NewBudget returns a budget of size bytes.
func NewBudget(size int64) *Budget { return &Budget{size: size} }

// Size is what the budget was made with, Used what is taken, Peak the most
// that ever was. Bytes.
func (b *Budget) Size() int64 { return b.size }

// Used is the number of bytes taken now.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Peak is the most that was ever taken.
func (b *Budget) Peak() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peak
}

// TryAcquire takes n bytes if they are free and nobody waits.
func (b *Budget) TryAcquire(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters.Len() > 0 || b.used+n > b.size {
		return false
	}
	b.take(n)
	return true
}

// Acquire waits until n bytes are free. A request for more than the whole
// budget is granted when nothing else is taken, so that a page larger than the
// budget is read alone instead of never. It returns the cause when ctx ends.
func (b *Budget) Acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if b.waiters.Len() == 0 && b.fits(n) {
		b.take(n)
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	e := b.waiters.PushBack(w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // granted in the same moment
		b.give(n)
	default:
		b.waiters.Remove(e)
		b.serve()
	}
	return context.Cause(ctx)
}

// Resize turns a grant of from bytes into one of to bytes. It never waits:
// growing is for what is already in memory and has to be counted.
func (b *Budget) Resize(from, to int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if to > from {
		b.take(to - from)
		return
	}
	b.give(from - to)
}

func (b *Budget) fits(n int64) bool { return b.used+n <= b.size || b.used == 0 }

func (b *Budget) take(n int64) {
	b.used += n
	b.peak = max(b.peak, b.used)
}

func (b *Budget) give(n int64) {
	b.used -= n
	if b.used < 0 {
		panic("delivery: more bytes given back to the budget than taken")
	}
	b.serve()
}

func (b *Budget) serve() {
	for e := b.waiters.Front(); e != nil; e = b.waiters.Front() {
		w := e.Value.(*waiter)
		if !b.fits(w.bytes) {
			return
		}
		b.take(w.bytes)
		b.waiters.Remove(e)
		close(w.ready)
	}
}
