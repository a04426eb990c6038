package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// A Replay delivers bounded ranges once more, with the parts of the live
// journey: the same reader, splitter, batches, objects and protocol. It never
// touches the live leases: Restore needs none, and Deliver is given a store of
// its own. Safe for concurrent use.
type Replay struct {
	w *Worker
	// interval is the least time between two reads of one shard: what is left of
	// the five a second that all readers share belongs to the live ones.
	interval time.Duration

	mu    sync.Mutex // covers what follows
	turns map[standpipe.ShardID]turn
	gone  map[standpipe.ShardID]bool // have left the stream
}

// NewReplay wires one. Of settings, Start and Lease are not looked at, of parts
// Store and Registerer: nothing here shares its shards with a fleet. interval is
// the least time between two reads of one shard, by however many calls at once.
func NewReplay(settings Settings, parts Parts, interval time.Duration) *Replay {
	parts.Store, parts.Registerer = nil, nil
	return &Replay{w: NewWorker(settings, parts), interval: interval, turns: map[standpipe.ShardID]turn{}, gone: map[standpipe.ShardID]bool{}}
}

// ErrTrimmed says that retention has taken records of the range.
var ErrTrimmed = errors.New("the records have left the stream's retention")

// shard is one that reads and writes, and owns nothing. end goes with it.
func (r *Replay) shard(m manifest.Manifest, info standpipe.Shard) (s *shard, end func()) {
	before := standpipe.Position{Sequence: standpipe.TrimHorizon}
	if m.First == m.Previous.Sequence {
		// The range goes on inside an aggregate in which a KCL application had
		// stopped; the lease that said so then says it to reread now.
		before = m.Previous
	}
	s = newShard(r.w, checkpoint.Lease{Shard: m.Shard, Checkpoint: before, Incarnation: m.Incarnation, StreamCreated: m.Created}, info)
	leave := r.pace(s)
	return s, func() { leave(); s.drop() }
}

// reread is the shard's, in vain but once: a reader takes its time to believe that a shard has
// left the stream, and an archive has many manifests of each.
func (r *Replay) reread(ctx context.Context, s *shard, i Intent, plan Plan, each func(e *sink.Encoder, ordinal, skip int64, rec *standpipe.Record)) error {
	r.mu.Lock()
	gone := r.gone[s.origin.Shard]
	r.mu.Unlock()
	if gone {
		return trimmed(i, plan.First, "the end of the shard")
	}
	return s.reread(ctx, i, plan, each)
}

// left notes that a shard has left the stream, for good.
func (r *Replay) left(shard standpipe.ShardID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone[shard] = true
}

// Digest reads a manifest's records again and returns the digest of their
// lines and how many they are. ErrTrimmed in its chain when they are gone.
func (r *Replay) Digest(ctx context.Context, m manifest.Manifest, info standpipe.Shard) (d standpipe.Digest, records int64, err error) {
	s, end := r.shard(m, info)
	defer end()
	i, plan, err := prepared(m)
	if err != nil {
		return d, 0, err
	}
	err = r.reread(ctx, s, i, plan, func(_ *sink.Encoder, _, skip int64, rec *standpipe.Record) {
		records++
		s.splitter.each(rec, skip, func(line []byte, _ bool) { d.Add(line) })
	})
	return d, records, err
}

// Restore makes objects of a manifest again, under their own keys: the records
// of exactly their ordinals. Nothing becomes visible unless its lines are those
// that the manifest proves. Two that restore the same object at once write the
// same lines under the same key. replace overwrites what is there.
func (r *Replay) Restore(ctx context.Context, m manifest.Manifest, info standpipe.Shard, lost []int, replace bool) error {
	s, end := r.shard(m, info)
	defer end()
	i, plan, err := prepared(m)
	if err != nil {
		return err
	}
	f := refill{shard: s, plan: plan, lost: lost, digests: make([]standpipe.Digest, len(lost))}
	for _, n := range lost {
		f.writers = append(f.writers, s.restored(m, m.Objects[n], replace))
	}
	s.rebuilt = f.writers
	if err := r.reread(ctx, s, i, plan, f.each); err != nil {
		return err
	}
	for k, n := range lost { // all of them first: a changed setting changes every one
		if err := same(m.Objects[n], f.digests[k], f.writers[k].Raw()); err != nil {
			return err
		}
	}
	for len(s.rebuilt) > 0 {
		if err := s.publishRestored(ctx, i, s.rebuilt[0], replace); err != nil {
			return err
		}
		s.rebuilt = s.rebuilt[1:]
		s.account()
	}
	return nil
}

// restored opens an object under the key it had.
func (s *shard) restored(m manifest.Manifest, o manifest.Object, whole bool) *sink.Writer {
	var options sink.WriterOptions
	if whole {
		options.PartSize = sink.WholePart
	}
	return sink.NewWriter(s.parts.Sink, s.parts.Codec, sink.Object{
		Key: o.Key, ContentEncoding: s.parts.Codec.ContentEncoding(),
		Metadata: map[string]string{manifest.MetaIntent: m.Intent, "standpipe-shard": string(m.Shard)},
	}, options)
}

func (s *shard) publishRestored(ctx context.Context, i Intent, w *sink.Writer, replace bool) error {
	if replace {
		if err := s.end(ctx, w); err != nil {
			return err
		}
		limit := dataLimit * time.Duration(1+w.Size()/sink.DefaultPartSize)
		return s.protocol.hold.do(ctx, "put "+w.Object().Key, limit, w.Put)
	}
	up, err := s.finish(ctx, w)
	if err != nil {
		return err
	}
	switch fate, err := s.protocol.publishOne(ctx, i, up); {
	case err != nil:
		return err
	case fate == dead:
		return &standpipe.Error{
			Class: standpipe.Retryable, Op: "restore " + up.Key, Err: sink.ErrNoUpload, Hint: "run it again: what is restored stays",
		}
	}
	return nil
}

// ErrUnlike says that the records of an object have other lines now than the
// manifest proves. Nothing was written.
var ErrUnlike = errors.New("other lines than the manifest proves")

// same holds what was read again to what the manifest proves.
func same(o manifest.Object, d standpipe.Digest, raw int64) error {
	if d.Lines == o.Lines && d.Sum() == o.Hash && raw == o.Bytes {
		return nil
	}
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: "restore " + o.Key,
		Err: fmt.Errorf("%w: its records give %d lines of %d bytes with hash %s, it says %d of %d with %s",
			ErrUnlike, d.Lines, raw, d.Sum(), o.Lines, o.Bytes, o.Hash),
		Hint: "nothing was written: set Standpipe.RecordFormat and Standpipe.Deaggregation as they were when it was delivered",
	}
}

// prepared is a manifest as the intent and the plan that it came from, as far
// as reading the range again needs them.
func prepared(m manifest.Manifest) (Intent, Plan, error) {
	i := Intent{Version: intentVersion, Rev: m.Rev, Base: m.Previous, Last: m.Last, Number: m.Number}
	if _, err := fmt.Sscanf(m.Intent, "%d-%d-%s", &i.ID.Epoch, &i.ID.Flush, &i.ID.Random); err != nil {
		return i, Plan{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: fmt.Sprintf("read manifest %d of %s", m.Number, m.Shard),
			Err: fmt.Errorf("its intent %q is no name of one", m.Intent),
		}
	}
	p := Plan{Origin: m.Origin, First: m.First, Records: m.Counts.Records, Dropped: m.Counts.Dropped, Raw: m.Raw}
	for _, o := range m.Objects {
		p.Objects = append(p.Objects, PlannedObject{Upload: sink.Upload{Object: sink.Object{Key: o.Key}}, Contents: o.Contents, Ordinals: o.Ordinals})
	}
	return i, p, nil
}

// An End bounds a range of a shard. The zero End is the end of the shard.
type End struct {
	// Sequence is the last record of the range.
	Sequence string `json:"seq,omitempty"`
	// Time ends the range before the first record that arrived then or later,
	// which is where a reader that starts AT_TIMESTAMP begins.
	Time time.Time `json:"time,omitzero"`
}

// errReached ends reading at the end of the range.
var errReached = errors.New("the end of the range is reached")

// Deliver delivers a range of one shard by the live protocol, with the lease in
// store, which is not the live one. It goes on where that lease stands, so a
// range that was interrupted is resumed and one that is done stays as it is; two
// that deliver it at once are two owners of a lease, of which the later fences
// the earlier. done says that the end was reached; without it ctx ended, and
// what had been read is committed.
func (r *Replay) Deliver(ctx context.Context, store checkpoint.Store, info standpipe.Shard, from consumer.Start, end End) (done bool, err error) {
	parts := r.w.parts
	parts.Store = store
	w := NewWorker(r.w.settings, parts)
	if err := w.describe(ctx); err != nil {
		return false, fmt.Errorf("describe the stream: %w", err)
	}
	if err := w.create(ctx, info, from); err != nil {
		return false, err
	}
	lease, err := store.Get(ctx, info.ID)
	if err != nil {
		return false, fmt.Errorf("read lease of %s: %w", info.ID, err)
	}
	if err := w.sameStream([]checkpoint.Lease{lease}); err != nil {
		return false, err
	}
	if lease.Checkpoint.AtEnd() {
		return true, nil
	}
	s := newShard(w, lease, info)
	// The range is a part of one shard: its children are ranges of their own.
	s.spawn = func(context.Context, *holder, standpipe.ShardID, []standpipe.Shard) ([]standpipe.ShardID, error) {
		return nil, nil
	}
	working, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)
	reading, stop := context.WithCancelCause(working)
	defer stop(nil)
	defer context.AfterFunc(ctx, func() {
		stop(context.Cause(ctx))
		time.AfterFunc(w.settings.DrainTimeout, func() { abandon(errDrainTimeout) })
	})()
	defer r.pace(s)()
	open := s.open
	s.open = func(at consumer.Start) Source {
		// A lease says what is done; until the first commit it cannot say that
		// the record it names is not.
		at.At = from.At && s.lease().Commits == 0
		return &bounded{Source: open(at), end: end, stop: stop}
	}
	if err := s.protocol.take(working, w.settings.Worker); err != nil {
		return false, err
	}
	reason, err := s.run(reading, working)
	switch {
	case err != nil:
		return false, err
	case reason == standpipe.StopShardEnd || errors.Is(context.Cause(reading), errReached):
		return true, nil
	}
	return false, context.Cause(ctx)
}

// bounded ends at the end of a range. It belongs to one goroutine.
type bounded struct {
	Source
	end  End
	stop context.CancelCauseFunc
}

// tipSlack is how much later than the end of the range a page must have been
// read that shows nothing more: clocks differ.
const tipSlack = 10 * time.Second

func (b *bounded) Decode() (*consumer.Page, error) {
	page, err := b.Source.Decode()
	if err != nil || b.end == (End{}) {
		return page, err
	}
	reached := false
	for k := range page.Records {
		if b.passed(&page.Records[k]) {
			page.Records, reached = page.Records[:k], true
			break
		}
	}
	n := len(page.Records)
	switch {
	case reached, n > 0 && string(page.Records[n-1].Sequence) == b.end.Sequence:
		page.End, page.Children = false, nil
		b.stop(errReached)
	case n == 0 && !page.End && page.Behind == 0 && b.past(page.ReadAt):
		b.stop(errReached) // nothing came until now, so nothing of the range will
	}
	return page, nil
}

func (b *bounded) passed(r *standpipe.Record) bool {
	if b.end.Sequence != "" && standpipe.CompareSequence(string(r.Sequence), b.end.Sequence) > 0 {
		return true
	}
	return !b.end.Time.IsZero() && !r.Arrival.Before(b.end.Time)
}

func (b *bounded) past(now time.Time) bool {
	return b.end.Time.IsZero() || now.After(b.end.Time.Add(tipSlack))
}
