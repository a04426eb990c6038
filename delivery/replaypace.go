package delivery

import (
	"context"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
)

// turn is a shard's share of reading, for all who read it again in this process:
// Kinesis counts reads and bytes by shard, not by reader. It holds one value,
// the earliest time of the next read. Whoever has taken it out reads, and puts
// back the next one when it knows how many bytes that has cost.
type turn chan time.Time

// take waits for the turn and for its time.
func (t turn) take(ctx context.Context) error {
	var at time.Time
	select {
	case at = <-t:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	wait(ctx, at)
	if ctx.Err() != nil {
		t <- at
		return context.Cause(ctx)
	}
	return nil
}

// turnOf is the turn of a shard.
func (r *Replay) turnOf(shard standpipe.ShardID) turn {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, there := r.turns[shard]
	if !there {
		t = make(turn, 1)
		t <- time.Now()
		r.turns[shard] = t
	}
	return t
}

// pace makes the sources that s opens wait for their turns. The caller calls
// leave when it has ended, or a page that was never decoded would keep the turn.
func (r *Replay) pace(s *shard) (leave func()) {
	open, last := s.open, (*paced)(nil)
	leave = func() {
		if last != nil {
			last.pass()
		}
	}
	s.open = func(from consumer.Start) Source {
		leave()
		last = &paced{Source: open(from), turn: r.turnOf(s.origin.Shard), every: r.interval, left: func() { r.left(s.origin.Shard) }}
		return last
	}
	return leave
}

// paced reads when it is its turn. It belongs to one goroutine.
type paced struct {
	Source
	turn  turn
	every time.Duration
	sent  time.Time // when the turn was taken, zero while it is not held
	next  time.Time // what was put back last
	left  func()    // the shard has left the stream
}

func (p *paced) Ready() time.Time { return later(p.Source.Ready(), p.next) }

func (p *paced) Fetch(ctx context.Context, room int64) error {
	p.pass()
	if err := p.turn.take(ctx); err != nil {
		return err
	}
	p.sent = time.Now()
	err := p.Source.Fetch(ctx, room)
	if err != nil {
		p.pass()
	}
	return err
}

// Decode learns from the reader for how long the page's bytes have used up the
// shard's share of the bandwidth.
func (p *paced) Decode() (*consumer.Page, error) {
	defer p.pass()
	page, err := p.Source.Decode()
	if err == nil && page.Gap != nil && page.Gap.Reason == consumer.GapShardGone {
		p.left()
	}
	return page, err
}

// pass hands the turn on, if it is held.
func (p *paced) pass() {
	if p.sent.IsZero() {
		return
	}
	p.next = later(p.sent.Add(p.every), p.Source.Ready())
	p.sent = time.Time{}
	p.turn <- p.next
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
