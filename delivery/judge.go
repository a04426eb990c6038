package delivery

import (
	"bytes"
	"time"

	"github.com/standpipe/standpipe/checkpoint"
)

// The protocol's decisions, as functions of what was seen. None of them acts.

// An answer is what a consistent read of the lease says about a conditional
// write whose outcome was unknown or refused.
type answer int

const (
	applied    answer = iota + 1 // our write is in the row
	notApplied                   // it is not there yet; repeat the same request
	lost                         // somebody else owns the shard, or our intent is gone
)

// judgePrepare reads the row after a PREPARE of state by mine.
func judgePrepare(row, mine checkpoint.Lease, state []byte) answer {
	switch {
	case row.Owner != mine.Owner || row.Epoch != mine.Epoch:
		return lost
	case row.Pending != nil && bytes.Equal(row.Pending.State, state):
		return applied
	case row.Pending == nil && row.Flush == mine.Flush && row.Checkpoint == mine.Checkpoint:
		return notApplied
	}
	return lost
}

// judgeSettled reads the row after a write that ends or replaces the pending
// intent of mine: wanted recognises the state the write leads to.
func judgeSettled(row, mine checkpoint.Lease, wanted func(checkpoint.Lease) bool) answer {
	switch {
	case row.Owner != mine.Owner || row.Epoch != mine.Epoch:
		return lost
	case wanted(row):
		return applied
	case row.Pending != nil && bytes.Equal(row.Pending.State, mine.Pending.State):
		return notApplied
	}
	return lost
}

// A fate is what became of one staged object of a prepared intent.
type fate int

const (
	visible fate = iota + 1 // published, by whomever
	dead                    // its upload is gone and so it can never be published
)

// A verdict is what to do with a prepared intent, given the fates of all its objects.
type verdict int

const (
	commit   verdict = iota + 1 // all visible: manifest, then the checkpoint
	rollback                    // none visible and none ever can be: read the range again
	repair                      // some visible: only the others may be made anew (rule R3)
)

func judgeFates(fates []fate) verdict {
	alive := 0
	for _, f := range fates {
		if f == visible {
			alive++
		}
	}
	switch alive {
	case len(fates):
		return commit
	case 0:
		return rollback
	}
	return repair
}

// Ambiguous says what to do about a prepared object that is neither staged nor
// visible though its upload is too young for the bucket's abort rule: somebody
// removed it after publication, or aborted the upload by hand. No request can
// tell which.
type Ambiguous string

// The choices; the default is to halt the shard and ask.
const (
	Halt            Ambiguous = "halt"
	AssumePublished Ambiguous = "assume-published"
	Republish       Ambiguous = "republish"
)

// Absence is the policy for objects that are gone.
type Absence struct {
	// AbortAfter is the age at which the bucket's lifecycle rule aborts
	// incomplete uploads (AbortIncompleteMultipartUpload, at least a day).
	// Zero: there is no rule, so age alone explains nothing.
	AbortAfter time.Duration
	Ambiguous  Ambiguous
}

// judge decides about an object that was proven absent. ok is false when only
// a person can decide.
func (a Absence) judge(age time.Duration) (f fate, ok bool) {
	if a.AbortAfter > 0 && age >= a.AbortAfter || a.Ambiguous == Republish {
		return dead, true
	}
	return visible, a.Ambiguous == AssumePublished
}
