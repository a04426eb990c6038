package checkpoint

import (
	"bytes"
	"time"

	"github.com/standpipe/standpipe"
)

// An Update is one conditional write on one lease. It is data, so that every
// store evaluates the same conditions: in memory by Holds and Apply, in
// DynamoDB by an expression of the same terms.
type Update struct {
	Shard standpipe.ShardID
	If    Condition
	Set   Change
}

// A Condition names what must be true of the stored lease. A nil field is not
// looked at. A lease that does not exist satisfies no condition.
type Condition struct {
	Owner      *string
	Epoch      *int64
	Flush      *int64
	Counter    *int64
	Checkpoint *standpipe.Position
	// NoPending: there is no prepared flush.
	NoPending bool
	// PendingState: exactly this intent is prepared.
	PendingState []byte
}

// Holds evaluates the condition.
func (c Condition) Holds(l Lease) bool {
	switch {
	case c.Owner != nil && l.Owner != *c.Owner,
		c.Epoch != nil && l.Epoch != *c.Epoch,
		c.Flush != nil && l.Flush != *c.Flush,
		c.Counter != nil && l.Counter != *c.Counter,
		c.Checkpoint != nil && l.Checkpoint != *c.Checkpoint,
		c.NoPending && l.Pending != nil,
		c.PendingState != nil && (l.Pending == nil || !bytes.Equal(l.Pending.State, c.PendingState)):
		return false
	}
	return true
}

// A Change names what to write. A nil or false field leaves its column alone.
// Every change moves the counter, so every write is a heartbeat.
type Change struct {
	// Owner "" removes the attribute: KCL takes a lease without one for free.
	Owner *string
	// Successor "" removes the attribute.
	Successor     *string
	NextEpoch     bool
	OwnerSwitched bool
	Checkpoint    *standpipe.Position
	Pending       *Pending
	ClearPending  bool
	Flush         *int64
	Commits       *int64
	Children      []standpipe.ShardID
	Seen          *time.Time
	// Gaps are added to the count, and the last of them is the last one.
	Gaps []standpipe.Gap
	// Incarnation and StartTime are only set by Restart.
	Incarnation *string
	StartTime   *time.Time
}

// Apply makes the change.
func (c Change) Apply(l Lease) Lease {
	l = l.Clone()
	l.Counter++
	if c.Owner != nil {
		l.Owner = *c.Owner
	}
	if c.Successor != nil {
		l.Successor = *c.Successor
	}
	if c.NextEpoch {
		l.Epoch++
	}
	if c.OwnerSwitched {
		l.OwnerSwitches++
	}
	if c.Checkpoint != nil {
		l.Checkpoint, l.OwnerSwitches = *c.Checkpoint, 0
	}
	if c.ClearPending {
		l.Pending = nil
	}
	if c.Pending != nil {
		l.Pending = c.Pending
	}
	if c.Flush != nil {
		l.Flush = *c.Flush
	}
	if c.Commits != nil {
		l.Commits = *c.Commits
	}
	if c.Children != nil {
		l.Children = c.Children
	}
	if c.Seen != nil {
		l.Seen = *c.Seen
	}
	if n := len(c.Gaps); n > 0 {
		l.Gaps += int64(n)
		l.LastGap = &c.Gaps[n-1]
	}
	if c.Incarnation != nil {
		l.Incarnation = *c.Incarnation
	}
	if c.StartTime != nil {
		l.StartTime = *c.StartTime
	}
	return l.Clone()
}

// Take makes me the owner of l, whoever owns it now. The counter is the only
// condition (KCL's take), so it succeeds only if nobody wrote since l was read.
func Take(l Lease, me string) Update {
	nobody := ""
	return Update{l.Shard, Condition{Counter: &l.Counter}, Change{
		Owner: &me, Successor: &nobody, NextEpoch: true, OwnerSwitched: l.Owner != me,
	}}
}

// Release gives the lease up, to successor if that names a worker: it then
// comes before everybody else. A prepared flush stays for the next owner.
func Release(l Lease, successor string) Update {
	nobody := ""
	return Update{l.Shard, held(l), Change{Owner: &nobody, Successor: &successor}}
}

// Note stores how far the shard is known to be read while there is nothing to
// deliver, or since when its records are wanted before the first read: without
// it a shard that was idle for longer than its retention could not be told from
// one that lost records.
func Note(l Lease, seen time.Time) Update {
	return Update{l.Shard, held(l), Change{Seen: &seen}}
}

// Prepare stores the intent of the next flush. All of its conditions are the
// protocol's rule R6: owner, epoch, flush number, base and no other intent.
func Prepare(l Lease, p Pending) Update {
	c := held(l)
	c.Flush, c.Checkpoint, c.NoPending = &l.Flush, &l.Checkpoint, true
	next := l.Flush + 1
	return Update{l.Shard, c, Change{Pending: &p, Flush: &next}}
}

// Commit makes the prepared flush of l the checkpoint: every object of it is
// visible and manifest number l.Commits+1 is written. children is set at shard
// end; gaps are those before and in the flush.
func Commit(l Lease, seen time.Time, children []standpipe.ShardID, gaps ...standpipe.Gap) Update {
	next := l.Commits + 1
	set := Change{Checkpoint: &l.Pending.Position, ClearPending: true, Commits: &next, Children: children, Gaps: gaps}
	if !seen.IsZero() {
		set.Seen = &seen
	}
	return Update{l.Shard, pending(l), set}
}

// Rollback forgets the prepared flush of l: none of its objects is visible or
// ever can be. Its flush number is burnt.
func Rollback(l Lease) Update {
	return Update{l.Shard, pending(l), Change{ClearPending: true}}
}

// Replace puts a repaired intent of the same flush in place of the pending one.
func Replace(l Lease, p Pending) Update {
	return Update{l.Shard, pending(l), Change{Pending: &p}}
}

// Advance moves the checkpoint without an intent: the at-least-once mode.
func Advance(l Lease, to standpipe.Position, seen time.Time, children []standpipe.ShardID, gaps ...standpipe.Gap) Update {
	c := held(l)
	c.Checkpoint, c.NoPending = &l.Checkpoint, true
	set := Change{Checkpoint: &to, Children: children, Gaps: gaps}
	if !seen.IsZero() {
		set.Seen = &seen
	}
	return Update{l.Shard, c, set}
}

// Restart moves the checkpoint by a person's decision and begins a new chain of
// manifests: the old one ends where it is, so neither claims the other's
// records. The epoch fences whoever held the lease. start goes with
// AT_TIMESTAMP. Nothing may be prepared: it belongs to the old position.
func Restart(l Lease, to standpipe.Position, start time.Time, incarnation string) Update {
	nobody, none, unknown := "", int64(0), time.Time{}
	return Update{l.Shard, Condition{Counter: &l.Counter, NoPending: true}, Change{
		Owner: &nobody, NextEpoch: true, Checkpoint: &to, Commits: &none, Seen: &unknown,
		Incarnation: &incarnation, StartTime: &start,
	}}
}

func held(l Lease) Condition { return Condition{Owner: &l.Owner, Epoch: &l.Epoch} }

func pending(l Lease) Condition {
	c := held(l)
	c.PendingState = l.Pending.State
	return c
}
