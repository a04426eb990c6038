package delivery

import (
	"context"
	"errors"
	"fmt"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/sink"
)

// recover finishes the flush that was prepared when the lease was taken. The
// normal case needs neither Kinesis nor the configuration: it rolls forward.
func (s *shard) recover(ctx context.Context) error {
	if s.protocol.breaks.recover != nil {
		return s.protocol.breaks.recover(ctx, s)
	}
	return s.protocol.settle(ctx)
}

// rebuild makes the lost objects of a plan anew: the range is read again, and
// the records of exactly their ordinals go into new objects under new keys
// (rule R7: only the encoding is redone, never the placement).
//
// The new objects are in nobody's intent until it returns, so a failure
// discards them, see discard.
func (s *shard) rebuild(ctx context.Context, i Intent, plan Plan, lost []int) (Plan, error) {
	if s.current != nil {
		// Pages need memory, and a shard that waits for it while it holds some
		// can wait for itself. What is not prepared is let go and read again
		// later; follow then comes back here with empty hands.
		return plan, readAgain("flush %s lost %s and %d more of its objects, and its repair needs the memory of what is not prepared", i.ID, plan.Objects[lost[0]].Upload.Key, len(lost)-1)
	}
	next := plan
	next.Objects = append([]PlannedObject(nil), plan.Objects...)
	f := refill{shard: s, plan: plan, lost: lost, digests: make([]standpipe.Digest, len(lost))}
	for _, n := range lost {
		f.writers = append(f.writers, s.newWriter(i.ID, plan.Objects[n].ArrivalMin))
	}
	s.rebuilt = f.writers
	err := s.reread(ctx, i, plan, f.each)
	if err != nil {
		return plan, fmt.Errorf("repair intent %s: %w", i.ID, err)
	}
	for k, n := range lost {
		o := &next.Objects[n]
		if o.Upload, err = s.finish(ctx, f.writers[k]); err != nil {
			return plan, fmt.Errorf("repair intent %s: %w", i.ID, err)
		}
		o.Bytes, o.Lines, o.Hash = f.writers[k].Raw(), f.digests[k].Lines, f.digests[k].Sum()
	}
	s.rebuilt = nil
	s.account()
	return next, nil
}

// A refill puts the records of a range that is read again into the lost objects
// of its plan, by the ordinals that were fixed when it was staged.
type refill struct {
	shard   *shard
	plan    Plan
	lost    []int // of plan.Objects
	writers []*sink.Writer
	digests []standpipe.Digest
}

func (f *refill) each(e *sink.Encoder, ordinal, skip int64, r *standpipe.Record) {
	for k, n := range f.lost {
		// A plan of one object has no ordinals: it takes every record.
		if len(f.plan.Objects) > 1 && !standpipe.Has(f.plan.Objects[n].Ordinals, ordinal) {
			continue
		}
		f.shard.splitter.each(r, skip, func(line []byte, newline bool) {
			f.digests[k].Add(line)
			f.writers[k].Append(e, line, newline)
		})
	}
}

// reserveMore waits for memory in addition to what the rebuilt objects hold.
// That is given back for the wait and taken again with the rest: holding it
// while waiting for more could be waiting for oneself.
func (s *shard) reserveMore(ctx context.Context, want int64) error {
	held := s.taken
	s.taken = 0
	s.parts.Budget.Resize(held, 0)
	if err := s.acquire(ctx, held+want); err != nil {
		return err
	}
	s.taken = held + want
	return nil
}

// end ends an object's encoding.
func (s *shard) end(ctx context.Context, w *sink.Writer) error {
	e, err := s.parts.Slots.Acquire(ctx)
	if err != nil {
		return err
	}
	defer s.parts.Slots.Release(e)
	w.Finish(e)
	return nil
}

// finish ends an object and stages it.
func (s *shard) finish(ctx context.Context, w *sink.Writer) (up sink.Upload, err error) {
	if err := s.end(ctx, w); err != nil {
		return up, err
	}
	err = s.protocol.hold.do(ctx, "stage "+w.Object().Key, dataLimit, func(ctx context.Context) (err error) {
		up, err = w.Stage(ctx)
		return err
	})
	return up, err
}

// reread calls each for every record of the intent's range, with its ordinal
// and the number of its user records that were done before the range, and
// demands that it is the very same range: retention may have trimmed it.
func (s *shard) reread(ctx context.Context, i Intent, plan Plan, each func(e *sink.Encoder, ordinal, skip int64, r *standpipe.Record)) error {
	// Its first record is named, so where the range before it ended, and whether
	// that is still there, does not matter. Where a KCL application stopped it
	// does: that may be inside this record.
	from := consumer.Start{Position: standpipe.Position{Sequence: plan.First}, At: true}
	if l := s.lease(); l.Adopted() {
		from = consumer.Start{Position: i.Base, Time: l.StartTime, Seen: l.Seen, Inside: true}
	}
	source := s.open(from)
	var ordinal, need int64
	for ordinal < plan.Records {
		wait(ctx, source.Ready())
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		room := max(need, source.Estimate())
		if err := s.reserveMore(ctx, roomFor(room)); err != nil {
			return err
		}
		ended, err := s.page(ctx, source, room, func(e *sink.Encoder, page *consumer.Page) error {
			if page.Gap != nil && ordinal > 0 {
				return trimmed(i, "what follows its record "+page.Gap.After.Sequence, page.Gap.Before)
			}
			for k := range page.Records {
				r := &page.Records[k]
				switch {
				case ordinal == 0 && string(r.Sequence) != plan.First:
					return trimmed(i, plan.First, string(r.Sequence))
				case ordinal == plan.Records-1 && !i.Last.AtEnd() && string(r.Sequence) != i.Last.Sequence:
					return trimmed(i, i.Last.Sequence, string(r.Sequence))
				}
				if ordinal < plan.Records {
					skip := int64(0)
					if k == 0 {
						skip = page.Skip
					}
					each(e, ordinal, skip, r)
				}
				ordinal++
			}
			return nil
		})
		s.account()
		if large, ok := errors.AsType[*consumer.TooLargeError](err); ok {
			need = large.Need
			continue
		}
		if err != nil && ctx.Err() == nil {
			if err := s.readFailed(err); err != nil {
				return err
			}
		} else if s.state.Holding != "" {
			s.state.Holding = ""
			s.publishStatus()
		}
		if ended && ordinal < plan.Records {
			return trimmed(i, plan.First, "the end of the shard")
		}
		if err := s.uploadParts(ctx, s.rebuilt); err != nil {
			return err
		}
	}
	return nil
}

// page reads one page of source and calls use under an encoder slot.
func (s *shard) page(ctx context.Context, source Source, room int64, use func(*sink.Encoder, *consumer.Page) error) (ended bool, err error) {
	if err := source.Fetch(ctx, room); err != nil {
		return false, err
	}
	defer source.Done()
	e, err := s.parts.Slots.Acquire(ctx)
	if err != nil {
		return false, err
	}
	defer s.parts.Slots.Release(e)
	page, err := source.Decode()
	if err != nil {
		return false, err
	}
	return page.End, use(e, page)
}

func trimmed(i Intent, want, got string) error {
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: "read flush " + i.ID.String() + " again",
		Err:  fmt.Errorf("%w: record %s was to come, now %s comes", ErrTrimmed, want, got),
		Hint: "objects of a prepared flush are gone and retention has trimmed their records: this is data loss, restore the objects named in the intent",
	}
}
