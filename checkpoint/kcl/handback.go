package kcl

import (
	"fmt"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// A HandBack is what becomes of one lease when a KCL application continues.
type HandBack struct {
	Lease checkpoint.Lease
	Notes []string
	// Refusal is why it cannot be handed back yet, and what to do.
	Refusal string
	Rewrite Rewrite
}

// Return says how every lease of ours is written so that a KCL application can
// continue from the table whose leases are rows: with all that KCL wants to
// find, free, and without the mark that makes a row ours. clean removes all of
// our attributes. It changes nothing.
//
// A lease that still has an owner is handed back only if that is one of the
// workers given: they were seen not to move. Of any other nothing is known.
func Return(leases []checkpoint.Lease, workers []checkpoint.Worker, rows []Row, source Source, clean bool) []HandBack {
	form := formOf(rows, source)
	existing := map[string]Row{}
	for _, row := range rows {
		existing[row.Key] = row
	}
	leases = withChildren(leases, source.Shards)
	all := make([]HandBack, 0, len(leases))
	for _, l := range leases {
		h := HandBack{Lease: l}
		h.fill(source.Shards)
		h.judge(slices.ContainsFunc(workers, func(w checkpoint.Worker) bool { return w.ID == l.Owner }))
		h.Rewrite = h.rewrite(form, clean)
		if row, ok := existing[h.Rewrite.Key]; ok {
			h.onto(row)
		}
		all = append(all, h)
	}
	return all
}

// formOf is how keys are written in the table: multi-stream if its rows of our
// stream are.
func formOf(rows []Row, source Source) Stream {
	for _, row := range rows {
		if row.Stream.Name == source.Name && row.Stream.Created == source.Created.Unix() {
			return row.Stream
		}
	}
	return Stream{}
}

// withChildren adds the leases that KCL expects beside a finished shard: one
// for each child that the stream still has.
func withChildren(leases []checkpoint.Lease, shards []standpipe.Shard) []checkpoint.Lease {
	all := slices.Clone(leases)
	has := func(id standpipe.ShardID) bool {
		return slices.ContainsFunc(all, func(l checkpoint.Lease) bool { return l.Shard == id })
	}
	ended := func(id standpipe.ShardID) bool {
		return slices.ContainsFunc(leases, func(l checkpoint.Lease) bool { return l.Shard == id && l.Checkpoint.AtEnd() })
	}
	for _, s := range shards {
		if !has(s.ID) && slices.ContainsFunc(s.Parents, ended) {
			all = append(all, checkpoint.Lease{Shard: s.ID, Parents: s.Parents, Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon}})
		}
	}
	return all
}

// fill completes the hash keys, and at the end of a shard its children.
func (h *HandBack) fill(shards []standpipe.Shard) {
	l := &h.Lease
	var children []standpipe.ShardID
	for _, s := range shards {
		if s.ID == l.Shard && (l.HashStart == "" || l.HashEnd == "") {
			l.HashStart, l.HashEnd = s.HashStart, s.HashEnd
		}
		if slices.Contains(s.Parents, l.Shard) {
			children = append(children, s.ID)
		}
	}
	if l.Checkpoint.AtEnd() && len(l.Children) == 0 {
		l.Children = children
	}
}

func (h *HandBack) judge(seen bool) {
	l := h.Lease
	if l.Pending != nil {
		h.refuse("a flush up to %s is prepared and not committed: start standpipe once more and stop it with SIGTERM", l.Pending.Position)
	}
	switch {
	case l.Owner == "" || l.Checkpoint.AtEnd(): // nothing is left to write
	case seen:
		h.Notes = append(h.Notes, fmt.Sprintf("owner %s left without releasing it", l.Owner))
	default:
		h.refuse("owner %s has not released it: stop it with SIGTERM; if it crashed, start standpipe once more and stop it, or give --force", l.Owner)
	}
	if l.Checkpoint.Sequence == standpipe.AtTimestamp {
		h.Notes = append(h.Notes, fmt.Sprintf("nothing is delivered yet: start the application with AT_TIMESTAMP %s", l.StartTime.UTC().Format(time.RFC3339)))
	}
}

func (h *HandBack) rewrite(form Stream, clean bool) Rewrite {
	l := h.Lease
	l.Owner, l.Successor, l.Pending, l.OwnerSwitches = "", "", nil, 0
	set := EncodeLease(l)
	r := Rewrite{Key: form.key(l.Shard), Set: set, Remove: []string{Owner, HandOffOwner, PendingSeq, PendingSub, PendingData, Write, Successor}}
	delete(set, Key)
	delete(set, Counter)
	if form != (Stream{}) {
		set[StreamName], set[ShardID] = S(form.String()), S(string(l.Shard))
	}
	if clean {
		for _, name := range OwnLeaseAttributes {
			delete(set, name)
			if !slices.Contains(r.Remove, name) {
				r.Remove = append(r.Remove, name)
			}
		}
	}
	return r
}

// onto makes it a write onto a row that is there. A row of the application
// that is further than we are is not moved back.
func (h *HandBack) onto(row Row) {
	counter := row.Lease.Counter
	h.Rewrite.Counter = &counter
	if row.Err != nil {
		h.refuse("the row that is there cannot be read: %v", row.Err)
	} else if !row.Ours && row.Lease.Checkpoint.Compare(h.Lease.Checkpoint) > 0 {
		h.refuse("the row that is there is further, at %s", row.Lease.Checkpoint)
	}
}

func (h *HandBack) refuse(format string, args ...any) {
	if h.Refusal != "" {
		h.Refusal += "; "
	}
	h.Refusal += fmt.Sprintf(format, args...)
}
