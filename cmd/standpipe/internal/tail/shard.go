package tail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/backoff"
)

const (
	// slack is how far arrival times may be out of order: Kinesis sets them on
	// several hosts, to the millisecond but not in step.
	slack = time.Second
	// patience is how long a shard that does not answer is asked again when
	// nobody follows. A follower waits as long as it takes.
	patience = time.Minute
)

// follow reads one shard until it ended or there is no more to print of it.
func (f *follower) follow(ctx context.Context, shard standpipe.Shard, from consumer.Start) error {
	r := f.cfg.Client.Open(shard, from)
	defer r.Done()
	s := &shardTail{follower: f, reader: r, shard: shard}
	for {
		if err := backoff.Sleep(ctx, time.Until(r.Ready())); err != nil {
			return err
		}
		over, err := s.turn(ctx)
		if err != nil || over {
			return err
		}
	}
}

// A shardTail is owned by the goroutine of its shard.
type shardTail struct {
	*follower
	reader  *consumer.Reader
	shard   standpipe.Shard
	failing time.Time // since when, or zero
	corrupt bool      // a damaged aggregate was reported
}

// turn reads and prints one page. It reports whether the shard is done with.
func (s *shardTail) turn(ctx context.Context) (over bool, err error) {
	room := min(s.reader.Estimate(), memory)
	if err := s.memory.Acquire(ctx, room); err != nil {
		return false, context.Cause(ctx)
	}
	defer s.memory.Release(room)
	defer s.reader.Done()
	err = s.reader.Fetch(ctx, room)
	var page *consumer.Page
	if err == nil {
		page, err = s.reader.Decode()
	}
	if err != nil {
		return false, s.failed(ctx, err)
	}
	if !s.failing.IsZero() {
		s.cfg.Note("%s answers again", s.shard.ID)
		s.failing = time.Time{}
	}
	if g := page.Gap; g != nil {
		s.cfg.Note("%s: records may be missing after %s (%s)", s.shard.ID, g.After, g.Reason)
	}
	corrupt, err := s.out.page(s.shard, page)
	if err != nil {
		return false, err
	}
	if corrupt != "" && !s.corrupt {
		s.cfg.Note("%s: record %s starts like a KPL aggregate but is none: printed as it is", s.shard.ID, corrupt)
		s.corrupt = true
	}
	if page.End {
		s.cfg.Note("%s ended%s", s.shard.ID, successors(page.Children))
		s.ended(ctx, s.shard.ID, page.Children)
		return true, nil
	}
	return s.past(page), nil
}

// failed says what is wrong, once until the shard answers again. The reader
// has its own back-off; an error comes back when a repeat can't help.
func (s *shardTail) failed(ctx context.Context, err error) error {
	if _, large := errors.AsType[*consumer.TooLargeError](err); large {
		return nil // the next estimate is larger
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := time.Now()
	first := s.failing.IsZero()
	if first {
		s.failing = now
	}
	class := standpipe.ClassOf(err)
	err = plain("read shard "+string(s.shard.ID), err)
	switch class {
	case standpipe.Throttled, standpipe.Retryable:
		if !s.cfg.Follow && now.Sub(s.failing) > patience {
			return fmt.Errorf("no answer for %v: %w", patience, err)
		}
		if first && class == standpipe.Throttled {
			s.cfg.Note("%s is throttled: others read it too; going on slower", s.shard.ID)
		} else if first {
			s.cfg.Note("%v; trying again", err)
		}
		return nil
	}
	return err
}

// past reports whether what is still to come of an open shard is later than
// what was asked for.
func (s *shardTail) past(page *consumer.Page) bool {
	// upTo is the time up to which the page is known to be complete. A full
	// page that claims to be at the tip comes from a server that can't tell.
	upTo := page.ReadAt.Add(-page.Behind)
	full := len(page.Records) >= 10_000 || page.Bytes >= 1<<20
	if !s.cfg.Follow && !s.shard.Closed && !full && !upTo.Before(s.cfg.Began) {
		return true
	}
	if s.cfg.To.IsZero() {
		return false
	}
	end := s.cfg.To.Add(slack)
	if n := len(page.Records); n > 0 {
		return !page.Records[n-1].Arrival.Before(end)
	}
	// An empty page at the tip of an open shard. Of a closed one the children
	// may hold earlier records, so it is read to its end.
	return !s.shard.Closed && !upTo.Before(end)
}

// successors names the shards that go on where one ended.
func successors(children []standpipe.Shard) string {
	if len(children) == 0 {
		return ""
	}
	ids := make([]string, len(children))
	for i, c := range children {
		ids[i] = string(c.ID)
	}
	return "; " + strings.Join(ids, " and ") + " go on"
}
