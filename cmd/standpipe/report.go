package main

import (
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/status"
)

func until(g standpipe.Gap) *standpipe.Position {
	if g.Before == "" {
		return nil
	}
	return &standpipe.Position{Sequence: g.Before}
}

// Report implements status.Reporter: what the worker knows, in the words of
// the status page.
func (s *service) Report(now time.Time) status.Report {
	stream := s.worker.Stream()
	r := status.Report{
		Time:   now.UTC(),
		Worker: status.Worker{ID: s.id, Version: build().Version, Started: s.start.UTC(), UptimeSeconds: *status.SecondsOf(now.Sub(s.start))},
		Stream: status.Stream{
			Delivery: s.cfg.DeliveryStreamName, Name: s.cfg.KinesisStreamSourceConfiguration.StreamName(), ARN: stream.ARN,
			RetentionSeconds: *status.SecondsOf(stream.Retention), Destination: s.dest,
		},
		FreshnessLimitSeconds: status.SecondsOf(s.cfg.ExtendedS3DestinationConfiguration.BufferingHints.Interval()),
		BufferedBytes:         s.budget.Used(), BufferLimitBytes: s.budget.Size(),
	}
	fill(&r, s.worker.Status(), s.worker.Fleet(), s.id, now)
	if stream.Retention > 0 {
		r.HeadroomSeconds = status.SecondsOf(s.worker.Headroom(now))
	}
	return r
}

// fill puts what is known of shards and workers into a report. me is the
// worker that reports, "" when none does.
func fill(r *status.Report, shards []delivery.ShardStatus, fleet delivery.Fleet, me string, now time.Time) {
	r.Unowned, r.Starved = fleet.Unowned, fleet.Starved
	for _, w := range fleet.Workers {
		r.Fleet = append(r.Fleet, status.FleetWorker{
			ID: w.ID, Version: w.Version, Started: w.Started.UTC(), Address: w.Address, Shards: w.Shards, Leaving: w.Leaving,
		})
	}
	read := map[standpipe.ShardID]delivery.ShardStatus{}
	for _, st := range shards {
		read[st.Shard] = st
	}
	for _, st := range shards {
		shard := shardReport(st, me, now)
		if len(st.WaitingFor) > 0 {
			shard.Problem = waitsFor(st, read, now)
		}
		r.Shards = append(r.Shards, shard)
		if age := shard.OldestSeconds; age != nil && (r.FreshnessSeconds == nil || *age > *r.FreshnessSeconds) {
			r.FreshnessSeconds = age
		}
		r.Totals.RecordsRead += st.RecordsRead
		r.Totals.BytesRead += st.BytesRead
		r.Totals.LinesDelivered += st.Lines
		r.Totals.ObjectsPublished += st.Objects
		r.Totals.BytesPublished += st.ObjectBytes
		for _, g := range st.Gaps {
			r.Gaps = append(r.Gaps, status.Gap{Shard: st.Shard, After: g.After, Until: until(g), Found: g.Found, Cause: g.Cause})
		}
		if st.Holding != "" {
			r.Problems = append(r.Problems, status.Problem{Time: now.UTC(), Text: string(st.Shard) + ": " + st.Holding})
		}
		if st.Pending != nil {
			r.Intents = append(r.Intents, status.Intent{
				Shard: st.Shard, ID: st.Pending.ID.String(), Last: st.Pending.Last,
				Prepared: st.Pending.Opened, Objects: st.Pending.Objects,
			})
		}
	}
}

// waitsFor says which parents have to end first and how much is left of each:
// by its reader if that is here, else by what it has delivered.
func waitsFor(st delivery.ShardStatus, all map[standpipe.ShardID]delivery.ShardStatus, now time.Time) string {
	var parents []string
	for _, id := range st.WaitingFor {
		left := "not begun"
		switch p := all[id]; {
		case !p.ReadAt.IsZero():
			left = formatAge(p.Behind) + " behind"
		case !p.Committed.IsZero():
			left = "delivered up to " + formatAge(now.Sub(p.Committed)) + " ago"
		}
		parents = append(parents, string(id)+" ("+left+")")
	}
	return "waits for the end of " + strings.Join(parents, " and ")
}

var shardStates = map[delivery.State]status.ShardState{
	delivery.StateWaiting: status.ShardWaiting, delivery.StateOpening: status.ShardOpening,
	delivery.StateRecovering: status.ShardOpening, delivery.StateDelivering: status.ShardDelivering,
	delivery.StateDraining: status.ShardDraining, delivery.StateEnded: status.ShardEnded,
	delivery.StateReleased: status.ShardUnowned, delivery.StateLost: status.ShardUnowned, delivery.StateFailed: status.ShardFailed,
	delivery.StateElsewhere: status.ShardDelivering, delivery.StateUnowned: status.ShardUnowned,
}

func shardReport(st delivery.ShardStatus, me string, now time.Time) status.Shard {
	shard := status.Shard{
		ID: st.Shard, State: shardStates[st.State], BufferedBytes: st.Buffered, BufferedRecords: st.BufferedRecords,
		CheckpointTime: st.Committed.UTC(), Problem: st.Error, Owner: st.Owner,
	}
	if st.Holding != "" {
		shard.Problem = st.Holding
	}
	if st.Checkpoint.Sequence != "" {
		shard.Checkpoint = &st.Checkpoint
	}
	switch st.State {
	case delivery.StateOpening, delivery.StateRecovering, delivery.StateDelivering, delivery.StateDraining:
		shard.Owner, shard.Mine = me, true
	case delivery.StateElsewhere:
		if st.Owner == "" { // on its way
			shard.State, shard.Owner = status.ShardOpening, st.Successor
		}
	}
	if !st.ReadAt.IsZero() {
		shard.BehindSeconds = status.SecondsOf(st.Behind)
	}
	if unread := st.Unread(now); unread > 0 {
		shard.UnreadSeconds = status.SecondsOf(unread)
	}
	if !st.OldestArrival.IsZero() {
		shard.OldestSeconds = status.SecondsOf(now.Sub(st.OldestArrival))
	}
	if st.LastObject.Key != "" {
		o := st.LastObject
		shard.LastObject = &status.Object{Time: o.At.UTC(), Key: o.Key, Bytes: o.Size, Lines: o.Lines, Reason: o.Reason}
	}
	return shard
}
