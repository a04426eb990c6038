package delivery

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/manifest"
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
	StateFailed     State = "failed" // will be begun again
)

// States lists every state, for pre-created metrics series.
var States = []State{
	StateWaiting, StateOpening, StateRecovering, StateDelivering, StateDraining,
	StateEnded, StateReleased, StateLost, StateFailed,
}

// A ShardStatus is what a person wants to know of one shard.
type ShardStatus struct {
	Shard   standpipe.ShardID
	State   State
	Parents []standpipe.ShardID
	// WaitingFor are the parents that have to end first.
	WaitingFor []standpipe.ShardID
	Checkpoint standpipe.Position
	// Committed is the arrival time of the last committed record.
	Committed time.Time
	// Behind is how far the last page was from the tip, at ReadAt.
	Behind time.Duration
	ReadAt time.Time
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
	Gaps                                 []FoundGap
	// Pending is the flush that is prepared and not yet committed.
	Pending *PendingFlush
	// Holding says what the shard is held up by, "" when it is not.
	Holding string
	// Error is why the shard failed last, "" when it has not.
	Error string
}

// A DeliveredObject is a visible object of a committed flush.
type DeliveredObject struct {
	Key         string
	At          time.Time
	Size, Lines int64
	Reason      standpipe.SealReason
}

// A FoundGap is a Gap with what is known of it.
type FoundGap struct {
	manifest.Gap
	Found time.Time
	Cause string
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
	c.Checkpoint, c.Committed = s.lease().Checkpoint, s.lease().Seen
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
	s.current.gaps = append(s.current.gaps, manifest.Gap{After: g.After, Before: g.Before, Certain: g.Certain})
	s.metrics.gaps.Inc()
	if len(s.state.Gaps) < gapsKept {
		s.state.Gaps = append(slices.Clone(s.state.Gaps), FoundGap{s.current.gaps[len(s.current.gaps)-1], time.Now(), string(g.Reason)})
	}
	s.log.Error("records are missing: retention trimmed them before they were read",
		zap.Stringer("after", g.After), zap.String("before", g.Before), zap.Bool("certain", g.Certain), zap.String("reason", g.Reason))
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
