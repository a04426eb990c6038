package redrive

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/backoff"
)

const (
	// skew is how far this machine's clock may be from Kinesis's.
	skew = 5 * time.Minute
	// findParallel shards are read at a time; each holds a page of 10 MiB at most.
	findParallel = 4
	// findPatience is how many errors in a row one shard may give.
	findPatience = 10
)

// A Finder looks for records by their keys.
type Finder struct{ Client *consumer.Client }

// Find reads every shard from since, less skew, up to what was there when it
// was called, or until all keys were found.
func (f *Finder) Find(ctx context.Context, since time.Time, keys map[string]bool) (map[string]bool, error) {
	began := time.Now()
	stream, err := f.Client.Describe(ctx)
	if err != nil {
		return nil, err
	}
	if stream.Retention > 0 && began.Sub(since) > stream.Retention-skew {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "look for records sent at " + since.UTC().Format(time.RFC3339),
			Err:  fmt.Errorf("they have left the stream's retention of %v: nobody can tell which were stored", stream.Retention),
			Hint: "redrive this slice's objects to another prefix and compare by hand",
		}
	}
	shards, err := f.Client.Shards(ctx)
	if err != nil {
		return nil, err
	}
	s := &search{began: began, keys: keys, found: map[string]bool{}}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(findParallel)
	start := consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: since.Add(-skew)}
	for _, shard := range shards {
		group.Go(func() error { return s.shard(gctx, f.Client.Open(shard, start), shard) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return s.found, nil
}

// A search is one Find.
type search struct {
	began time.Time
	keys  map[string]bool

	mu    sync.Mutex // covers found
	found map[string]bool
}

func (s *search) shard(ctx context.Context, r *consumer.Reader, shard standpipe.Shard) error {
	defer r.Done()
	for failures := 0; !s.complete(); {
		if err := backoff.Sleep(ctx, time.Until(r.Ready())); err != nil {
			return err
		}
		err := r.Fetch(ctx, consumer.MaxPage)
		var page *consumer.Page
		if err == nil {
			page, err = r.Decode()
		}
		if err != nil {
			class := standpipe.ClassOf(err)
			if failures++; failures > findPatience || ctx.Err() != nil || class != standpipe.Retryable && class != standpipe.Throttled {
				return fmt.Errorf("read shard %s: %w", shard.ID, err)
			}
			continue
		}
		failures = 0
		if err := s.look(page.Records); err != nil {
			return fmt.Errorf("read shard %s: %w", shard.ID, err)
		}
		if page.End || !shard.Closed && s.past(page) {
			return nil
		}
	}
	return nil
}

// past reports whether all that was there at the beginning has been read. A
// full page that claims to be at the tip comes from a server that can't tell.
func (s *search) past(p *consumer.Page) bool {
	full := len(p.Records) >= 10_000 || p.Bytes >= 1<<20
	return !full && !p.ReadAt.Add(-p.Behind).Before(s.began)
}

func (s *search) look(records []standpipe.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range records {
		if records[i].PartitionKey == nil {
			return &standpipe.Error{
				Class: standpipe.Fatal, Op: "look for sent records", Err: errors.New("the stream keeps no partition keys"),
				Hint: "a stream that assigns shards by itself cannot tell what it holds: redrive to a prefix",
			}
		}
		if key := string(records[i].PartitionKey); s.keys[key] {
			s.found[key] = true
		}
	}
	return nil
}

func (s *search) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.found) == len(s.keys)
}
