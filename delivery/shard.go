package delivery

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// errShardEnded: the shard is delivered to its end and its lease says so.
var errShardEnded = errors.New("shard ended")

// A Source reads one shard; consumer.Reader is the real one. Owned by the
// shard's goroutine.
type Source interface {
	// Ready is the earliest time of the next Fetch.
	Ready() time.Time
	// Estimate is how many bytes to reserve for it.
	Estimate() int64
	// Fetch gets one page, undecoded. *consumer.TooLargeError when it does not
	// fit into room bytes; the next Fetch asks for the same page.
	Fetch(ctx context.Context, room int64) error
	// Decode turns what was fetched into records. CPU only.
	Decode() (*consumer.Page, error)
	// Done gives the page's memory back.
	Done()
	// Seen is the time up to which every record of the shard has been read, zero
	// if unknown. See consumer.Reader.Seen.
	Seen() time.Time
}

// shard delivers one shard: a goroutine whose state is these plain fields.
type shard struct {
	settings *Settings
	parts    *Parts
	log      *zap.Logger
	metrics  *metrics
	random   io.Reader

	protocol *protocol
	origin   manifest.Origin
	open     func(consumer.Start) Source
	spawn    func(ctx context.Context, hold *holder, parent standpipe.ShardID, named []standpipe.Shard) ([]standpipe.ShardID, error)

	source  Source
	current *flush         // takes records
	sealed  []*flush       // cut, not yet delivered, in order
	rebuilt []*sink.Writer // lost objects of a repair, in no intent yet
	taken   int64          // bytes taken from the budget
	handing bool           // draining for a successor
	need    int64          // bytes the next page is known to need, 0 if unknown

	stream    standpipe.Stream
	born      time.Time           // see births, zero if unknown
	unseen    []standpipe.ShardID // see unlisted
	noteEvery time.Duration       // see notesPerRetention

	router   router
	splitter splitter
	hand     inHand
	emit     func(line []byte, newline bool) // appendLine, made once so that a record allocates nothing

	cutOff   func() bool // see pulse.cutOff
	progress progress
	epoch    atomic.Int64 // of the lease that was taken, for whoever compares it with the row

	// status is written here and read by whoever asks.
	status atomic.Pointer[ShardStatus]
	state  ShardStatus
}

// inHand is the record that is being split, and where its lines go.
type inHand struct {
	record  *standpipe.Record
	now     time.Time
	encoder *sink.Encoder
	batch   *batcher.Batch // nil until its first line
	writer  *sink.Writer
}

func newShard(w *Worker, lease checkpoint.Lease, info standpipe.Shard) *shard {
	log := w.log.With(zap.String("shard", string(lease.Shard)))
	s := &shard{
		settings: &w.settings, parts: &w.parts, log: log, metrics: w.metrics, random: w.parts.Random,
		origin: manifest.Origin{Delivery: w.settings.Delivery, Stream: w.stream.Name, Created: lease.StreamCreated, Incarnation: lease.Incarnation, Shard: lease.Shard},
		open:   func(from consumer.Start) Source { return w.parts.Stream.Open(info, from) },
		spawn:  w.spawn,
		router: router{keyer: w.parts.Keyer, oldest: w.settings.OldestInObject},
		state:  ShardStatus{Shard: lease.Shard, Parents: lease.Parents, Gaps: gapsOf(lease), Begun: time.Now()},

		stream: w.stream, noteEvery: max(w.stream.Retention/notesPerRetention, time.Minute),
	}
	s.splitter = newSplitter(w.settings, info)
	s.emit = s.appendLine
	s.cutOff = w.pulse.cutOff
	s.progress.expect(0)
	hold := w.holder(log, func(why string) { s.state.Holding = why; s.publishStatus() })
	hold.expect = s.progress.expect
	s.protocol = &protocol{
		lease: lease, store: w.parts.Store, sink: w.parts.Sink, hold: hold, policy: w.settings.Absence,
		rebuild: s.rebuild, published: s.delivered, random: s.randomHex, breaks: w.breaks, inline: w.inline,
	}
	s.enter(StateOpening)
	return s
}

func (s *shard) lease() *checkpoint.Lease { return &s.protocol.lease }

// run delivers the shard until it ends, reading is cancelled, or something
// happens that only a restart or a person can mend. Cancelling reading stops
// intake and delivers what is buffered; cancelling working, from which reading
// derives, abandons it, which is safe: the checkpoint has not passed it.
//
// Reading again helps once. When the same range has to be read again and again,
// the store forgets what it is given, and only rest keeps it and the stream from
// being asked without end: the shard fails.
//
// StopShutdown comes with an error when what was to be read again was not: the
// lease is free, and its next owner reads it.
func (s *shard) run(reading, working context.Context) (standpipe.StopReason, error) {
	defer s.drop()
	// What was to be read again: from where the last time, up to where at most, why.
	var from standpipe.Position
	taken := s.lease().Checkpoint
	var why error
	for {
		err := s.follow(reading, working)
		again, ok := errors.AsType[*rereadError](err)
		switch {
		case ok && s.lease().Checkpoint != from:
			from, why = s.lease().Checkpoint, again
			if s.current != nil && s.current.end().Compare(taken) > 0 {
				taken = s.current.end()
			}
			s.log.Warn("reading again from the checkpoint", zap.Stringer("checkpoint", from), zap.Error(again.why))
			s.metrics.rereads.Inc()
			s.discard(working)
		case errors.Is(err, errShardEnded):
			s.enter(StateEnded)
			return standpipe.StopShardEnd, nil
		case errors.Is(err, errLeaseLost):
			s.metrics.leaseLost.Inc()
			s.enter(StateLost)
			return standpipe.StopLeaseLost, err
		case errors.Is(err, errDrained):
			s.enter(StateReleased)
			done := s.lease().Checkpoint
			if p := s.lease().Pending; p != nil { // left to the successor
				done = p.Position
			}
			if done.Compare(taken) < 0 {
				return standpipe.StopShutdown, fmt.Errorf("left to the next owner: %w", why)
			}
			return standpipe.StopShutdown, nil
		default:
			s.enter(StateFailed)
			return standpipe.StopFailed, err
		}
	}
}

// follow finishes what a predecessor prepared, then reads from the checkpoint.
func (s *shard) follow(reading, working context.Context) error {
	if s.lease().Pending != nil {
		s.enter(StateRecovering)
		s.log.Info("finishing a prepared flush", zap.Stringer("base", s.lease().Checkpoint))
		if err := s.recover(working); err != nil {
			return err
		}
	}
	if s.lease().Checkpoint.AtEnd() {
		return errShardEnded
	}
	if err := s.begin(working); err != nil {
		return err
	}
	l := s.lease()
	s.source = s.open(consumer.Start{Position: l.Checkpoint, Time: l.StartTime, Seen: l.Seen, Inside: l.Adopted()})
	s.current = s.newFlush(l.Checkpoint)
	s.enter(StateDelivering)
	for {
		if err := s.step(reading, working); err != nil {
			return err
		}
	}
}

// begin notes, before the first read, since when the records of a shard are
// wanted that has no position yet, if its row does not say it: a child's from
// its birth, the others' from this horizon. A later start knows by it whether
// records were trimmed meanwhile.
func (s *shard) begin(working context.Context) error {
	l := s.lease()
	since := s.born.UTC()
	if since.IsZero() && l.Seen.IsZero() {
		since = asked(consumer.Start{Time: l.StartTime}, s.stream, time.Now())
	}
	if !l.Checkpoint.AtStart() || !since.After(l.Seen) || s.protocol.breaks.forgetStart {
		return nil
	}
	return s.protocol.note(working, since)
}

// step does the next thing the shard is ready for: seal by age, wait, or take
// one page all the way. It is the whole loop; tests call it directly.
func (s *shard) step(reading, working context.Context) error {
	s.progress.expect(0)
	if working.Err() != nil {
		return context.Cause(working) // not one more write
	}
	if reading.Err() != nil {
		return s.drain(working, successorOf(reading))
	}
	now := time.Now()
	if s.current.set.Due(now) {
		if err := s.seal(working, standpipe.SealAge); err != nil {
			return err
		}
		return s.deliverSealed(working)
	}
	if until := s.next(); now.Before(until) {
		wait(reading, until)
		return nil
	}
	if seen := s.idleSince(); seen.Sub(s.lease().Seen) >= s.noteEvery {
		if err := s.protocol.note(working, seen); err != nil {
			return err
		}
	}
	if s.cutOff() {
		s.state.Holding = "the checkpoint store takes no heartbeat: others may own this shard by now"
		s.publishStatus()
		wait(reading, now.Add(cutOffPause))
		return nil
	}
	room, err := s.reserve(reading, working)
	if err != nil || room == 0 {
		return err
	}
	if ok, err := s.fetch(reading, room); !ok {
		return err
	}
	return s.take(working)
}

// idleSince is the time up to which everything in the shard is delivered, zero
// while something is on its way. It says nothing of a position that standpipe
// did not write: what is known of that is what its row says.
func (s *shard) idleSince() time.Time {
	l := s.lease()
	if s.source == nil || len(s.sealed) > 0 || !s.current.vacant() || l.Adopted() {
		return time.Time{}
	}
	return s.source.Seen()
}

// notesPerRetention is how often in a retention an idle shard's row is written,
// so that a crash leaves no doubt whether something was trimmed meanwhile.
const notesPerRetention = 4

// cutOffPause is how often a shard asks whether its worker is still cut off.
const cutOffPause = time.Second

// next is when there is something to do: read, or seal what gets too old.
func (s *shard) next() time.Time {
	until := s.source.Ready()
	if !s.current.set.Empty() && s.current.set.NextSeal().Before(until) {
		return s.current.set.NextSeal()
	}
	return until
}

// roomFor is what a page of n bytes can take: the body, the lines copied out
// of it, and the blocks and chunk of a newly opened object.
func roomFor(n int64) int64 { return 2*n + 1<<20 }

// reserve takes the memory for a page before it is read. When there is not
// enough, what the shard holds is delivered first: every shard that wants to
// read does so, which is how the budget becomes free again. It returns 0 when
// intake was stopped meanwhile.
func (s *shard) reserve(reading, working context.Context) (room int64, err error) {
	room = max(s.need, s.source.Estimate())
	want := roomFor(room)
	if !s.parts.Budget.TryAcquire(want) {
		if err := s.seal(working, standpipe.SealMemory); err != nil {
			return 0, err
		}
		if err := s.deliverSealed(working); err != nil {
			return 0, err
		}
		if s.acquire(reading, want) != nil {
			return 0, nil // stopped: the next step drains
		}
	}
	s.taken += want
	return room, nil
}

// acquire waits for n bytes of the budget, for as long as it takes: it is
// others that have to give them back.
func (s *shard) acquire(ctx context.Context, n int64) error {
	if s.parts.Budget.TryAcquire(n) {
		return nil
	}
	s.state.Holding = "waiting for memory"
	s.publishStatus()
	s.progress.expect(endless)
	defer s.progress.expect(0)
	err := s.parts.Budget.Acquire(ctx, n)
	s.state.Holding = ""
	return err
}

// fetch reads one page. Failing reads are the source's to pace: they only mean
// that there is nothing to take yet.
func (s *shard) fetch(reading context.Context, room int64) (ok bool, err error) {
	err = s.source.Fetch(reading, room)
	if err == nil {
		s.need = 0
		return true, nil
	}
	s.account()
	if large, ok := errors.AsType[*consumer.TooLargeError](err); ok {
		s.need = large.Need
		return false, nil
	}
	if reading.Err() != nil {
		return false, nil
	}
	return false, s.readFailed(err)
}

// readFailed counts and shows a page that could not be had. It returns err
// when repeating cannot help.
func (s *shard) readFailed(err error) error {
	class := standpipe.ClassOf(err)
	s.metrics.readErrors.WithLabelValues(string(class)).Inc()
	if class == standpipe.Throttled {
		s.metrics.throttled.WithLabelValues(opGetRecords).Inc()
	}
	if class == standpipe.Fatal {
		return err
	}
	if s.state.Holding == "" { // once per outage
		s.log.Warn("reading is held up", zap.Error(err))
	}
	s.state.Holding = err.Error()
	s.publishStatus()
	return nil
}

// take turns the page into lines of open objects and then, without holding an
// encoder slot, does the I/O this has made due.
func (s *shard) take(working context.Context) error {
	ended, children, err := s.decode(working)
	switch {
	case err != nil:
		return err
	case ended:
		return s.endShard(working, children)
	}
	if err := s.upload(working); err != nil {
		return err
	}
	return s.deliverSealed(working)
}

// decode decodes the page under an encoder slot and routes its records into
// open objects. The slot is deferred back: a panic over one record must not
// take it from all other shards.
func (s *shard) decode(working context.Context) (ended bool, children []standpipe.Shard, err error) {
	e, err := s.parts.Slots.Acquire(working)
	if err != nil {
		return false, nil, err
	}
	defer s.account()
	defer s.parts.Slots.Release(e)
	defer s.source.Done()
	page, err := s.source.Decode()
	if err != nil {
		return false, nil, s.readFailed(err)
	}
	s.state.Holding = ""
	packed := s.splitter.packed
	s.acceptPage(page, e)
	if s.splitter.packed && !packed { // once
		s.log.Warn("records are KPL aggregates and are delivered as they are: set Standpipe.Deaggregation to keep-all to unpack them")
	}
	s.observe(page)
	return page.End, slices.Clone(page.Children), nil
}

func (s *shard) acceptPage(page *consumer.Page, e *sink.Encoder) {
	if page.Gap != nil {
		s.recordGap(page.Gap)
	}
	now := page.ReadAt
	for i := range page.Records {
		skip := int64(0)
		if i == 0 {
			skip = page.Skip
		}
		s.accept(&page.Records[i], skip, e, now)
	}
}

// accept takes one record: splits it, routes its lines, and seals the flush
// when that made a batch full. The record is placed whole in one object.
func (s *shard) accept(r *standpipe.Record, skip int64, e *sink.Encoder, now time.Time) {
	f := s.current
	if f.set.Empty() {
		f.first = append(f.first[:0], r.Sequence...)
	}
	f.last = append(f.last[:0], r.Sequence...)
	s.hand = inHand{record: r, encoder: e, now: now}
	var corrupt bool
	f.sub, corrupt = s.splitter.each(r, skip, s.emit)
	if corrupt {
		s.metrics.corrupt.Inc()
	}
	if s.hand.batch == nil {
		f.set.Drop(r, now)
		s.metrics.dropped.Inc()
	}
	if reason, full := f.set.Full(s.hand.batch); full {
		s.cut(reason, e)
	}
}

// place routes the record in hand to its object, opening it if need be. It is
// called with the record's first line, so a record without lines opens none.
func (s *shard) place() {
	f, h := s.current, &s.hand
	h.batch = f.set.Add(h.record, s.router.route(h.record.Arrival), h.now)
	for len(f.writers) < len(f.set.Batches) {
		f.writers = append(f.writers, s.newWriter(f.id, h.record.Arrival))
	}
	for n, b := range f.set.Batches {
		if b == h.batch {
			h.writer = f.writers[n]
		}
	}
}

func (s *shard) appendLine(line []byte, newline bool) {
	if s.hand.batch == nil {
		s.place()
	}
	size := len(line)
	if newline {
		size++
	}
	s.hand.batch.Line(line, size)
	s.hand.writer.Append(s.hand.encoder, line, newline)
}

// newWriter opens an object in memory. Its key is fixed here, by the oldest
// record's arrival, and carried in the plan; it is never computed again.
func (s *shard) newWriter(id FlushID, oldest time.Time) *sink.Writer {
	var options sink.WriterOptions
	if s.settings.AtLeastOnce {
		options.PartSize = sink.WholePart
	}
	return sink.NewWriter(s.parts.Sink, s.parts.Codec, sink.Object{
		Key:             s.parts.Keyer.Key(oldest, s.uuid()),
		ContentEncoding: s.parts.Codec.ContentEncoding(),
		Metadata:        map[string]string{manifest.MetaIntent: id.String(), "standpipe-shard": string(s.origin.Shard)},
	}, options)
}

// newFlush opens the flush that follows everything sealed.
func (s *shard) newFlush(base standpipe.Position) *flush {
	l := s.lease()
	return &flush{
		id:   FlushID{Epoch: l.Epoch, Flush: l.Flush + 1 + int64(len(s.sealed)), Random: s.randomHex()},
		base: base,
		set:  batcher.NewSet(s.settings.Limits),
	}
}

// cut seals the current flush with e and opens the next one.
func (s *shard) cut(reason standpipe.SealReason, e *sink.Encoder) {
	f := s.current
	if f.vacant() {
		return
	}
	f.reason = reason
	for _, w := range f.writers {
		w.Finish(e)
	}
	s.sealed = append(s.sealed, f)
	s.current = s.newFlush(f.end())
}

// seal is cut for callers that hold no encoder slot.
func (s *shard) seal(working context.Context, reason standpipe.SealReason) error {
	if s.current.vacant() {
		return nil
	}
	e, err := s.parts.Slots.Acquire(working)
	if err != nil {
		return err
	}
	defer s.parts.Slots.Release(e)
	s.cut(reason, e)
	return nil
}

// deliverSealed delivers what was cut, oldest first. This is the one place
// from which a checkpoint moves.
func (s *shard) deliverSealed(working context.Context) error {
	for len(s.sealed) > 0 {
		f := s.sealed[0]
		begun := time.Now()
		deliver := s.deliver
		if s.settings.AtLeastOnce {
			deliver = s.deliverAtLeastOnce
		}
		if err := deliver(working, f); err != nil {
			return err
		}
		s.metrics.duration.Observe(time.Since(begun).Seconds())
		s.sealed = s.sealed[1:]
		s.account()
	}
	return nil
}

// upload makes the full parts of open objects durable and so frees their
// memory. The cheap mode keeps its objects whole until they are put.
func (s *shard) upload(working context.Context) error {
	if s.settings.AtLeastOnce {
		return nil
	}
	return s.unstaged(s.uploadParts(working, s.current.writers))
}

// uploadParts uploads the full parts of objects and gives their memory back.
func (s *shard) uploadParts(working context.Context, objects []*sink.Writer) error {
	for _, w := range objects {
		if err := s.protocol.hold.do(working, "upload "+w.Object().Key, dataLimit, w.Upload); err != nil {
			return err
		}
	}
	s.account()
	return nil
}

// endShard delivers the last flush. The children's leases are made first, so
// that no crash can leave a finished parent without them.
func (s *shard) endShard(working context.Context, named []standpipe.Shard) error {
	children, err := s.spawn(working, s.protocol.hold, s.origin.Shard, named)
	if err != nil {
		return err
	}
	s.current.ended, s.current.children = true, children
	if err := s.seal(working, standpipe.SealShardEnd); err != nil {
		return err
	}
	if err := s.deliverSealed(working); err != nil {
		return err
	}
	s.log.Info("shard ended", zap.Any("children", children))
	return errShardEnded
}

// account gives back what the shard took from the budget and no longer holds.
func (s *shard) account() {
	var held int64
	for _, f := range s.sealed {
		held += f.held()
	}
	if s.current != nil {
		held += s.current.held()
	}
	for _, w := range s.rebuilt {
		held += w.Held()
	}
	s.state.Buffered = held
	s.parts.Budget.Resize(s.taken, held)
	s.taken = held
}

// wait sleeps until the time has come or ctx ends.
func wait(ctx context.Context, until time.Time) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (s *shard) uuid() string {
	id, err := uuid.NewRandomFromReader(s.random)
	if err != nil { // the system's random source failed: nothing unique can be named
		panic(fmt.Sprintf("make uuid: %v", err))
	}
	return id.String()
}

func (s *shard) randomHex() string {
	var b [16]byte
	if _, err := io.ReadFull(s.random, b[:]); err != nil {
		panic(fmt.Sprintf("make random name: %v", err))
	}
	return hex.EncodeToString(b[:])
}
