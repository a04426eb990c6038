package delivery

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
)

// A State is where a shard is in its life; see the diagram in doc.go.
type State string

// The states.
const (
	StateWaiting    State = "waiting"    // a parent is not delivered to its end
	StateOpening    State = "opening"    // the lease is ours, nothing is read yet
	StateRecovering State = "recovering" // a predecessor's flush is being finished
	StateDelivering State = "delivering"
	StateDraining   State = "draining" // intake was stopped
	StateEnded      State = "ended"    // delivered to its end
	StateReleased   State = "released"
	StateLost       State = "lost"
	StateFailed     State = "failed"    // will be begun again
	StateElsewhere  State = "elsewhere" // another worker delivers it
	StateUnowned    State = "unowned"   // could be delivered, and is with nobody
)

// States lists every state, for pre-created metrics series.
var States = []State{
	StateWaiting, StateOpening, StateRecovering, StateDelivering, StateDraining,
	StateEnded, StateReleased, StateLost, StateFailed, StateElsewhere, StateUnowned,
}

// A ShardStatus is what a person wants to know of one shard.
type ShardStatus struct {
	Shard   standpipe.ShardID
	State   State
	Parents []standpipe.ShardID
	// WaitingFor are the parents that have to end first.
	WaitingFor []standpipe.ShardID
	// Owner is the worker that has the lease, "" when nobody has; Successor is
	// who may take it first then.
	Owner, Successor string
	Checkpoint       standpipe.Position
	// Committed is the arrival time of the last committed record.
	Committed time.Time
	// Behind is how far the last page was from the tip, at ReadAt.
	Behind time.Duration
	ReadAt time.Time
	// Begun is when this worker took the shard, before any failures in a row.
	Begun time.Time
	// Buffered is memory in bytes; Oldest is when the open flush took its first record.
	Buffered int64
	Oldest   time.Time
	// OldestArrival is the arrival of the oldest record not yet committed,
	// zero when there is none.
	OldestArrival   time.Time
	BufferedRecords int64
	// Read since the start: stream records and their payload.
	RecordsRead, BytesRead int64
	// Delivered since the start; ObjectBytes after compression.
	Records, Lines, Objects, ObjectBytes int64
	LastObject                           DeliveredObject
	Gaps                                 []standpipe.Gap
	// Pending is the flush that is prepared and not yet committed.
	Pending *PendingFlush
	// Holding says what the shard is held up by, "" when it is not.
	Holding string
	// Error is why the shard failed last, "" when it has not.
	Error string
}

// Unread is for how long nothing was read of a shard that this worker delivers, 0
// while pages come. Nobody knows what arrived in it since.
func (c *ShardStatus) Unread(now time.Time) time.Duration {
	switch c.State {
	case StateOpening, StateRecovering, StateDelivering, StateFailed:
	default:
		return 0
	}
	since := c.ReadAt
	if since.IsZero() {
		since = c.Begun
	}
	if d := now.Sub(since); !since.IsZero() && d > unreadAfter {
		return d
	}
	return 0
}

// A DeliveredObject is a visible object of a committed flush.
type DeliveredObject struct {
	Key         string
	At          time.Time
	Size, Lines int64
	Reason      standpipe.SealReason
}

// A PendingFlush is an intent between PREPARE and COMMIT.
type PendingFlush struct {
	ID      FlushID
	Last    standpipe.Position
	Opened  time.Time
	Objects int
}

// gapsKept bounds the gaps a status lists; manifests keep them all.
const gapsKept = 20

func (s *shard) enter(state State) {
	s.state.State = state
	s.publishStatus()
}

// publishStatus makes a copy for whoever asks; only the shard's goroutine calls it.
func (s *shard) publishStatus() {
	c := s.state
	c.Checkpoint, c.Committed = s.lease().Checkpoint, s.lease().Delivered()
	c.Owner, c.Successor = s.lease().Owner, s.lease().Successor
	c.Oldest, c.OldestArrival, c.BufferedRecords = time.Time{}, time.Time{}, 0
	for _, f := range append(s.sealed[:len(s.sealed):len(s.sealed)], s.current) {
		if f == nil || f.set.Empty() {
			continue
		}
		if c.Oldest.IsZero() {
			c.Oldest = f.set.Opened()
		}
		c.BufferedRecords += f.set.Records
		for _, b := range f.set.Batches {
			if c.OldestArrival.IsZero() || b.ArrivalMin.Before(c.OldestArrival) {
				c.OldestArrival = b.ArrivalMin
			}
		}
	}
	s.status.Store(&c)
}

func (s *shard) observe(page *consumer.Page) {
	s.metrics.readRecords.Add(float64(len(page.Records)))
	s.metrics.readBytes.Add(float64(page.Bytes))
	s.metrics.behind.WithLabelValues(string(s.origin.Shard)).Set(page.Behind.Seconds())
	if page.FromLatest {
		s.log.Warn("the starting time lies ahead of Kinesis's clock, reading from the tip", zap.Time("start", s.lease().StartTime))
	}
	s.state.Behind, s.state.ReadAt = page.Behind, page.ReadAt
	s.state.RecordsRead += int64(len(page.Records))
	s.state.BytesRead += page.Bytes
	s.publishStatus()
}

// recordGap notes what retention took before it was read. The gap travels with
// the flush into its manifest, so it can be found years later.
func (s *shard) recordGap(g *consumer.Gap) {
	gap := standpipe.Gap{After: g.After, Before: g.Before, Certain: g.Certain, Cause: g.Reason, Found: time.Now().UTC()}
	s.current.gaps = append(s.current.gaps, gap)
	s.metrics.gaps.Inc()
	if len(s.state.Gaps) < gapsKept {
		s.state.Gaps = append(slices.Clone(s.state.Gaps), gap)
	}
	s.log.Error("records are missing: retention trimmed them before they were read",
		zap.Stringer("after", g.After), zap.String("before", g.Before), zap.Bool("certain", g.Certain), zap.String("reason", g.Reason))
}

// gapsOf is what a lease remembers of its shard's gaps: the last one.
func gapsOf(l checkpoint.Lease) []standpipe.Gap {
	if l.LastGap == nil {
		return nil
	}
	return []standpipe.Gap{*l.LastGap}
}

// delivered is told of every committed flush: one log line per object, then
// the counters.
func (s *shard) delivered(i Intent, plan Plan) {
	now := time.Now()
	for _, o := range plan.Objects {
		s.log.Info("object delivered", zap.String("key", o.Key), zap.String("reason", string(plan.Reason)),
			zap.String("first", o.First), zap.String("last", o.Last), zap.Int64("records", o.Records), zap.Int64("lines", o.Lines),
			zap.Int64("bytes", o.Bytes), zap.Int64("size", o.Size()), zap.Duration("took", now.Sub(i.Opened)))
		s.metrics.records.WithLabelValues(resultDelivered).Add(float64(o.Records))
		s.metrics.bytes.WithLabelValues(resultDelivered).Add(float64(o.Bytes))
		s.metrics.objects.WithLabelValues(resultDelivered).Inc()
		s.metrics.lines.Add(float64(o.Lines))
		s.metrics.encodedBytes.Add(float64(o.Size()))
		s.state.Records += o.Records
		s.state.Lines += o.Lines
		s.state.Objects++
		s.state.ObjectBytes += o.Size()
		s.state.LastObject = DeliveredObject{Key: o.Key, At: now, Size: o.Size(), Lines: o.Lines, Reason: plan.Reason}
	}
	s.state.Pending = nil
	s.metrics.sealed.WithLabelValues(string(plan.Reason)).Inc()
	if !plan.Seen.IsZero() {
		s.metrics.checkpointAge.WithLabelValues(string(s.origin.Shard)).Set(float64(plan.Seen.UnixMilli()) / 1000)
	}
	s.publishStatus()
}

// Status is what every shard is doing, ordered by shard id.
func (w *Worker) Status() []ShardStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]ShardStatus, 0, len(w.shards))
	for _, r := range w.shards {
		st := r.last
		if r.shard != nil {
			st = *r.shard.status.Load()
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b ShardStatus) int {
		if a.Shard < b.Shard {
			return -1
		}
		return 1
	})
	return all
}

// Stream is the source as it described itself; zero before Run has asked.
func (w *Worker) Stream() standpipe.Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream
}

// show sets what a lease tells of a shard that does not run here.
func (c *ShardStatus) show(l checkpoint.Lease, waitingFor []standpipe.ShardID, holder string) {
	c.Shard, c.Parents, c.Checkpoint, c.Committed = l.Shard, l.Parents, l.Checkpoint, l.Delivered()
	c.Owner, c.Successor, c.WaitingFor = l.Owner, l.Successor, waitingFor
	c.Holding, c.Error, c.Pending = "", "", nil
	if len(c.Gaps) == 0 {
		c.Gaps = gapsOf(l)
	}
	c.Oldest, c.OldestArrival, c.BufferedRecords = time.Time{}, time.Time{}, 0
	switch {
	case l.Checkpoint.AtEnd():
		c.State = StateEnded
	case len(waitingFor) > 0:
		c.State = StateWaiting
	case holder != "":
		c.State = StateElsewhere
	default:
		c.State = StateUnowned
	}
}

// A Fleet is what a worker saw of all workers when it last looked.
type Fleet struct {
	// Workers are those that live, this one included, by id.
	Workers []FleetWorker
	// Unowned is the number of shards that could be delivered and are with
	// nobody. More than 0 is normal for seconds after a worker came or went.
	Unowned int
	// Starved is the number of shards that nobody may take, because the
	// workers' capacities add up to too little.
	Starved int
	// CutOff says that this worker's heartbeats are not stored and it has
	// stopped reading.
	CutOff bool
}

// A FleetWorker is one worker and the number of shards it delivers.
type FleetWorker struct {
	checkpoint.Worker
	Shards int
}

// Fleet is what this worker saw of the others.
func (w *Worker) Fleet() Fleet {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.fleet
	f.CutOff = w.pulse.cutOff()
	return f
}

// show takes note of a look for status, and says aloud when limits leave
// shards with nobody.
func (l *loop) show(plan checkpoint.Plan) {
	f := Fleet{Starved: plan.Starved}
	shards, taken := map[string]int{}, map[standpipe.ShardID]bool{}
	for _, lease := range plan.Take {
		taken[lease.Shard] = true
	}
	for _, s := range l.view.Seats {
		holder := s.Holder
		if taken[s.Shard] {
			holder = l.settings.Worker // or the next look finds it free again
		}
		shards[holder]++
	}
	f.Unowned = shards[""]
	for _, w := range l.view.Workers {
		f.Workers = append(f.Workers, FleetWorker{w, shards[w.ID]})
	}
	l.mu.Lock()
	before := l.fleet
	l.fleet = f
	l.mu.Unlock()
	switch {
	case plan.Starved > 0 && before.Starved == 0:
		l.log.Error("shards are with nobody: raise Standpipe.Lease.MaxShards or add workers", zap.Int("shards", plan.Starved), zap.Int("workers", len(f.Workers)))
	case plan.Starved == 0 && before.Starved > 0:
		l.log.Info("every shard has a worker again")
	}
	if len(before.Workers) != len(f.Workers) && len(before.Workers) > 0 {
		l.log.Info("the fleet changed", zap.Int("workers", len(f.Workers)), zap.Int("before", len(before.Workers)))
	}
}
