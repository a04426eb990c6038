package kcl

import (
	"fmt"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// A Source is the stream whose leases are wanted, as Kinesis describes it now.
type Source struct {
	standpipe.Stream
	// Account is that of the stream's ARN.
	Account string
	Shards  []standpipe.Shard
}

// Choices are what only a person can decide.
type Choices struct {
	// InPlace: the rows stay in their table.
	InPlace bool
	// DiscardPending lets positions go that the application prepared and did not commit.
	DiscardPending bool
	// Start is where shards begin whose row says LATEST or AT_TIMESTAMP. Zero: not said.
	Start time.Time
	// Incarnation names the chain of manifests of each lease anew.
	Incarnation func() string
}

// An Adoption is what becomes of one row.
type Adoption struct {
	Row Row
	// Lease is the lease as standpipe continues it; empty when Refusal or Skip is set.
	Lease checkpoint.Lease
	// Notes are worth knowing.
	Notes []string
	// Refusal is why the row cannot be taken as it is, and what to do.
	Refusal string
	// Skip is why there is nothing to do.
	Skip string
	// New: the application has removed the row, and it is made again.
	New bool
}

// Adopt says what becomes of every row, and of the shards that the application
// is done with and whose rows it has removed: those come first, or a crash in
// between would leave them looking like shards that nobody has read. It changes
// nothing.
func Adopt(rows []Row, source Source, c Choices) []Adoption {
	all := make([]Adoption, 0, len(rows))
	for _, row := range rows {
		a := Adoption{Row: row}
		a.decide(source, c)
		all = append(all, a)
	}
	return append(removed(all, source, c), all...)
}

// removed are the shards without a row of which a descendant has begun. KCL
// begins a shard when its parents have ended, and removes their rows once all of
// their children have begun, long before the shards leave the stream.
func removed(all []Adoption, source Source, c Choices) (done []Adoption) {
	rows := map[standpipe.ShardID]checkpoint.Lease{}
	for _, a := range all {
		if a.Skip == "" || a.Row.Ours {
			rows[a.Row.Lease.Shard] = a.Row.Lease
		}
	}
	children := map[standpipe.ShardID][]standpipe.ShardID{}
	for _, s := range source.Shards {
		for _, p := range s.Parents {
			children[p] = append(children[p], s.ID)
		}
	}
	memo := map[standpipe.ShardID]bool{}
	var begun func(id standpipe.ShardID) bool
	begun = func(id standpipe.ShardID) bool {
		if l, there := rows[id]; there {
			return !l.Checkpoint.AtStart()
		}
		b, known := memo[id]
		if !known {
			memo[id] = false // a listing has no cycle; a damaged one must not hang us
			b = slices.ContainsFunc(children[id], begun)
			memo[id] = b
		}
		return b
	}
	for _, s := range source.Shards {
		if _, there := rows[s.ID]; there || !begun(s.ID) {
			continue
		}
		a := Adoption{New: true, Lease: checkpoint.Lease{
			Shard: s.ID, Checkpoint: standpipe.Position{Sequence: standpipe.ShardEnd}, Parents: s.Parents, Children: children[s.ID],
			HashStart: s.HashStart, HashEnd: s.HashEnd, Incarnation: c.Incarnation(), StreamCreated: source.Created.UTC(),
		}}
		a.Row = Row{Key: string(s.ID), Lease: a.Lease}
		a.note("done, for its children have begun: the application has removed its row")
		done = append(done, a)
	}
	return done
}

func (a *Adoption) decide(source Source, c Choices) {
	row := a.Row
	if a.foreign(source, c) {
		return
	}
	switch {
	case row.Err != nil:
		a.Refusal = "cannot be read: " + row.Err.Error()
		return
	case row.Ours && c.InPlace:
		a.Skip = "already taken over"
		return
	case row.Ours:
		a.Refusal = "is standpipe's: only rows of a KCL application can be copied"
		return
	}
	l := row.Lease
	l.Owner, l.Successor, l.Pending = "", "", nil
	l.Incarnation, l.StreamCreated = c.Incarnation(), source.Created.UTC()
	// A new chain of manifests begins; the epoch goes on, for it fences.
	l.Flush, l.Commits, l.Seen, l.StartTime = 0, 0, time.Time{}, time.Time{}
	a.fill(&l, source.Shards)
	a.start(&l, c)
	a.pending(c)
	if row.Lease.Owner != "" {
		a.note("owner %s is replaced", row.Lease.Owner)
	}
	if row.HandOff != "" {
		a.note("a hand-over from %s was under way", row.HandOff)
	}
	if a.Refusal == "" {
		a.Lease = l
	}
}

// foreign sorts out the rows of other streams, and of an earlier one of that name.
func (a *Adoption) foreign(source Source, c Choices) bool {
	s := a.Row.Stream
	switch {
	case s == (Stream{}):
		return false
	case s.Name != source.Name || source.Account != "" && s.Account != source.Account:
		a.Skip = "belongs to stream " + s.Account + ":" + s.Name
	case s.Created != source.Created.Unix():
		a.Refusal = fmt.Sprintf("belongs to a stream %s created at %s, this one was created at %s: its positions mean nothing here",
			s.Name, time.Unix(s.Created, 0).UTC().Format(time.RFC3339), source.Created.UTC().Format(time.RFC3339))
	case c.InPlace:
		a.Refusal = "has a multi-stream key: name another table, or embedded, in Standpipe.Checkpoint and the leases are copied there"
	}
	return a.Skip != "" || a.Refusal != ""
}

// fill completes what rows of KCL 1.x lack, and looks whether the shard is there.
func (a *Adoption) fill(l *checkpoint.Lease, shards []standpipe.Shard) {
	n := slices.IndexFunc(shards, func(s standpipe.Shard) bool { return s.ID == l.Shard })
	if n < 0 {
		if !l.Checkpoint.AtEnd() {
			a.note("the shard has left the stream, what was not read is lost")
		}
		return
	}
	if l.HashStart == "" || l.HashEnd == "" {
		l.HashStart, l.HashEnd = shards[n].HashStart, shards[n].HashEnd
		a.note("hash keys filled in")
	}
	if len(l.Parents) == 0 {
		l.Parents = shards[n].Parents
	}
}

// start settles where a shard begins that has no position yet. KCL stores the
// words LATEST and AT_TIMESTAMP but not the moment they stood for.
func (a *Adoption) start(l *checkpoint.Lease, c Choices) {
	switch seq := l.Checkpoint.Sequence; {
	case seq != standpipe.Latest && seq != standpipe.AtTimestamp:
		if l.Checkpoint.Sub > 0 {
			a.note("continues after user record %d of an aggregate", l.Checkpoint.Sub)
		}
	case c.Start.IsZero():
		a.refuse("is at %s, and the table does not say when that was: give --start-time, the moment the application first started (or now, and lose what it had not delivered)", seq)
	default:
		l.Checkpoint = standpipe.Position{Sequence: standpipe.AtTimestamp}
		l.StartTime = c.Start.UTC()
		a.note("starts at %s", l.StartTime.Format(time.RFC3339))
	}
}

func (a *Adoption) pending(c Choices) {
	p := a.Row.Lease.Pending
	if p == nil {
		return
	}
	what := fmt.Sprintf("position %s is prepared and not committed, with %d bytes of state", p.Position, len(p.State))
	if c.DiscardPending {
		a.note("%s: discarded", what)
	} else {
		a.refuse("%s; only the application knows what that means: let it finish, or give --discard-pending", what)
	}
}

func (a *Adoption) note(format string, args ...any) {
	a.Notes = append(a.Notes, fmt.Sprintf(format, args...))
}

func (a *Adoption) refuse(format string, args ...any) {
	if a.Refusal != "" {
		a.Refusal += "; "
	}
	a.Refusal += fmt.Sprintf(format, args...)
}

// InPlace is the write that makes the row standpipe's. write is a random id.
func (a Adoption) InPlace(write string) Rewrite {
	l := a.Lease
	set := EncodeLease(l)
	set[Write] = S(write)
	if a.New {
		delete(set, Key)
		delete(set, Counter)
		return Rewrite{Key: a.Row.Key, Set: set}
	}
	for _, name := range []string{Key, Counter, Owner, Switches} {
		delete(set, name)
	}
	r := Rewrite{Key: a.Row.Key, Counter: &l.Counter, Set: set, Remove: []string{Owner, HandOffOwner, PendingSeq, PendingSub, PendingData, Seen, Successor}}
	if set[StartTime] == nil {
		r.Remove = append(r.Remove, StartTime)
	}
	return r
}
