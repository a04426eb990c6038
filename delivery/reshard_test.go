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

	"go.uber.org/zap/zaptest/observer"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	storemem "github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/consumer"
)

// The hash keys that split a stream's only shard, and its upper half.
const (
	half         = "170141183460469231731687303715884105728"
	threeQuarter = "255211775190703847597530955573826158592"
)

func TestReshardsUnderLoadWithStopsAndCrashesLoseAndDoubleNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Limits.Age = 3 * time.Second })
		p := r.start()
		n := 0
		load := func() { r.events(n, n+20); n += 20; time.Sleep(700 * time.Millisecond) }
		steps := []func(){
			func() { r.split(string(shardID(0)), half) },               // 1, 2
			func() { r.split(string(shardID(2)), threeQuarter) },       // 3, 4
			func() { p.crash(); p = r.start() },                        //
			func() { r.merge(string(shardID(1)), string(shardID(3))) }, // 5
			func() { _ = p.end(); load(); p = r.start() },              //
			func() { r.merge(string(shardID(5)), string(shardID(4))) }, // 6
			func() { r.split(string(shardID(6)), half) },               // 7, 8
			func() { r.merge(string(shardID(7)), string(shardID(8))) }, // 9
		}
		for _, step := range steps {
			load()
			step()
			load()
		}
		r.complete(shardID(0), shardID(5), shardID(6), shardID(7))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		if l := r.leases(); len(l) != 10 {
			t.Errorf("%d leases, want 10", len(l))
		}
	})
}

// order notes in which order shards are opened and ended.
type order struct {
	mu     sync.Mutex
	events []string
}

func (o *order) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, fmt.Sprintf(format, args...))
}

func (o *order) index(event string) int { return slices.Index(o.events, event) }

// watched is a store that notes takes and ends.
type watched struct {
	checkpoint.Store
	order *order
}

func (w watched) Update(ctx context.Context, u checkpoint.Update) (checkpoint.Lease, error) {
	l, err := w.Store.Update(ctx, u)
	switch {
	case err != nil:
	case u.Set.NextEpoch:
		w.order.note("take %s", u.Shard)
	case u.Set.Checkpoint != nil && u.Set.Checkpoint.AtEnd():
		w.order.note("end %s", u.Shard)
	}
	return l, err
}

func TestAMergedShardWaitsForBothParentsEvenOneThatHasNoLeaseYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &order{}
		r := newRig(t, 2, func(r *rig) { r.store = watched{r.store, seen} })
		p := r.start()
		r.events(0, 40)
		r.delivered()
		// Shard 1 is slow: its reads hang. It splits into 2 and 3, and 2 is
		// merged with 0 into 4 before anybody has heard of 2.
		p.stall(shardID(1))
		r.events(40, 80)
		r.split(string(shardID(1)), threeQuarter)
		r.events(80, 120)
		r.merge(string(shardID(0)), string(shardID(2)))
		r.events(120, 160)
		r.until("shard 0 ended", func() bool { return r.lease(shardID(0)).Checkpoint.AtEnd() })
		time.Sleep(30 * time.Second)
		if s := p.status(shardID(4)); s.State != StateWaiting || !slices.Equal(s.WaitingFor, []standpipe.ShardID{shardID(2)}) {
			t.Errorf("the merged shard is %s, waiting for %v; its parent %s was not even begun", s.State, s.WaitingFor, shardID(2))
		}
		p.gate.set(nil)
		r.complete(shardID(0), shardID(1), shardID(2))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		seen.parentsFirst(t, r.leases())
	})
}

// parentsFirst demands that no shard was taken before its parents had ended.
func (o *order) parentsFirst(t *testing.T, leases []checkpoint.Lease) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range leases {
		for _, parent := range l.Parents {
			take, end := o.index("take "+string(l.Shard)), o.index("end "+string(parent))
			if take >= 0 && take < end || take >= 0 && end < 0 {
				t.Errorf("%s was begun before its parent %s had ended: %v", l.Shard, parent, o.events)
			}
		}
	}
}

// stall makes the reads of a shard fail until the gate is set anew.
func (p *node) stall(id standpipe.ShardID) {
	p.gate.mu.Lock()
	p.gate.stalled = id
	p.gate.mu.Unlock()
	p.rig.admin("/admin/expire-iterators", `{}`)
}

func TestClosedShardsWithUnreadDataAreDrainedInOrderAtTheFirstStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &order{}
		r := newRig(t, 1, func(r *rig) { r.store = watched{r.store, seen} })
		r.events(0, 20)
		r.split(string(shardID(0)), half) // 1, 2
		r.events(20, 40)
		r.merge(string(shardID(1)), string(shardID(2))) // 3
		r.events(40, 60)
		r.split(string(shardID(3)), half) // 4, 5
		r.events(60, 80)
		p := r.start()
		r.complete(shardID(0), shardID(1), shardID(2), shardID(3))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		seen.parentsFirst(t, r.leases())
	})
}

func TestARestartReadsNoEndedShardAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 20)
		r.split(string(shardID(0)), half)
		r.events(20, 40)
		p := r.start()
		r.complete(shardID(0))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		p = r.start()
		r.events(40, 60)
		r.delivered()
		if n := p.metric("standpipe_read_records_total", ""); n > 40 {
			t.Errorf("%v records read after the restart", n)
		}
		if s := p.status(shardID(0)); s.State != StateEnded {
			t.Errorf("the ended shard is %s", s.State)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

func TestLatestIsATimeFixedAtTheFirstStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, func(r *rig) {
			r.settings.Start = consumer.Start{Position: standpipe.Position{Sequence: standpipe.Latest}}
		})
		r.events(0, 10)
		r.want, r.records = map[string]int{}, 0 // before the start: not ours
		time.Sleep(10 * time.Second)
		p := r.start()
		time.Sleep(10 * time.Second)
		if err := p.end(); err != nil { // nothing was committed
			t.Fatal(err)
		}
		fixed := r.lease(shardID(0))
		if fixed.Checkpoint.Sequence != standpipe.AtTimestamp || fixed.StartTime.IsZero() {
			t.Errorf("lease %+v: LATEST must be made a time at once", fixed)
		}
		r.events(10, 30) // while nobody runs
		r.split(string(shardID(0)), "85070591730234615865843651857942052864")
		r.events(30, 50)
		p = r.start()
		r.complete(shardID(0))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		for _, l := range r.leases() {
			if len(l.Parents) > 0 && len(r.manifests(l)) > 0 && r.manifests(l)[0].Previous.Sequence != standpipe.TrimHorizon {
				t.Errorf("the child %s started at %s, not at its beginning", l.Shard, r.manifests(l)[0].Previous)
			}
		}
	})
}

// orphans stops a delivery and reshards twice while it is away, for so long that
// the generation in between leaves the stream. It returns when the grandchildren,
// whose parents have neither a lease nor a place in the list, hold records.
func (r *rig) orphans(p *node) {
	r.t.Helper()
	r.events(0, 10)
	r.delivered()
	if err := p.end(); err != nil {
		r.t.Fatal(err)
	}
	r.split(string(shardID(0)), "170141183460469231731687303715884105728")
	r.split(string(shardID(1)), "85070591730234615865843651857942052864")
	r.split(string(shardID(2)), "255211775190703847597530955573826158592")
	time.Sleep(26 * time.Hour)
	r.events(10, 60)
	time.Sleep(time.Minute)
}

// Aim: LATEST is for the beginning of a delivery and never for what grew since.
// Method: grandchildren of the only shard that has a lease.
func TestALongStopOverTwoReshardsSkipsNothingThatIsThere(t *testing.T) {
	for name, forget := range map[string]bool{"begun here": false, "taken over from another program": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, func(r *rig) {
					r.settings.Start = consumer.Start{Position: standpipe.Position{Sequence: standpipe.Latest}}
				})
				p := r.start()
				r.until("the shard is read", func() bool { return !p.status(shardID(0)).ReadAt.IsZero() })
				r.orphans(p)
				if forget { // as a row of KCL: it does not say when it began
					never := time.Time{}
					if _, err := r.store.Update(t.Context(), checkpoint.Update{Shard: shardID(0), Set: checkpoint.Change{StartTime: &never}}); err != nil {
						t.Fatal(err)
					}
				}
				p = r.start()
				r.delivered()
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
			})
		})
	}
}

func TestAtTimestampDeliversWhatArrivedFromThenOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.events(0, 20)
		time.Sleep(time.Minute)
		at := time.Now()
		r.want, r.records = map[string]int{}, 0
		r.events(20, 40)
		r.settings.Start = consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: at}
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

func TestAFirstStartThatDiedHalfWaySkipsNothingOfTheConfiguredStart(t *testing.T) {
	for k := 1; k <= 6; k++ {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2, func(r *rig) {
				r.settings.Start = consumer.Start{Position: standpipe.Position{Sequence: standpipe.Latest}}
			})
			r.split(string(shardID(0)), "85070591730234615865843651857942052864")
			r.split(string(shardID(1)), threeQuarter)
			r.events(0, 10)
			r.want, r.records = map[string]int{}, 0
			time.Sleep(10 * time.Second)
			p := r.boot()
			var n atomic.Int64
			p.gate.set(func(_ context.Context, op string, do func() error) error {
				if op == "create" {
					if n.Add(1) == int64(k) {
						p.gate.kill()
						p.stop()
						return errDead
					}
				}
				return do()
			})
			p.run()
			<-p.done
			if k == 1 { // no lease, nothing fixed: it is a first start still
				time.Sleep(time.Second)
			} else {
				r.events(10, 30)
				time.Sleep(10 * time.Second) // what arrived meanwhile is not to be skipped
			}
			p = r.start()
			time.Sleep(10 * time.Second)
			r.events(30, 50)
			r.until("committed", func() bool { return r.committed() >= r.records })
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			r.verify()
		})
	}
}

func TestNewShardsThatNobodyNamedAreFoundWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		p := r.start()
		r.events(0, 10)
		r.delivered()
		// The parent's last page is lost: an operator marks it ended by hand.
		r.split(string(shardID(0)), half)
		end := standpipe.Position{Sequence: standpipe.ShardEnd}
		p.stall(shardID(0))
		l := r.lease(shardID(0))
		if _, err := r.store.Update(t.Context(), checkpoint.Update{Shard: l.Shard, Set: checkpoint.Change{Checkpoint: &end}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(syncEvery * 6 / 5) // the longest between two looks
		if len(r.leases()) != 3 {
			t.Errorf("%d leases a minute after the split", len(r.leases()))
		}
		p.crash()
	})
}

// D.8 row 21.
func TestADeletedLeaseIsLoudAndMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &erasable{Store: new(storemem.Store), erased: map[standpipe.ShardID]checkpoint.Store{}}
		r := newRig(t, 2, func(r *rig) { r.store = rows })
		p := r.start()
		r.events(0, 20)
		r.delivered()
		old := r.lease(shardID(0))
		rows.erase(shardID(0), new(storemem.Store))
		for range 40 {
			r.events(20, 40)
			time.Sleep(5 * time.Second)
		}
		fresh := r.lease(shardID(0))
		if fresh.Incarnation == old.Incarnation || fresh.Checkpoint.AtStart() {
			t.Errorf("the row made anew is %+v", fresh)
		}
		if n := p.metric("standpipe_shard_failures_total", ""); n == 0 {
			t.Error("a deleted lease passed in silence")
		}
		if !slices.ContainsFunc(r.logs.All(), func(e observer.LoggedEntry) bool {
			return strings.Contains(fmt.Sprint(e.ContextMap()), "the lease was deleted while in use")
		}) {
			t.Error("no log line names the deleted lease")
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestARecreatedStreamIsRefusedWithTheHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		before := r.lease(shardID(0))
		r.call("DeleteStream", map[string]any{"StreamName": streamName})
		time.Sleep(time.Minute)
		r.call("CreateStream", map[string]any{"StreamName": streamName, "ShardCount": 1})
		r.events(10, 20)
		err := r.boot().Run(t.Context())
		var e *standpipe.Error
		if !errors.As(err, &e) || e.Class != standpipe.Fatal || !strings.Contains(e.Hint, "Standpipe.Checkpoint.Path") {
			t.Errorf("a stream of the same name gave %v", err)
		}
		if after := r.lease(shardID(0)); after.Counter != before.Counter {
			t.Error("the old checkpoints were touched")
		}
	})
}

func TestAStreamRecreatedUnderALiveWorkerStopsItsShardsAndMovesNoCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.start()
		r.delivered()
		before := r.lease(shardID(0)).Checkpoint
		r.call("DeleteStream", map[string]any{"StreamName": streamName})
		r.call("CreateStream", map[string]any{"StreamName": streamName, "ShardCount": 1})
		for n := range 60 {
			r.event(100 + n)
			time.Sleep(10 * time.Second)
		}
		s := p.status(shardID(0))
		if s.Error == "" && s.Holding == "" {
			t.Errorf("status %+v", s)
		}
		if after := r.lease(shardID(0)).Checkpoint; after != before {
			t.Errorf("the checkpoint moved from %s to %s of another stream", before, after)
		}
		p.crash()
	})
}

// Aim: a worker that has no shard of the stream any more says so, for a person
// has to act. Method: a stream made anew that has none of the shards in hand.
func TestAWorkerWhoseStreamWasMadeAnewIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		p := r.start()
		r.events(0, 10)
		r.split(string(shardID(0)), "170141183460469231731687303715884105728")
		r.complete(shardID(0))
		r.call("DeleteStream", map[string]any{"StreamName": streamName})
		time.Sleep(time.Minute)
		r.call("CreateStream", map[string]any{"StreamName": streamName, "ShardCount": 1})
		for n := range 60 {
			r.event(100 + n)
			time.Sleep(10 * time.Second)
		}
		if err := p.Ready(); err == nil || !strings.Contains(err.Error(), "Standpipe.Checkpoint.Path") {
			t.Errorf("ready: %v, delivering nothing of a stream that has records", err)
		}
		p.crash()
	})
}

func TestAnUnknownStreamIsOneClearError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.call("DeleteStream", map[string]any{"StreamName": streamName})
		err := r.boot().Run(t.Context())
		var e *standpipe.Error
		if !errors.As(err, &e) || e.Class != standpipe.Fatal || !strings.Contains(e.Hint, "KinesisStreamSourceConfiguration.KinesisStreamARN") {
			t.Errorf("an unknown stream gave %v", err)
		}
		if len(r.leases()) != 0 {
			t.Error("leases were made for a stream that is not there")
		}
	})
}

func TestAShardThatLeftRetentionUnreadIsAGapInItsLastManifest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		lost := r.records
		r.events(10, 20)
		r.want, r.records = lines(0, 10), lost
		r.split(string(shardID(0)), half)
		time.Sleep(26 * time.Hour) // the shard is gone from the stream
		r.events(20, 30)
		p = r.start()
		r.complete(shardID(0))
		if s := p.status(shardID(0)); len(s.Gaps) != 1 || s.State != StateEnded {
			t.Errorf("status %+v", s)
		}
		// Its children are as old, and nobody can tell whether they had records
		// that are gone too: each says so with its first one.
		r.delivered()
		for n := 1; n <= 2; n++ {
			if g := r.gaps(shardID(n)); len(g) != 1 || g[0].Certain || g[0].After.Sequence != standpipe.TrimHorizon {
				t.Errorf("child %d tells of %+v, want one gap that is not certain", n, g)
			}
		}
		if n := p.metric("standpipe_gaps_total", ""); n != 3 {
			t.Errorf("standpipe_gaps_total is %v", n)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		all := r.manifests(r.lease(shardID(0)))
		if g := all[len(all)-1].Gaps; len(g) != 1 || g[0].Before != "" || g[0].After != all[0].Last {
			t.Errorf("gaps %+v", g)
		}
	})
}

func lines(from, to int) map[string]int {
	m := map[string]int{}
	for n := from; n < to; n++ {
		m[fmt.Sprintf(`{"event":%d}`, n)]++
	}
	return m
}

// Aim: a shard whose parents have no lease yet, though the stream has them, is not
// begun. Method: a look at the stream finds two generations at once, and the
// store takes only the first half of their leases for two minutes.
func TestAChildFoundTogetherWithItsParentIsNotBegunBeforeItsParentHasALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &order{}
		r := newRig(t, 1, func(r *rig) { r.store = watched{r.store, seen}; shared(r) })
		p := r.start()
		r.events(0, 20)
		r.delivered()
		p.stall(shardID(0))
		r.events(20, 40)
		r.split(string(shardID(0)), half) // 1, 2
		r.events(40, 60)
		r.merge(string(shardID(1)), string(shardID(2))) // 3
		r.events(60, 80)
		r.split(string(shardID(3)), half) // 4, 5
		r.events(80, 100)
		var made atomic.Int64
		p.gate.mu.Lock()
		p.gate.hook = func(_ context.Context, op string, do func() error) error {
			if op == "create" && made.Add(1) > 2 {
				return unavailable("table")
			}
			return do()
		}
		p.gate.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if made.Load() <= 2 {
			t.Fatal("no lease was refused")
		}
		p.gate.set(nil)
		r.complete(shardID(0), shardID(1), shardID(2), shardID(3))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		seen.parentsFirst(t, r.leases())
	})
}

// leaky is a store whose listing misses a lease: one that was made while the
// listing was under way, as Store.Roster allows.
type leaky struct {
	checkpoint.Store
	leaks func(checkpoint.Lease) bool
}

func (l leaky) Roster(ctx context.Context) (checkpoint.Roster, error) {
	r, err := l.Store.Roster(ctx)
	r.Leases = slices.DeleteFunc(slices.Clone(r.Leases), l.leaks)
	return r, err
}

func TestAChildIsNotBegunByAListingThatMissedItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &order{}
		var missed atomic.Pointer[standpipe.ShardID]
		r := newRig(t, 1, func(r *rig) {
			shared(r)
			r.store = leaky{watched{r.store, seen}, func(l checkpoint.Lease) bool {
				id := missed.Load()
				return id != nil && l.Shard == *id && l.Epoch == 0
			}}
		})
		p := r.start()
		r.events(0, 20)
		r.delivered()
		p.stall(shardID(0))
		r.split(string(shardID(0)), half) // 1, 2
		r.events(20, 60)
		r.merge(string(shardID(1)), string(shardID(2))) // 3
		r.events(60, 80)
		id := shardID(1)
		missed.Store(&id)
		r.until("the grandchild has a lease", func() bool {
			return slices.ContainsFunc(r.leases(), func(l checkpoint.Lease) bool { return l.Shard == shardID(3) })
		})
		p.gate.set(nil)
		r.until("the parent that is listed ended", func() bool { return r.lease(shardID(2)).Checkpoint.AtEnd() })
		time.Sleep(30 * time.Second)
		missed.Store(nil)
		r.complete(shardID(1))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		seen.parentsFirst(t, r.leases())
	})
}
