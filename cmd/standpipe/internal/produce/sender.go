package produce

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/backoff"
)

const (
	// linger is how long a batch that is not full waits for more: a pipe that
	// trickles is seen in the stream at once, a file never gets there.
	linger = 200 * time.Millisecond
	// tryTimeout bounds one Send: 5 MiB at 200 KB/s.
	tryTimeout = 30 * time.Second
	// ahead is how many records are read before there is room for them.
	ahead = 64
)

// patience bounds the waits between tries. A shard's budget is counted in
// seconds, so waiting longer gains nothing.
var patience = backoff.Policy{Min: 100 * time.Millisecond, Max: 5 * time.Second}

// Config is what a Sender needs.
type Config struct {
	Target Target
	Key    KeyFunc
	// Tag is nil for none.
	Tag *Tag
	// Newline ends each record in one newline.
	Newline bool
	// Count ends the run after so many records read; 0 means all.
	Count int64
	// RecordMax is the largest record the target takes, data and key, in bytes.
	RecordMax int
	// Rate is nil for as fast as it goes.
	Rate *rate.Limiter
	// Concurrency is the number of batches in flight. More than one lets
	// batches overtake each other.
	Concurrency int
	// GiveUpAfter ends the run when a batch made no progress for so long.
	GiveUpAfter time.Duration
	// OnReject and OnWait are told what happens, from several goroutines.
	OnReject func(Rejection)
	OnWait   func(cause error, wait time.Duration)
	// Sleep waits between tries; nil means the real clock.
	Sleep func(ctx context.Context, d time.Duration) error
}

// A Sender runs once.
type Sender struct {
	cfg   Config
	tally tally

	mu  sync.Mutex
	rnd *rand.Rand // guarded by mu: spreads the waits
}

// New returns a Sender for one Run.
func New(cfg Config) *Sender {
	cfg.Concurrency = max(cfg.Concurrency, 1)
	if cfg.Sleep == nil {
		cfg.Sleep = backoff.Sleep
	}
	s := &Sender{cfg: cfg, rnd: rand.New(rand.NewPCG(backoff.Seed(), 0))}
	s.tally.s.Target = cfg.Target.String()
	if cfg.Tag != nil {
		s.tally.s.Run = cfg.Tag.Run
	}
	return s
}

// Summary is how far the run has come. Safe for concurrent use with Run.
func (s *Sender) Summary() Summary { return s.tally.snapshot(time.Now()) }

// Run sends everything source gives and returns when all of it is stored or
// rejected. When ctx ends it reads no more, lets the requests in flight finish,
// and returns ctx's error; Summary then says what is unsent. A source that
// blocks must itself return when ctx ends.
func (s *Sender) Run(ctx context.Context, source Source) error {
	s.tally.mu.Lock()
	s.tally.begin = time.Now()
	s.tally.mu.Unlock()

	g, ctx := errgroup.WithContext(ctx)
	records := make(chan Record, ahead)
	batches := make(chan []Record)
	g.Go(func() error {
		defer close(records)
		return s.read(ctx, source, records)
	})
	g.Go(func() error {
		defer close(batches)
		return s.collect(ctx, records, batches)
	})
	for range s.cfg.Concurrency {
		g.Go(func() error {
			for batch := range batches {
				if err := s.deliver(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// read takes records from source, makes them ready and hands them on.
func (s *Sender) read(ctx context.Context, source Source, records chan<- Record) error {
	var n int64
	for r, err := range source {
		if err == nil {
			r, err = s.prepare(r)
		}
		if rejection, ok := errors.AsType[*Rejection](err); ok {
			s.reject(*rejection, false)
		} else if err != nil {
			return err
		} else {
			if s.cfg.Rate != nil {
				if err := s.cfg.Rate.Wait(ctx); err != nil {
					return errors.Join(ctx.Err(), err)
				}
			}
			s.tally.take()
			select {
			case records <- r:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if n++; n == s.cfg.Count {
			break
		}
	}
	return ctx.Err()
}

// prepare makes of a line what is sent, or says why it can't be.
func (s *Sender) prepare(r Record) (Record, error) {
	var err error
	if r.Key, err = s.cfg.Key(r.Data); err != nil {
		return r, r.reject("%v", err)
	}
	if s.cfg.Tag != nil {
		if r.Data, err = s.cfg.Tag.add(r.Data); err != nil {
			return r, r.reject("%v", err)
		}
	}
	if s.cfg.Newline {
		r.Data = append(r.Data, '\n')
	}
	if r.size() > s.cfg.RecordMax {
		return r, r.reject("%d bytes with newline and key, the largest record is %d", r.size(), s.cfg.RecordMax)
	}
	return r, nil
}

// collect makes batches within the limits of the target.
func (s *Sender) collect(ctx context.Context, records <-chan Record, batches chan<- []Record) error {
	countMax, bytesMax := s.cfg.Target.Limits()
	var batch []Record
	bytes := 0
	full := time.NewTimer(linger)
	full.Stop()
	flush := func() error {
		full.Stop()
		if len(batch) == 0 {
			return nil
		}
		select {
		case batches <- batch:
			batch, bytes = nil, 0
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		select {
		case r, ok := <-records:
			if !ok {
				return flush()
			}
			if bytes+r.size() > bytesMax {
				if err := flush(); err != nil {
					return err
				}
			}
			if len(batch) == 0 {
				full.Reset(linger)
			}
			batch, bytes = append(batch, r), bytes+r.size()
			if len(batch) == countMax {
				if err := flush(); err != nil {
					return err
				}
			}
		case <-full.C:
			if err := flush(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliver repeats batch, less what is done, until every record is stored or
// rejected.
func (s *Sender) deliver(ctx context.Context, batch []Record) error {
	progress := time.Now()
	for attempt := 0; ; attempt++ {
		rest, cause, err := s.try(ctx, batch)
		if err != nil {
			return err
		}
		if len(rest) == 0 {
			return nil
		}
		if len(rest) < len(batch) {
			progress, attempt = time.Now(), 0
		}
		batch = rest
		if idle := time.Since(progress); idle >= s.cfg.GiveUpAfter {
			return fmt.Errorf("gave up at %s:%d after %v without progress (--give-up-after): %w",
				batch[0].Source, batch[0].Line, s.cfg.GiveUpAfter, cause)
		}
		wait := max(s.delay(attempt+1), after(cause))
		if s.cfg.OnWait != nil {
			s.cfg.OnWait(cause, wait)
		}
		if err := s.cfg.Sleep(ctx, wait); err != nil {
			return err
		}
		s.tally.add(func(sum *Summary) { sum.Retried += int64(len(batch)) })
	}
}

func (s *Sender) delay(failures int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return patience.Delay(failures, s.rnd)
}

// try sends batch once and returns what is worth another try, in its order, and
// why it failed. A request that is under way outlives ctx: what it stored
// should be counted.
func (s *Sender) try(ctx context.Context, batch []Record) (rest []Record, cause, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	one, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTimeout)
	defer cancel()
	results, err := s.cfg.Target.Send(one, batch)
	s.tally.add(func(sum *Summary) { sum.Requests++ })
	if err != nil {
		return s.failed(ctx, batch, err)
	}
	for i, r := range batch {
		switch err := results[i]; {
		case err == nil:
			s.stored(r)
		case repeats(err):
			rest, cause = append(rest, r), err
		default:
			s.reject(*r.reject("%v", err), true)
		}
	}
	return rest, cause, nil
}

// failed deals with a request of which nothing was stored. When the content was
// refused, one record may be at fault: halves find it and the others pass.
func (s *Sender) failed(ctx context.Context, batch []Record, err error) (rest []Record, cause, fatal error) {
	if _, refused := errors.AsType[*Refusal](err); refused {
		if len(batch) == 1 {
			s.reject(*batch[0].reject("%v", err), true)
			return nil, nil, nil
		}
		for _, half := range [][]Record{batch[:len(batch)/2], batch[len(batch)/2:]} {
			if err := s.deliver(ctx, half); err != nil {
				return nil, nil, err
			}
		}
		return nil, nil, nil
	}
	if repeats(err) {
		return batch, err, nil
	}
	return nil, nil, err
}

func (s *Sender) stored(r Record) {
	s.tally.add(func(sum *Summary) {
		sum.Records++
		sum.Bytes += int64(len(r.Data))
		sum.Unsent--
	})
}

func (s *Sender) reject(r Rejection, wasTaken bool) {
	s.tally.reject(r, wasTaken)
	if s.cfg.OnReject != nil {
		s.cfg.OnReject(r)
	}
}

// repeats says whether trying again may help.
func repeats(err error) bool {
	if _, refused := errors.AsType[*Refusal](err); refused {
		return false
	}
	class := standpipe.ClassOf(err)
	return class == standpipe.Retryable || class == standpipe.Throttled
}

// after is the wait the peer asked for, at most a minute.
func after(err error) time.Duration {
	if e, ok := errors.AsType[*standpipe.Error](err); ok {
		return min(e.After, time.Minute)
	}
	return 0
}
