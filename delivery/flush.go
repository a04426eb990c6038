package delivery

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// A flush is what one intent will deliver: the records of the range (base,
// last], gathered in one open object per prefix. While it is open it belongs
// to the shard's goroutine like everything else of the shard.
type flush struct {
	id   FlushID
	base standpipe.Position
	// first is the sequence number of the range's first record; last and sub
	// are the range's end so far.
	first, last []byte
	sub         int64

	set     *batcher.Set
	writers []*sink.Writer // of set.Batches, same order
	reason  standpipe.SealReason
	gaps    []standpipe.Gap
	// ended says that the range is the last one of the shard.
	ended    bool
	children []standpipe.ShardID
	// prepared says that a PREPARE was sent: from then on the staged objects
	// are not ours to discard (rule R5).
	prepared bool
}

// end is the position that the flush commits.
func (f *flush) end() standpipe.Position {
	switch {
	case f.ended:
		return standpipe.Position{Sequence: standpipe.ShardEnd}
	case len(f.last) == 0:
		return f.base
	}
	return standpipe.Position{Sequence: string(f.last), Sub: f.sub}
}

// vacant says that there is nothing to deliver, commit or record.
func (f *flush) vacant() bool { return f.set.Empty() && !f.ended && len(f.gaps) == 0 }

// held is the memory of the flush in bytes.
func (f *flush) held() (n int64) {
	for _, w := range f.writers {
		n += w.Held()
	}
	return n
}

// opened bounds the age of the flush's uploads from above.
func (f *flush) opened() time.Time {
	if f.set.Empty() {
		return time.Now()
	}
	return f.set.Opened()
}

// stage makes every object of the flush durable and invisible, and fixes which
// record is in which of them.
func (s *shard) stage(ctx context.Context, f *flush) (Plan, error) {
	plan := Plan{
		Origin: s.origin, Reason: f.reason, First: string(f.first), Raw: s.splitter.raw, Objects: []PlannedObject{},
		Records: f.set.Records, Dropped: f.set.Dropped, Seen: f.set.ArrivalMax, Gaps: f.gaps, Children: f.children,
	}
	for n, w := range f.writers {
		var up sink.Upload
		err := s.protocol.hold.do(ctx, "stage "+w.Object().Key, dataLimit, func(ctx context.Context) (err error) {
			up, err = w.Stage(ctx)
			return err
		})
		if err != nil {
			return plan, err
		}
		plan.Objects = append(plan.Objects, planned(up, f.set.Batches[n], len(f.writers) > 1))
	}
	return plan, nil
}

func planned(up sink.Upload, b *batcher.Batch, several bool) PlannedObject {
	o := PlannedObject{Upload: up, Prefix: b.Prefix, Contents: manifest.Contents{
		Records: b.Records, Lines: b.Digest.Lines, Bytes: b.Bytes, Hash: b.Digest.Sum(),
		First: string(b.First), Last: string(b.Last), ArrivalMin: b.ArrivalMin, ArrivalMax: b.ArrivalMax,
	}}
	if several {
		o.Ordinals = b.Ordinals
	}
	return o
}

// deliver takes one sealed flush through STAGE, PREPARE, PUBLISH and COMMIT.
// When it returns nil the checkpoint has passed the flush. A
// rereadError means that the range must be read again; errLeaseLost that it is
// another's now.
func (s *shard) deliver(ctx context.Context, f *flush) error {
	plan, err := s.stage(ctx, f)
	if err != nil {
		return s.unstaged(err)
	}
	i := Intent{
		Version: intentVersion, ID: f.id, Base: f.base, Last: f.end(), Number: s.protocol.lease.Commits + 1,
		Opened: f.opened().UTC(), Sink: s.protocol.sink.Location(),
	}
	if err := s.protocol.writePlan(ctx, &i, plan); err != nil {
		return err
	}
	if s.protocol.breaks.publishBeforePrepare {
		if _, err := s.protocol.publish(ctx, i, plan); err != nil {
			return err
		}
	}
	f.prepared = true
	s.state.Pending = &PendingFlush{ID: i.ID, Last: i.Last, Opened: i.Opened, Objects: len(plan.Objects)}
	if err := s.protocol.prepare(ctx, i); err != nil {
		return err
	}
	return s.settle(ctx)
}

// deliverAtLeastOnce is the cheap mode: whole objects, then the checkpoint. A
// crash in between delivers the range twice.
func (s *shard) deliverAtLeastOnce(ctx context.Context, f *flush) error {
	for _, w := range f.writers {
		limit := dataLimit * time.Duration(1+w.Size()/sink.DefaultPartSize)
		err := s.protocol.hold.do(ctx, "put "+w.Object().Key, limit, w.Put)
		if err != nil {
			return err
		}
	}
	plan := Plan{
		Origin: s.origin, Reason: f.reason, Records: f.set.Records, Dropped: f.set.Dropped,
		Seen: f.set.ArrivalMax, Gaps: f.gaps, Children: f.children,
	}
	if err := s.protocol.advance(ctx, f.end(), plan); err != nil {
		return err
	}
	for n, w := range f.writers {
		up := sink.Upload{Object: w.Object(), Parts: []sink.Part{{Size: w.Size(), CRC32: w.CRC32()}}}
		plan.Objects = append(plan.Objects, planned(up, f.set.Batches[n], false))
	}
	s.delivered(Intent{ID: f.id, Base: f.base, Last: f.end(), Opened: f.opened().UTC()}, plan)
	return nil
}

// abandon gives up a flush that will not be delivered by us. Discarding is
// tidiness, not safety: what cannot be discarded now ages out in the bucket.
func (s *shard) abandon(ctx context.Context, f *flush) {
	for _, w := range f.writers {
		if f.prepared && !s.protocol.breaks.discardOnUnknown {
			w.Forget()
			continue
		}
		s.abandonObject(ctx, w)
	}
	f.writers = nil
}

func (s *shard) abandonObject(ctx context.Context, w *sink.Writer) {
	if err := attempt(ctx, callLimit, w.Abandon); err != nil {
		s.log.Warn("staged object left behind", zap.String("key", w.Object().Key), zap.Error(err))
	}
}

// unstaged judges an error of staging. When the store dropped the parts before
// anything was prepared, the range is still undelivered and is read again.
func (s *shard) unstaged(err error) error {
	if errors.Is(err, sink.ErrNoUpload) {
		return &rereadError{err}
	}
	return err
}
