package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// The failure matrix of the protocol: at each call to the sink or the store
// something happens, and in the end every record is in exactly one object.
//
//	crash before: the call never reached its server
//	crash after:  it was applied, nobody knows
//	refused:      it was not applied, the worker goes on
//	reply lost:   it was applied, the worker is told it may not have been

// reshardOverTheHour puts records that make flushes of two objects, and ends
// the shard.
func (r *rig) reshardOverTheHour() {
	time.Sleep(time.Hour - time.Minute)
	r.events(0, 12)
	time.Sleep(2 * time.Minute)
	r.events(12, 24)
	r.split(string(shardID(0)), "170141183460469231731687303715884105728")
	r.events(24, 36)
}

// complete waits until the parent ended and everything is committed.
func (r *rig) complete(parents ...standpipe.ShardID) {
	r.t.Helper()
	r.until("the parents ended and every record is committed", func() bool {
		for _, l := range r.leases() {
			if slices.Contains(parents, l.Shard) && !l.Checkpoint.AtEnd() {
				return false
			}
		}
		return r.committed() >= r.records
	})
}

func TestACrashOrALostAnswerAtAnyCallDeliversEveryRecordOnce(t *testing.T) {
	peers := append(slices.Clone(sinkCalls), storeCalls...)
	for _, mode := range []string{"crash before", "crash after", "refused", "reply lost"} {
		t.Run(mode, func(t *testing.T) {
			seen := map[string]bool{}
			for k := 1; ; k++ {
				var n atomic.Int64
				var hit atomic.Value // the call it happened at
				hit.Store("")
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, 1)
					r.reshardOverTheHour()
					p := r.boot()
					p.gate.set(func(_ context.Context, at string, do func() error) error {
						if !slices.Contains(peers, at) {
							return do()
						}
						if n.Add(1) != int64(k) {
							return do()
						}
						hit.Store(at)
						var err error
						if mode == "crash after" || mode == "reply lost" {
							err = do()
						}
						if strings.HasPrefix(mode, "crash") {
							p.gate.kill()
							p.stop()
						}
						return errors.Join(unavailable(at), err)
					})
					p.run()
					r.until("the call is reached or all is done", func() bool {
						select {
						case <-p.done: // a call of the start failed, which is its one error
							return true
						default:
							return hit.Load() != "" && strings.HasPrefix(mode, "crash") || r.committed() == r.records
						}
					})
					p.stop()
					<-p.done
					p = r.start()
					r.complete(shardID(0))
					if err := p.end(); err != nil {
						t.Errorf("the next worker: %v", err)
					}
					r.verify()
					if n := r.budget.Used(); n != 0 {
						t.Errorf("%d bytes never given back", n)
					}
				})
				op := hit.Load().(string)
				if op == "" || t.Failed() {
					break
				}
				seen[op] = true
			}
			for _, op := range []string{"create", "take", "begin", "append", "write", "prepare", "publish", "commit", "release"} {
				if !seen[op] {
					t.Errorf("nothing ever happened at %q: seen %v", op, seen)
				}
			}
			if t.Failed() {
				t.Log("failed; calls seen:", seen)
			}
		})
	}
}

// late makes the process crash at its first call of op and returns that
// call, to be delivered later, as a packet that was long under way.
func (p *node) late(op string) (deliver func() error) {
	var once sync.Once
	var held func() error
	p.gate.set(func(_ context.Context, at string, do func() error) error {
		first := false
		if at == op {
			once.Do(func() { held, first = do, true })
		}
		if !first {
			return do()
		}
		p.gate.kill()
		p.stop()
		return errDead
	})
	return func() error {
		if held == nil {
			p.rig.t.Fatalf("no call of %s", op)
		}
		return held()
	}
}

// D.8 row 4.
func TestAPrepareThatArrivesAfterATakeOverIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		deliver := p.late("prepare")
		p.run()
		<-p.done
		next, tried := r.boot(), false
		next.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "prepare" && !tried {
				tried = true
				err := deliver()
				if _, ok := errors.AsType[*checkpoint.FencedError](err); !ok {
					t.Errorf("the late prepare gave %v", err)
				}
			}
			return do()
		})
		next.run()
		r.delivered()
		if err := next.end(); err != nil || !tried {
			t.Fatal(tried, err)
		}
		r.verify()
	})
}

// The owner's name alone fences nobody: the worker may have taken the lease
// again, and delivered the range, before its old request arrives (rule R6).
func TestAPrepareOfAnEarlierLifeOfTheSameWorkerIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		deliver := p.late("prepare")
		p.run()
		<-p.done
		r.started-- // the same name
		next := r.start()
		r.delivered()
		if r.lease(shardID(0)).Owner != p.settings.Worker {
			t.Fatalf("%s has the lease", r.lease(shardID(0)).Owner)
		}
		if _, fenced := errors.AsType[*checkpoint.FencedError](deliver()); !fenced {
			t.Error("the late prepare was not refused")
		}
		if l := r.lease(shardID(0)); l.Pending != nil {
			t.Errorf("it is in the row: %+v", l.Pending)
		}
		r.events(10, 20)
		r.delivered()
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// The next owner's own publication of what is published already is answered "no
// such upload", as by a lost one: only the object tells them apart (rule R2).
func TestAFlushThatItsDeadOwnerPublishedIsFoundAndNotDeliveredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op != "publish" {
				return do()
			}
			err := do()
			p.gate.kill()
			return errors.Join(err, errDead)
		})
		p.run()
		r.until("it is published", func() bool { return r.visible() == 10 })
		p.crash()
		next := r.boot()
		var refused atomic.Int32
		next.gate.set(func(_ context.Context, op string, do func() error) error {
			err := do()
			if op == "publish" && errors.Is(err, sink.ErrNoUpload) {
				refused.Add(1)
			}
			return err
		})
		next.run()
		time.Sleep(10 * time.Minute) // whatever it does, it has done it
		if n := refused.Load(); n != 1 {
			t.Errorf("%d publications were answered \"no such upload\": this proves nothing", n)
		}
		if n := r.visible(); n != 10 {
			t.Errorf("%d lines are visible, 10 were put", n)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// D.8 row 11.
func TestAPublishThatArrivesAfterTheNextOwnersCommitChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		deliver := p.late("publish")
		p.run()
		<-p.done
		next := r.start()
		r.delivered()
		if err := deliver(); err != nil && !errors.Is(err, sink.ErrNoUpload) {
			t.Errorf("the late publish gave %v", err)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// D.8 rows 12 and 13.
func TestUploadsThatAreAllAbortedWhilePreparedAreReadAgainAndALatePublishFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Absence.AbortAfter = 24 * time.Hour })
		r.call("IncreaseStreamRetentionPeriod", map[string]any{"StreamName": streamName, "RetentionPeriodHours": 72})
		r.events(0, 10)
		p := r.boot()
		deliver := p.late("publish")
		p.run()
		<-p.done
		time.Sleep(25 * time.Hour)
		r.bucket.Abort(func(sink.Upload) bool { return true }) // the bucket's lifecycle rule
		next := r.start()
		r.delivered()
		if err := deliver(); !errors.Is(err, sink.ErrNoUpload) {
			t.Errorf("the late publish gave %v", err)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		if next.metric("standpipe_rereads_total", "") != 1 {
			t.Error("the roll-back was not counted")
		}
	})
}

// D.8 row 13, the other half: the records are gone with the uploads.
func TestARollbackPastRetentionIsAGapInTheManifestAndNeverSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Absence.AbortAfter = 24 * time.Hour })
		_, first := r.put("a", []byte("first"), "first")
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.put("b", []byte("lost with its upload"))
		r.records--
		p = r.boot()
		p.late("publish")
		p.run()
		<-p.done
		time.Sleep(25 * time.Hour)
		r.bucket.Abort(func(sink.Upload) bool { return true })
		_, third := r.put("c", []byte("third"), "third")
		next := r.start()
		r.delivered()
		if s := next.status(shardID(0)); len(s.Gaps) != 1 {
			t.Errorf("status %+v shows no gap", s)
		}
		if n := next.metric("standpipe_gaps_total", ""); n != 1 {
			t.Errorf("standpipe_gaps_total is %v", n)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		all := r.manifests(r.lease(shardID(0)))
		if g := all[len(all)-1].Gaps; len(g) != 1 || g[0].After.Sequence != first || g[0].Before != third {
			t.Errorf("gaps %+v, want one from %s to %s", g, first, third)
		}
	})
}

// partly prepares a flush of three objects, publishes the first and crashes.
func (r *rig) partly() {
	r.prefix("data/!{timestamp:yyyy/MM/dd/HH/mm}/")
	for n := range 30 {
		r.event(n)
		time.Sleep(6 * time.Second) // three minutes, three or four objects
	}
	r.halfway()
	if len(r.data()) != 1 {
		r.t.Fatalf("%d objects visible; the scene needs one of several", len(r.data()))
	}
}

// halfway starts a worker that crashes when it publishes its second object.
func (r *rig) halfway() {
	p, published := r.boot(), 0
	p.gate.set(func(_ context.Context, op string, do func() error) error {
		if op == "publish" {
			if published++; published == 2 {
				p.gate.kill()
				p.stop()
				return errDead
			}
		}
		return do()
	})
	p.run()
	<-p.done
	if published != 2 {
		r.t.Fatalf("%d objects were published, the scene needs a crash at the second", published)
	}
}

// D.8 row 7, and 22 with the policies.
func TestAPreparedFlushIsFinishedWithoutReadingTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.partly()
		r.admin("/admin/trim", `{}`) // nothing is left to read
		next := r.start()
		r.delivered()
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// D.8 rows 14 and 15: a crash at any call of a repair, then a repair again.
func TestLostObjectsOfAHalfPublishedFlushAreRepairedAndTheOthersKept(t *testing.T) {
	for k := 0; k < 40; k++ {
		var reached atomic.Bool
		var n atomic.Int64
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1, func(r *rig) { r.settings.Absence.Ambiguous = Republish })
			r.partly()
			kept := r.bucket.Objects()
			r.bucket.Abort(func(sink.Upload) bool { return true })
			if k > 0 {
				p := r.boot()
				p.gate.set(func(_ context.Context, op string, do func() error) error {
					if slices.Contains([]string{"begin", "append", "write", "repair", "publish", "commit"}, op) {
						if n.Add(1) == int64(k) {
							reached.Store(true)
							p.gate.kill()
							p.stop()
							return errDead
						}
					}
					return do()
				})
				p.run()
				r.until("a crash or the end", func() bool { return reached.Load() || r.committed() == r.records })
				p.stop()
				<-p.done
			}
			next := r.start()
			r.delivered()
			if err := next.end(); err != nil {
				t.Fatal(err)
			}
			r.verify()
			if n := r.budget.Used(); n != 0 {
				t.Errorf("%d bytes never given back", n)
			}
			for _, o := range kept {
				if _, err := r.sink.Probe(context.Background(), o.Key); err != nil {
					t.Errorf("%s was visible before the repair and is not now", o.Key)
				}
			}
			m := r.manifests(r.lease(shardID(0)))[0]
			if m.Rev == 0 {
				t.Error("the manifest does not show the repair")
			}
		})
		if t.Failed() {
			t.Fatalf("with a crash at call %d", k)
		}
		if k > 0 && !reached.Load() {
			return
		}
	}
	t.Fatal("the repair never came to an end within 40 calls")
}

// D.8 row 14 past retention.
func TestARepairPastRetentionStopsTheShardAndSaysDataLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Absence.Ambiguous = Republish })
		r.partly()
		r.bucket.Abort(func(sink.Upload) bool { return true })
		r.admin("/admin/trim", `{}`)
		r.put("later", []byte("later"), "later")
		before := r.lease(shardID(0))
		next := r.start()
		r.until("the shard fails", func() bool { return next.status(shardID(0)).Error != "" })
		if e := next.status(shardID(0)).Error; !strings.Contains(e, "data loss") {
			t.Errorf("error %q", e)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		after := r.lease(shardID(0))
		if after.Checkpoint != before.Checkpoint || after.Pending == nil || string(after.Pending.State) != string(before.Pending.State) {
			t.Errorf("the lease was changed from %+v to %+v", before, after)
		}
		if n := r.budget.Used(); n != 0 {
			t.Errorf("%d bytes never given back", n)
		}
	})
}

// D.8 row 22.
func TestAnObjectRemovedBeforeTheCommitIsJudgedByThePolicy(t *testing.T) {
	for _, policy := range []Ambiguous{Halt, AssumePublished, Republish} {
		t.Run(string(policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, func(r *rig) { r.settings.Absence.Ambiguous = policy })
				r.events(0, 5)
				p := r.boot()
				p.late("commit")
				p.run()
				<-p.done
				taken := r.data()
				for key := range taken { // a consumer moves it away at once
					r.bucket.Remove(key)
				}
				r.removeUnder(manifest.StatePrefix + "commits/") // the crash came before it, say
				next := r.start()
				if policy == Halt {
					r.until("the shard fails", func() bool { return next.status(shardID(0)).Error != "" })
					if e := next.status(shardID(0)).Error; !strings.Contains(e, "Standpipe.OnAbsent") {
						t.Errorf("error %q names no setting", e)
					}
				} else {
					r.delivered()
				}
				if err := next.end(); err != nil {
					t.Fatal(err)
				}
				if n := len(r.data()); (n == 1) != (policy == Republish) {
					t.Errorf("%d objects after policy %s", n, policy)
				}
			})
		})
	}
}

// A store whose rows an operator can delete.
type erasable struct {
	checkpoint.Store
	mu     sync.Mutex
	erased map[standpipe.ShardID]checkpoint.Store // where the row lives since
}

func (e *erasable) of(id standpipe.ShardID) checkpoint.Store {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.erased[id]; s != nil {
		return s
	}
	return e.Store
}

// D.8 row 20.
func TestACheckpointMovedByAnotherProgramStopsTheShardAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.events(0, 20)
		p := r.boot()
		p.late("publish")
		p.run()
		<-p.done
		staged := func(shard standpipe.ShardID) bool {
			return slices.ContainsFunc(r.bucket.Staged(), func(u sink.Upload) bool { return u.Object.Metadata["standpipe-shard"] == string(shard) })
		}
		var hit checkpoint.Lease // the one held back; the other's publish may have been under way and done
		for _, l := range r.leases() {
			if l.Pending != nil && staged(l.Shard) {
				hit = l
			}
		}
		moved := standpipe.Position{Sequence: "49999999999999999999999999999999999999999999999999999999"}
		if _, err := r.store.Update(t.Context(), checkpoint.Update{Shard: hit.Shard, Set: checkpoint.Change{Checkpoint: &moved}}); err != nil {
			t.Fatal(err)
		}
		next := r.start()
		other := shardID(0)
		if hit.Shard == other {
			other = shardID(1)
		}
		r.until("the other shard is delivered", func() bool { return r.begun(other) })
		r.until("the shard fails", func() bool { return next.status(hit.Shard).Error != "" })
		if e := next.status(hit.Shard).Error; !strings.Contains(e, "another program moved the checkpoint") {
			t.Errorf("error %q", e)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		if l := r.lease(hit.Shard); l.Checkpoint != moved || l.Pending == nil {
			t.Errorf("the row was changed: %+v", l)
		}
		if !staged(hit.Shard) {
			t.Error("objects of the prepared intent were discarded")
		}
	})
}

func TestEverythingInDoubtIsNamedInTheError(t *testing.T) {
	cases := []struct {
		name, hint string
		damage     func(r *rig, l checkpoint.Lease)
	}{
		{"intent of an unknown version", "run the version of standpipe that prepared it", func(r *rig, l checkpoint.Lease) {
			r.setPending(l, strings.Replace(string(l.Pending.State), `"v":1`, `"v":2`, 1))
		}},
		{"intent that is garbage", "run the version of standpipe that prepared it", func(r *rig, l checkpoint.Lease) {
			r.setPending(l, "\x00")
		}},
		{"intent of another destination", "start once with the former destination", func(r *rig, l checkpoint.Lease) {
			r.setPending(l, strings.Replace(string(l.Pending.State), `"sink":"memory://"`, `"sink":"s3://old"`, 1))
		}},
		{"plan deleted", "somebody deleted objects under _standpipe/pending/", func(r *rig, l checkpoint.Lease) {
			r.removeUnder(pendingOf(l))
		}},
		{"plan overwritten", "the plan was overwritten", func(r *rig, l checkpoint.Lease) {
			r.overwriteUnder(pendingOf(l))
		}},
		{"foreign object under our key", "another program writes or copies objects under this prefix", func(r *rig, l checkpoint.Lease) {
			ours := func(u sink.Upload) bool { return u.Metadata["standpipe-shard"] == string(l.Shard) }
			for _, u := range r.bucket.Staged() {
				if !ours(u) {
					continue
				}
				foreign := sink.Object{Key: u.Key, Metadata: map[string]string{"who": "me"}}
				if err := r.sink.Put(context.Background(), foreign, strings.NewReader("x")); err != nil {
					r.t.Fatal(err)
				}
			}
			r.bucket.Abort(ours)
		}},
		{"manifest differs", "restored from a backup", func(r *rig, l checkpoint.Lease) {
			if err := r.sink.WriteOnce(context.Background(), manifest.Key(originOf(l), 1), []byte("{}")); err != nil {
				r.t.Fatal(err)
			}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2)
				r.prefix("data/!{timestamp:yyyy/MM/dd/HH/mm/ss}/") // several objects: the plan is an object
				for n := range 20 {
					r.event(n)
					time.Sleep(time.Second)
				}
				p := r.boot()
				p.late("publish")
				p.run()
				<-p.done
				leases := r.leases()
				hit := leases[slices.IndexFunc(leases, func(l checkpoint.Lease) bool { return l.Pending != nil })]
				other := leases[slices.IndexFunc(leases, func(l checkpoint.Lease) bool { return l.Shard != hit.Shard })]
				c.damage(r, hit)
				hit = r.lease(hit.Shard)
				next := r.start()
				r.until("the other shard is delivered", func() bool { return r.begun(other.Shard) })
				r.until("the damaged one has failed twice", func() bool { return next.metric("standpipe_shard_failures_total", "") >= 2 })
				if e := next.status(hit.Shard).Error; !strings.Contains(e, c.hint) {
					t.Errorf("error %q lacks the hint %q", e, c.hint)
				}
				if err := next.end(); err != nil {
					t.Fatal(err)
				}
				l := r.lease(hit.Shard)
				if l.Checkpoint != hit.Checkpoint || l.Flush != hit.Flush || l.Commits != hit.Commits || l.Pending == nil || string(l.Pending.State) != string(hit.Pending.State) {
					t.Errorf("the lease was touched:\n%+v\n%+v", hit, l)
				}
			})
		})
	}
}

func pendingOf(l checkpoint.Lease) string {
	return fmt.Sprintf("%spending/%s-%s/%s/", manifest.StatePrefix, streamName, l.Incarnation, l.Shard)
}

func (r *rig) setPending(l checkpoint.Lease, state string) {
	r.t.Helper()
	u := checkpoint.Update{Shard: l.Shard, Set: checkpoint.Change{Pending: &checkpoint.Pending{Position: l.Pending.Position, State: []byte(state)}}}
	if state == string(l.Pending.State) {
		r.t.Fatal("the damage changes nothing")
	}
	if _, err := r.store.Update(context.Background(), u); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) under(prefix string) (keys []string) {
	r.t.Helper()
	for _, o := range r.bucket.Objects() {
		if strings.HasPrefix(o.Key, prefix) {
			keys = append(keys, o.Key)
		}
	}
	if len(keys) == 0 {
		r.t.Fatalf("no object under %s", prefix)
	}
	return keys
}

func (r *rig) removeUnder(prefix string) {
	for _, key := range r.under(prefix) {
		r.bucket.Remove(key)
	}
}

func (r *rig) overwriteUnder(prefix string) {
	for _, key := range r.under(prefix) {
		if err := r.sink.Put(context.Background(), sink.Object{Key: key}, strings.NewReader("{}")); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (e *erasable) erase(id standpipe.ShardID, fresh checkpoint.Store) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.erased[id] = fresh
}

func (e *erasable) Create(ctx context.Context, l checkpoint.Lease) error {
	return e.of(l.Shard).Create(ctx, l)
}

func (e *erasable) Get(ctx context.Context, id standpipe.ShardID) (checkpoint.Lease, error) {
	return e.of(id).Get(ctx, id)
}

func (e *erasable) Update(ctx context.Context, u checkpoint.Update) (checkpoint.Lease, error) {
	return e.of(u.Shard).Update(ctx, u)
}

func (e *erasable) Roster(ctx context.Context) (all checkpoint.Roster, err error) {
	if all, err = e.Store.Roster(ctx); err != nil {
		return all, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all.Leases = slices.DeleteFunc(all.Leases, func(l checkpoint.Lease) bool { return e.erased[l.Shard] != nil })
	for _, s := range e.erased {
		more, err := s.Roster(ctx)
		if err != nil {
			return all, fmt.Errorf("list the rows made anew: %w", err)
		}
		all.Leases = append(all.Leases, more.Leases...)
	}
	return all, nil
}
