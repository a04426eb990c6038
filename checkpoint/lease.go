package checkpoint

import (
	"time"

	"github.com/standpipe/standpipe"
)

// A Lease is the right to deliver one shard, and how far that has come. It is
// a value: every successful write returns a new one. Names in parentheses are
// the attributes of a KCL lease table; the other columns are our own.
type Lease struct {
	// Shard is the key of the row (KCL leaseKey).
	Shard standpipe.ShardID
	// Owner is the worker that may deliver the shard, unique per process
	// start; empty when nobody may (KCL leaseOwner).
	Owner string
	// Successor is the worker that a hand-over released the lease to: it may
	// take it before anybody else. Empty otherwise; every Take clears it.
	Successor string
	// Counter moves with every write: a sign of life and an optimistic lock (KCL leaseCounter).
	Counter int64
	// OwnerSwitches counts changes of owner since the last commit (KCL
	// ownerSwitchesSinceCheckpoint).
	OwnerSwitches int64
	// Checkpoint is what is delivered: every record up to it is in a visible
	// object (KCL checkpoint, checkpointSubSequenceNumber).
	Checkpoint standpipe.Position
	// Pending is the prepared intent, nil when there is none.
	Pending *Pending

	// Parents and Children are KCL's parentShardId and childShardIds, HashStart
	// and HashEnd its startingHashKey and endingHashKey.
	Parents, Children  []standpipe.ShardID
	HashStart, HashEnd string

	// Epoch is the fencing number, raised by every Take.
	Epoch int64
	// Flush is the number of the last prepared flush; numbers of rolled-back
	// flushes are burnt. Commits is the number of the last manifest, without gaps.
	Flush, Commits int64
	// Incarnation names this row's chain of manifests; it is made with the row,
	// so a row that was deleted and made anew starts a chain of its own.
	Incarnation string
	// StreamCreated is the creation time of the stream the positions belong to.
	StreamCreated time.Time
	// StartTime is where the shard starts while Checkpoint is AT_TIMESTAMP.
	StartTime time.Time
	// Seen is the time up to which every record of the shard is delivered or was
	// never asked for: the arrival of the last one, a later moment at which the
	// reader had caught up, or, before the first commit, where the start lay when
	// the lease was made. Younger than the stream's retention it means that
	// nothing after the checkpoint was trimmed. Zero before the first read of a
	// shard that continues others, and in rows that KCL wrote.
	Seen time.Time
	// Gaps counts the ranges that were gone before they could be read; LastGap
	// is the newest of them. The manifests have them all.
	Gaps    int64
	LastGap *standpipe.Gap
}

// Pending is a prepared flush: KCL's pendingCheckpoint columns.
type Pending struct {
	// Position becomes the checkpoint when the flush is committed (KCL
	// pendingCheckpoint, pendingCheckpointSubSequenceNumber).
	Position standpipe.Position
	// State is the encoded intent. The store does not look inside (KCL
	// pendingCheckpointState).
	State []byte
}

// Adopted says that the checkpoint is another program's: a KCL application wrote
// it, and it may lie inside an aggregate. What standpipe commits ends between
// two stream records, and always knows the arrival time of the last one.
func (l Lease) Adopted() bool {
	return !l.Checkpoint.AtStart() && !l.Checkpoint.AtEnd() && l.Seen.IsZero()
}

// Delivered is Seen once something is delivered, and zero before.
func (l Lease) Delivered() time.Time {
	if l.Checkpoint.AtStart() {
		return time.Time{}
	}
	return l.Seen
}

// Clone copies what a Lease points to; it keeps callers and stores from sharing memory.
func (l Lease) Clone() Lease {
	if l.Pending != nil {
		p := *l.Pending
		p.State = append([]byte(nil), p.State...)
		l.Pending = &p
	}
	if l.LastGap != nil {
		g := *l.LastGap
		l.LastGap = &g
	}
	l.Parents = append([]standpipe.ShardID(nil), l.Parents...)
	l.Children = append([]standpipe.ShardID(nil), l.Children...)
	return l
}
