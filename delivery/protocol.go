package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// errLeaseLost: another worker owns the shard now. Stop without a further
// write; what was staged stays, for its PREPARE may have been applied (rule R5).
var errLeaseLost = errors.New("lease lost")

// A rereadError says why a shard has to be read again from its checkpoint:
// what was staged is gone, or what is held has to make room for a repair.
type rereadError struct{ why error }

func (e *rereadError) Error() string { return "to be read again: " + e.why.Error() }

func (e *rereadError) Unwrap() error { return e.why }

func readAgain(format string, args ...any) error { return &rereadError{fmt.Errorf(format, args...)} }

// protocol drives the prepared intent of one shard to its end. It holds the
// owner's view of the lease; every successful write replaces it. Owned by the
// shard's goroutine, so the writes of one lease never overlap.
type protocol struct {
	lease  checkpoint.Lease
	store  checkpoint.Store
	sink   sink.Sink
	hold   *holder
	policy Absence
	// rebuild makes lost objects of a plan anew, by reading the range again.
	rebuild func(ctx context.Context, i Intent, p Plan, lost []int) (Plan, error)
	// published is told of every intent that was committed, with its plan.
	published func(Intent, Plan)
	// random makes 128 random bits as 32 hexadecimal digits.
	random func() string
	breaks breaks
	inline int // largest intent, in bytes, that carries its plan
}

// breaks names the rules of the protocol that a simulation breaks on purpose,
// to prove that its checker notices. The zero value breaks none; nothing but
// the simulation's tests can set it.
type breaks struct {
	publishBeforePrepare bool // R1
	noUploadMeansLost    bool // R2
	neverRepair          bool // R3
	weakIdentity         bool // R4
	discardOnUnknown     bool // R5
	weakConditions       bool // R6
	forgetStart          bool // a start without the moment it was asked for
	// R7: recovery that decides the placement of records anew.
	recover func(context.Context, *shard) error
}

// prepare stores the intent. When it returns nil the intent is known to be in
// the row, and only then may anything of it be published (rule R1).
func (p *protocol) prepare(ctx context.Context, i Intent) error {
	pending := checkpoint.Pending{Position: i.Last, State: encodeIntent(i)}
	u := checkpoint.Prepare(p.lease, pending)
	if p.breaks.weakConditions {
		u.If.Epoch, u.If.Flush, u.If.Checkpoint = nil, nil, nil
	}
	return p.write(ctx, "prepare", u, func(row checkpoint.Lease) answer {
		if p.breaks.weakIdentity && row.Pending != nil {
			if other, err := decodeIntent(row.Pending.State); err == nil && other.ID.Flush == i.ID.Flush {
				return applied
			}
		}
		if p.breaks.weakConditions && row.Owner == p.lease.Owner && row.Pending == nil {
			return notApplied
		}
		return judgePrepare(row, p.lease, pending.State)
	})
}

// write applies one conditional write, exactly once as far as anybody can see.
// An unknown or refused outcome is resolved by reading the row consistently.
func (p *protocol) write(ctx context.Context, op string, u checkpoint.Update, judge func(checkpoint.Lease) answer) (err error) {
	op = fmt.Sprintf("%s flush %d of %s", op, p.lease.Flush, p.lease.Shard)
	failures := 0
	defer func() {
		if err == nil {
			p.hold.recovered(op, failures)
		}
	}()
	for {
		var row checkpoint.Lease
		refused := p.hold.attempt(ctx, callLimit, func(ctx context.Context) (err error) {
			row, err = p.store.Update(ctx, u)
			return err
		})
		if refused == nil {
			p.lease = row
			return nil
		}
		if fenced, ok := errors.AsType[*checkpoint.FencedError](refused); ok {
			row = fenced.Current
		} else if row, err = p.read(ctx, op, refused); err != nil {
			return err
		}
		switch judge(row) {
		case applied:
			p.lease = row
			return nil
		case lost:
			return errLeaseLost
		}
		if standpipe.ClassOf(refused) == standpipe.Fatal {
			return refused
		}
		// A store may answer reads and refuse writes for hours (a policy, a
		// full disk): that has to be seen like any other outage.
		failures++
		if err := backoff.Sleep(ctx, p.hold.failed(op, failures, refused)); err != nil {
			return err
		}
	}
}

// read gets the row consistently, after a write (op) whose outcome is unknown for cause.
func (p *protocol) read(ctx context.Context, op string, cause error) (row checkpoint.Lease, err error) {
	p.hold.log.Debug("write with unknown outcome", zap.String("write", op), zap.Error(cause))
	err = p.hold.do(ctx, "read lease of "+string(p.lease.Shard), callLimit, func(ctx context.Context) (err error) {
		row, err = p.store.Get(ctx, p.lease.Shard)
		return err
	})
	if errors.Is(err, checkpoint.ErrNotFound) {
		return row, &standpipe.Error{
			Class: standpipe.Fatal, Op: "read lease of " + string(p.lease.Shard), Err: err,
			Hint: "the lease was deleted while in use; restart to begin a new chain at the configured start",
		}
	}
	return row, err
}

// settle takes the pending intent to its end, if there is one. The normal path
// and recovery are the same walk: a flush is delivered by preparing its intent
// and settling it, and a crash in between is finished by whoever settles next.
// It returns a rereadError when the flush had to be rolled back.
func (p *protocol) settle(ctx context.Context) error {
	for p.lease.Pending != nil {
		i, plan, err := p.pending(ctx)
		if err != nil {
			return err
		}
		fates, err := p.publish(ctx, i, plan)
		if err != nil {
			return err
		}
		v := judgeFates(fates)
		if len(fates) == 0 {
			v = commit // a range that left no line: only the checkpoint moves
		}
		if p.breaks.neverRepair && v == repair {
			v = rollback
		}
		switch v {
		case commit:
			if err := p.commit(ctx, i, plan); err != nil {
				return err
			}
			p.published(i, plan)
			return nil
		case rollback:
			if err := p.rollback(ctx, i); err != nil {
				return err
			}
			return readAgain("flush %s was rolled back: neither staged nor visible is %s nor any other of its %d objects", i.ID, plan.Objects[0].Upload.Key, len(fates))
		case repair:
			if err := p.repair(ctx, i, plan, fates); err != nil {
				return err
			}
		}
	}
	return nil
}

// pending reads the intent of the lease and its plan.
func (p *protocol) pending(ctx context.Context) (Intent, Plan, error) {
	op := fmt.Sprintf("read intent of %s", p.lease.Shard)
	i, err := decodeIntent(p.lease.Pending.State)
	if err != nil {
		return i, Plan{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: op, Err: err,
			Hint: "run the version of standpipe that prepared it, or a newer one; nothing was changed",
		}
	}
	if i.Base != p.lease.Checkpoint {
		return i, Plan{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: op,
			Err:  fmt.Errorf("intent %s starts after %s, the checkpoint is %s", i.ID, i.Base, p.lease.Checkpoint),
			Hint: "another program moved the checkpoint while a flush was prepared; its objects may be published or not",
		}
	}
	if here := p.sink.Location(); i.Sink != here {
		return i, Plan{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: op,
			Err:  fmt.Errorf("intent %s belongs to %s, this worker writes to %s", i.ID, i.Sink, here),
			Hint: "start once with the former destination so that the flush can be finished, then change it",
		}
	}
	if i.Plan != nil {
		return i, *i.Plan, nil
	}
	var body []byte
	err = p.hold.do(ctx, "read plan "+i.PlanKey, callLimit, func(ctx context.Context) (err error) {
		body, err = p.sink.Read(ctx, i.PlanKey, planLimit)
		return err
	})
	if err != nil {
		if errors.Is(err, sink.ErrNotFound) {
			err = &standpipe.Error{
				Class: standpipe.Fatal, Op: op, Err: fmt.Errorf("plan %s: %w", i.PlanKey, err),
				Hint: "somebody deleted objects under " + manifest.StatePrefix + "pending/; restore it from a version or a backup",
			}
		}
		return i, Plan{}, err
	}
	plan, err := decodePlan(body, i.PlanSHA256)
	if err != nil {
		err = &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: err, Hint: "the plan was overwritten; restore it"}
	}
	return i, plan, err
}

// publish makes every object of a prepared plan visible, as far as that can be
// done, and says what became of each.
func (p *protocol) publish(ctx context.Context, i Intent, plan Plan) ([]fate, error) {
	fates := make([]fate, len(plan.Objects))
	for n, o := range plan.Objects {
		f, err := p.publishOne(ctx, i, o.Upload)
		if err != nil {
			return nil, err
		}
		fates[n] = f
	}
	return fates, nil
}

// absentFor is how long an object must stay absent before its upload counts as
// gone: another worker's publication may be under way.
const absentFor = time.Minute

func (p *protocol) publishOne(ctx context.Context, i Intent, u sink.Upload) (fate, error) {
	var absentSince time.Time
	for failures := 1; ; failures++ {
		err := p.hold.do(ctx, "publish "+u.Key, dataLimit, func(ctx context.Context) error { return p.sink.Publish(ctx, u) })
		if err == nil {
			return visible, nil
		}
		if !errors.Is(err, sink.ErrNoUpload) {
			return 0, err
		}
		if p.breaks.noUploadMeansLost {
			return dead, nil
		}
		// Unknown upload: published before, or gone. Only the object tells (rule R2).
		there, err := p.probe(ctx, i, u)
		if err != nil {
			return 0, err
		}
		if there {
			return visible, nil
		}
		if absentSince.IsZero() {
			absentSince = time.Now()
		}
		if time.Since(absentSince) >= absentFor {
			return p.absent(i, u)
		}
		if err := backoff.Sleep(ctx, ordinaryRepeats.Delay(failures, p.hold.rand)); err != nil {
			return 0, err
		}
	}
}

func (p *protocol) absent(i Intent, u sink.Upload) (fate, error) {
	f, ok := p.policy.judge(time.Since(i.Opened))
	if !ok {
		return 0, &standpipe.Error{
			Class: standpipe.Fatal, Op: "publish " + u.Key,
			Err:  fmt.Errorf("intent %s: the object is neither staged nor visible", i.ID),
			Hint: "if it was published and then removed, set Standpipe.OnAbsent: assume-published; if its upload was aborted, republish; then restart",
		}
	}
	p.hold.log.Error("prepared object is gone", zap.String("key", u.Key), zap.Stringer("intent", i.ID), zap.Bool("republish", f == dead))
	return f, nil
}

// probe reports whether the object is visible. A foreign object under our key
// stops the shard: keys are unique, so somebody else writes into our prefix.
func (p *protocol) probe(ctx context.Context, i Intent, u sink.Upload) (bool, error) {
	var info sink.Info
	err := p.hold.do(ctx, "look for "+u.Key, callLimit, func(ctx context.Context) (err error) {
		info, err = p.sink.Probe(ctx, u.Key)
		return err
	})
	switch {
	case errors.Is(err, sink.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case info.Metadata[manifest.MetaIntent] != i.ID.String():
		return false, &standpipe.Error{
			Class: standpipe.Fatal, Op: "publish " + u.Key,
			Err:  fmt.Errorf("the object there belongs to intent %q, not to %s", info.Metadata[manifest.MetaIntent], i.ID),
			Hint: "another program writes or copies objects under this prefix; stop it and move the object away",
		}
	}
	return true, nil
}

// commit writes the manifest and then moves the checkpoint. It is called when
// every object of the intent is visible, and nothing else moves a checkpoint
// in exactly-once mode.
func (p *protocol) commit(ctx context.Context, i Intent, plan Plan) error {
	m, err := newManifest(i, plan)
	if err != nil {
		return &standpipe.Error{Class: standpipe.Fatal, Op: "write manifest", Err: err, Hint: "the intent is damaged; nothing was changed"}
	}
	if err := p.writeSame(ctx, manifest.Key(m.Origin, m.Number), m.Encode()); err != nil {
		return err
	}
	done := p.lease.Commits + 1
	return p.write(ctx, "commit", checkpoint.Commit(p.lease, plan.Seen, plan.Children, plan.Gaps...), func(row checkpoint.Lease) answer {
		return judgeSettled(row, p.lease, func(l checkpoint.Lease) bool {
			return l.Pending == nil && l.Checkpoint == i.Last && l.Commits == done
		})
	})
}

// writeSame writes a small object that everybody who writes it writes alike.
func (p *protocol) writeSame(ctx context.Context, key string, body []byte) error {
	err := p.hold.do(ctx, "write "+key, callLimit, func(ctx context.Context) error { return p.sink.WriteOnce(ctx, key, body) })
	if !errors.Is(err, sink.ErrExists) {
		return err
	}
	var found []byte
	err = p.hold.do(ctx, "read "+key, callLimit, func(ctx context.Context) (err error) {
		found, err = p.sink.Read(ctx, key, int64(len(body))+1<<20)
		return err
	})
	if err != nil {
		return err
	}
	if !bytes.Equal(found, body) {
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "write " + key,
			Err:  errors.New("another object is there already"),
			Hint: "the checkpoint store was restored from a backup, or two deployments share the bucket; do not delete either before you know",
		}
	}
	return nil
}

func (p *protocol) rollback(ctx context.Context, i Intent) error {
	p.hold.log.Warn("rolling back", zap.Stringer("intent", i.ID), zap.Stringer("base", i.Base))
	return p.write(ctx, "roll back", checkpoint.Rollback(p.lease), func(row checkpoint.Lease) answer {
		return judgeSettled(row, p.lease, func(l checkpoint.Lease) bool {
			return l.Pending == nil && l.Checkpoint == i.Base && l.Flush == p.lease.Flush
		})
	})
}

// repair replaces the intent by one in which the dead objects are staged anew
// under new keys. The placement of records stays as it was.
func (p *protocol) repair(ctx context.Context, i Intent, plan Plan, fates []fate) error {
	var lost []int
	for n, f := range fates {
		if f == dead {
			lost = append(lost, n)
		}
	}
	p.hold.log.Warn("repairing", zap.Stringer("intent", i.ID), zap.Int("lost", len(lost)), zap.Int("objects", len(fates)))
	next := i
	next.Rev++
	plan, err := p.rebuild(ctx, next, plan, lost)
	if err != nil {
		return err
	}
	if err := p.writePlan(ctx, &next, plan); err != nil {
		return err
	}
	state := encodeIntent(next)
	u := checkpoint.Replace(p.lease, checkpoint.Pending{Position: next.Last, State: state})
	return p.write(ctx, "repair", u, func(row checkpoint.Lease) answer {
		return judgeSettled(row, p.lease, func(l checkpoint.Lease) bool {
			return l.Pending != nil && bytes.Equal(l.Pending.State, state)
		})
	})
}

// writePlan puts the plan into the intent, as an object when it is large. The
// object's key is new each time: two workers that repair the same intent at
// once make different plans, and only one of them gets into the row.
func (p *protocol) writePlan(ctx context.Context, i *Intent, plan Plan) error {
	key := manifest.PlanKey(plan.Origin, i.ID.String(), i.Rev, p.random())
	if body := i.embed(plan, key, p.inline); body != nil {
		return p.writeSame(ctx, key, body)
	}
	return nil
}

// orphan makes sure that parents which a listing did not show have no lease, or
// have ended: leases are made parents first, so by now theirs can be read.
func (p *protocol) orphan(ctx context.Context, parents []standpipe.ShardID) error {
	for _, id := range parents {
		var row checkpoint.Lease
		err := p.hold.do(ctx, "read lease of "+string(id), callLimit, func(ctx context.Context) (err error) {
			row, err = p.store.Get(ctx, id)
			return err
		})
		switch {
		case errors.Is(err, checkpoint.ErrNotFound):
		case err != nil:
			return err
		case !row.Checkpoint.AtEnd():
			return errNotTaken
		}
	}
	return nil
}

// take makes the lease ours, if nobody has written to it since it was read.
// errLeaseLost: somebody has.
func (p *protocol) take(ctx context.Context, me string) error {
	l := p.lease
	return p.write(ctx, "take", checkpoint.Take(l, me), func(row checkpoint.Lease) answer {
		switch {
		case row.Owner == me && row.Epoch == l.Epoch+1:
			return applied
		case row.Counter == l.Counter:
			return notApplied
		}
		return lost
	})
}

// advance moves the checkpoint without an intent: the at-least-once mode.
func (p *protocol) advance(ctx context.Context, to standpipe.Position, plan Plan) error {
	return p.write(ctx, "commit", checkpoint.Advance(p.lease, to, plan.Seen, plan.Children, plan.Gaps...), func(row checkpoint.Lease) answer {
		switch {
		case row.Owner != p.lease.Owner || row.Epoch != p.lease.Epoch:
			return lost
		case row.Checkpoint == to:
			return applied
		}
		return notApplied
	})
}

// note stores how far an idle shard is known to be read.
func (p *protocol) note(ctx context.Context, seen time.Time) error {
	return p.write(ctx, "note", checkpoint.Note(p.lease, seen), func(row checkpoint.Lease) answer {
		switch {
		case row.Owner != p.lease.Owner || row.Epoch != p.lease.Epoch:
			return lost
		case row.Seen.Equal(seen):
			return applied
		}
		return notApplied
	})
}

// release gives the lease up, so that nobody has to wait for it to expire; a
// successor, if named, comes first. seen goes with it unless it is zero.
func (p *protocol) release(ctx context.Context, successor string, seen time.Time) error {
	u := checkpoint.Release(p.lease, successor)
	if !seen.IsZero() {
		u.Set.Seen = &seen
	}
	return p.write(ctx, "release", u, func(row checkpoint.Lease) answer {
		if row.Owner != p.lease.Owner || row.Epoch != p.lease.Epoch {
			return applied // released by us, or taken since: free of us in any case
		}
		return notApplied
	})
}
