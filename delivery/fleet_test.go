package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
)

// shared makes the rig's workers a fleet.
func shared(r *rig) { r.settings.Lease.Duration = 10 * time.Second }

// held is the number of shards a node delivers now.
func (p *node) held() (n int) {
	for _, s := range p.Status() {
		switch s.State {
		case StateOpening, StateRecovering, StateDelivering, StateDraining:
			n++
		}
	}
	return n
}

// balanced says that the nodes own all shards that can be delivered, evenly,
// and that none is on its way.
func (r *rig) balanced(nodes ...*node) bool {
	owned := map[string]int{}
	want := 0
	for _, l := range r.leases() {
		if !l.Checkpoint.AtEnd() {
			want++
			owned[l.Owner]++
		}
	}
	least, most, sum := 1<<30, 0, 0
	for _, p := range nodes {
		n := owned[p.settings.Worker]
		if p.states()[StateDelivering] != n {
			return false
		}
		least, most, sum = min(least, n), max(most, n), sum+n
	}
	return want > 0 && sum == want && most-least <= 1
}

// pauses measures, for each shard, the longest time in which nobody fetched it.
type pauses struct {
	mu      sync.Mutex
	last    map[standpipe.ShardID]time.Time
	longest map[standpipe.ShardID]time.Duration
}

func (p *pauses) saw(id standpipe.ShardID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if last, ok := p.last[id]; ok {
		p.longest[id] = max(p.longest[id], now.Sub(last))
	}
	p.last[id] = now
}

func (p *pauses) most() (most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.longest {
		most = max(most, d)
	}
	return most
}

// sampled notes, every 100 ms until ctx ends, which shards are delivered by
// anybody who reads.
func (p *pauses) sample(ctx context.Context, nodes func() []*node) {
	for ctx.Err() == nil {
		for _, n := range nodes() {
			for _, s := range n.Status() {
				if s.State == StateDelivering {
					p.saw(s.Shard)
				}
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// A restart is a fleet under load whose workers are replaced.
type restart struct {
	*rig
	pauses *pauses
	sent   int

	mu   sync.Mutex
	ever []*node // guarded by mu

	sampled func() // ends the sampling
}

// restarting starts three workers on twelve shards.
func restarting(t *testing.T) *restart {
	t.Helper()
	r := &restart{
		rig:    newRig(t, 12, shared),
		pauses: &pauses{last: map[standpipe.ShardID]time.Time{}, longest: map[standpipe.ShardID]time.Duration{}},
	}
	nodes := []*node{r.add(), r.add(), r.add()}
	r.until("balanced", func() bool { return r.balanced(nodes...) })
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { r.pauses.sample(ctx, r.all) })
	r.sampled = func() { stop(); group.Wait() }
	return r
}

func (r *restart) add() *node {
	w := r.start()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ever = append(r.ever, w)
	return w
}

func (r *restart) all() []*node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ever)
}

func (r *restart) load(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
		r.events(r.sent, r.sent+25)
		r.sent += 25
	}
}

// stopped says that a worker that was told to has stopped as it should.
func (r *restart) stopped(w *node) {
	r.t.Helper()
	<-w.done
	if w.err != nil {
		r.t.Error(w.err)
	}
	if lost := w.metric("standpipe_lease_lost_total", ""); lost != 0 {
		r.t.Errorf("a worker lost %v leases", lost)
	}
}

// end wants everything delivered once by those that are left, without a pause.
func (r *restart) end(left ...*node) {
	r.t.Helper()
	r.until("balanced", func() bool { return r.balanced(left...) })
	r.delivered()
	r.sampled()
	most := r.pauses.most()
	r.t.Logf("longest pause of a shard %v", most)
	if most > 5*time.Second {
		r.t.Errorf("a shard stood still for %v", most)
	}
	for _, w := range left {
		if n := w.metric("standpipe_rereads_total", ""); n != 0 {
			r.t.Errorf("%v ranges were read again", n)
		}
		if err := w.end(); err != nil {
			r.t.Error(err)
		}
	}
	r.verify()
	r.idle()
	if ws := r.roster().Workers; len(ws) != 0 {
		r.t.Errorf("rows of workers were left: %+v", ws)
	}
}

func TestARollingRestartOfThreeWorkersPausesNoShardForFiveSecondsAndDeliversNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := restarting(t)
		r.load(15 * time.Second)
		for _, old := range r.all() {
			r.add() // the new one comes first, as a rolling deploy does it
			r.load(12 * time.Second)
			old.stop()
			r.load(6 * time.Second)
			r.stopped(old)
		}
		r.load(10 * time.Second)
		r.end(r.all()[3:]...)
	})
}

// What a worker does for others when it goes must not hold it up.
func TestAStopDoesNotWaitForAStoreThatDoesNotListTheLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		p := r.start()
		r.events(0, 20)
		r.until("all is read", func() bool { return p.metric("standpipe_read_records_total", "") == 20 })
		p.gate.set(func(ctx context.Context, op string, do func() error) error {
			if op == "roster" {
				<-ctx.Done()
				return ctx.Err()
			}
			return do()
		})
		began := time.Now()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > aside+time.Second {
			t.Errorf("the stop took %v", d)
		}
		r.verify()
	})
}

// Those that stop together leave shards to each other, for none can know yet that
// the others stop as well.
func TestWorkersThatAreReplacedTogetherPauseNoShardForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := restarting(t)
		r.load(5 * time.Second)
		for range 3 {
			r.add()
		}
		r.load(15 * time.Second)
		old := r.all()[:3]
		for _, w := range old {
			w.stop()
		}
		r.load(20 * time.Second)
		for _, w := range old {
			r.stopped(w)
		}
		r.end(r.all()[3:]...)
	})
}

// owners is who has each lease, and at which epoch.
func (r *rig) owners() map[standpipe.ShardID]string {
	r.t.Helper()
	owners := map[standpipe.ShardID]string{}
	for _, l := range r.leases() {
		owners[l.Shard] = fmt.Sprint(l.Owner, " at epoch ", l.Epoch)
	}
	return owners
}

func (r *rig) roster() checkpoint.Roster {
	r.t.Helper()
	all, err := r.store.Roster(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func TestALoneWorkerThatStopsReleasesEverythingAndTheNextStartTakesItAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8, shared)
		p := r.start()
		r.events(0, 100)
		r.until("all shards are delivered here", func() bool { return p.held() == 8 })
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		for _, l := range r.leases() {
			if l.Owner != "" || l.Successor != "" {
				t.Errorf("lease after the stop: %+v", l)
			}
		}
		p = r.start()
		time.Sleep(time.Second)
		if n := p.held(); n != 8 {
			t.Errorf("%d shards a second after the start, want 8", n)
		}
		r.delivered()
		_ = p.end()
		r.verify()
	})
}

func TestACrashedWorkersShardsAreReadAgainWithinTwoLeaseDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 9, shared)
		nodes := []*node{r.start(), r.start(), r.start()}
		r.events(0, 200)
		r.until("balanced", func() bool { return r.balanced(nodes...) })
		nodes[1].crash()
		time.Sleep(20 * time.Second)
		if !r.balanced(nodes[0], nodes[2]) {
			t.Errorf("20 s after the crash the others hold %d and %d", nodes[0].held(), nodes[2].held())
		}
		r.events(200, 400)
		r.delivered()
		_, _ = nodes[0].end(), nodes[2].end()
		r.verify()
	})
}

func TestTenLeaseDurationsOfBackPressureLoseNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6, shared, func(r *rig) { r.budget = NewBudget(8 << 20) })
		nodes := []*node{r.start(), r.start()}
		r.until("balanced", func() bool { return r.balanced(nodes...) })
		owners := r.owners()
		for _, p := range nodes {
			p.gate.refuse(unavailable("s3"), sinkCalls...)
		}
		for n := range 100 { // a lease duration ten times over
			r.events(n*20, n*20+20)
			time.Sleep(time.Second)
		}
		if diff := cmp.Diff(owners, r.owners()); diff != "" {
			t.Error(diff)
		}
		for _, p := range nodes {
			p.gate.set(nil)
		}
		r.delivered()
		for _, p := range nodes {
			if n := p.metric("standpipe_lease_lost_total", ""); n != 0 {
				t.Errorf("%v leases lost", n)
			}
			if err := p.end(); err != nil {
				t.Error(err)
			}
		}
		r.verify()
	})
}

func TestAnOutageOfTheStoreOfTenMinutesMovesNoLeaseAndReadersComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6, shared)
		nodes := []*node{r.start(), r.start()}
		r.events(0, 100)
		r.until("balanced", func() bool { return r.balanced(nodes...) })
		owners := r.owners()
		for _, p := range nodes {
			p.gate.refuse(unavailable("dynamodb"), storeCalls...)
		}
		time.Sleep(10 * time.Minute)
		r.events(100, 200)
		for _, p := range nodes {
			p.gate.set(nil)
			time.Sleep(3 * time.Second)
		}
		r.delivered()
		if diff := cmp.Diff(owners, r.owners()); diff != "" {
			t.Error(diff)
		}
		_, _ = nodes[0].end(), nodes[1].end()
		r.verify()
	})
}

func TestAWorkerThatIsCutOffFromTheStoreStopsReadingAndLosesItsShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, shared)
		a, b := r.start(), r.start()
		r.events(0, 100)
		r.until("balanced", func() bool { return r.balanced(a, b) })
		a.gate.refuse(unavailable("dynamodb"), storeCalls...)
		time.Sleep(12 * time.Second)
		if !a.Fleet().CutOff || a.Ready() == nil {
			t.Error("a worker without heartbeats calls itself ready")
		}
		reads := a.gate.count("GetRecords")
		time.Sleep(30 * time.Second)
		if n := a.gate.count("GetRecords") - reads; n > 0 {
			t.Errorf("%d pages read by a worker that is cut off", n)
		}
		if b.held() != 4 {
			t.Errorf("the other worker holds %d of 4", b.held())
		}
		r.events(100, 200)
		a.gate.set(nil)
		r.until("balanced", func() bool { return r.balanced(a, b) })
		if a.Fleet().CutOff {
			t.Error("still cut off")
		}
		r.events(200, 300)
		r.delivered()
		_, _ = a.end(), b.end()
		r.verify()
	})
}

func TestAHandOverWhosePublishHangsLeavesTheIntentAndTheShardGoesOnInSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared, func(r *rig) { r.settings.Limits.Age = time.Hour })
		a := r.start()
		r.until("one worker has both", func() bool { return a.held() == 2 })
		r.events(0, 100)
		r.until("everything is read", func() bool { return a.metric("standpipe_read_records_total", "") == 100 })
		b := r.boot()
		b.run()
		a.gate.set(func(ctx context.Context, op string, do func() error) error {
			if op == "publish" {
				<-ctx.Done()
				return ctx.Err()
			}
			return do()
		})
		r.until("they have met", func() bool { return len(a.Fleet().Workers) == 2 })
		begun := time.Now()
		a.stop()
		r.until("the other delivers both", func() bool { return b.held() == 2 && r.committed() == 100 })
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the hand-over took %v", took)
		}
		<-a.done
		if a.err != nil {
			t.Error(a.err)
		}
		if n := a.metric("standpipe_leases_handed_over_total", ""); n != 2 {
			t.Errorf("%v hand-overs, want 2", n)
		}
		_ = b.end()
		r.verify()
	})
}

func TestAHandOverStoppedAtAnyStepLeavesNoShardWithNobody(t *testing.T) {
	for _, op := range []string{"begin", "append", "prepare", "publish", "write", "commit", "release", "nudge", "take"} {
		for _, who := range []string{"giver", "receiver"} {
			t.Run(op+" "+who, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, 4, shared, func(r *rig) { r.settings.Limits.Age = time.Hour })
					a := r.start()
					r.until("one worker has all", func() bool { return a.held() == 4 })
					r.events(0, 100)
					r.until("everything is read", func() bool { return a.metric("standpipe_read_records_total", "") == 100 })
					b := r.boot()
					victim, other := a, b
					if who == "receiver" {
						victim, other = b, a
					}
					// At the first call of this kind after the other came, the victim dies.
					a.gate.set(func(_ context.Context, at string, do func() error) error {
						err := do()
						if at == op {
							victim.gate.kill()
						}
						return err
					})
					b.gate.set(func(_ context.Context, at string, do func() error) error {
						err := do()
						if at == op && op == "take" {
							victim.gate.kill()
						}
						return err
					})
					b.run()
					time.Sleep(45 * time.Second)
					other.gate.set(nil)
					r.events(100, 200)
					time.Sleep(20 * time.Second)
					third := r.start() // so that the victim's and the other's shards both have somewhere to go
					if err := other.end(); err != nil && other != victim {
						t.Log(err)
					}
					time.Sleep(45 * time.Second)
					victim.crash()
					time.Sleep(30 * time.Second)
					if n := third.held(); n != 4 {
						t.Errorf("%d of 4 shards are delivered", n)
					}
					if err := third.end(); err != nil {
						t.Fatal(err)
					}
					if r.committed() != r.records {
						t.Errorf("%d of %d records are committed", r.committed(), r.records)
					}
					r.verify()
				})
			})
		}
	}
}

func TestAShardThatMakesNoProgressIsGivenUpAndDeliveredByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		a := r.boot()
		stuck := make(chan struct{})
		var once sync.Once
		a.parts.Stream = stuckStream{a.parts.Stream, func(id standpipe.ShardID) {
			if id == shardID(0) {
				once.Do(func() { <-stuck }) // asks no context
			}
		}}
		a.run()
		r.until("one worker has both", func() bool { return a.held() == 2 })
		b := r.start()
		r.events(0, 50)
		r.until("shard 0 is with the other", func() bool { return r.lease(shardID(0)).Owner == b.settings.Worker })
		r.delivered()
		if n := a.metric("standpipe_leases_given_up_total", "") + b.metric("standpipe_leases_given_up_total", ""); n != 1 {
			t.Errorf("%v shards were given up, want 1", n)
		}
		time.Sleep(10 * time.Minute)
		if a.Live() == nil {
			t.Error("a worker with a goroutine that does not end calls itself alive")
		}
		close(stuck)
		time.Sleep(2 * time.Minute)
		if err := a.Live(); err != nil {
			t.Error(err)
		}
		r.until("balanced", func() bool { return r.balanced(a, b) })
		_, _ = a.end(), b.end()
		r.verify()
	})
}

// Aim: a shard that was given up is left to others also when its release found the
// store away: its owner's heart beats on, so nobody would ever take it. Method: a
// goroutine that does not end, and a store that refuses the first release.
func TestAShardThatWasGivenUpInAnOutageIsReleasedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		a := r.boot()
		stuck := make(chan struct{})
		var once sync.Once
		a.parts.Stream = stuckStream{a.parts.Stream, func(id standpipe.ShardID) {
			if id == shardID(0) {
				once.Do(func() { <-stuck }) // asks no context
			}
		}}
		var refused atomic.Bool
		a.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "release" && refused.CompareAndSwap(false, true) {
				return unavailable("table")
			}
			return do()
		})
		a.run()
		r.until("one worker has both", func() bool { return a.held() == 2 })
		time.Sleep(stallAfter + time.Minute)
		if !refused.Load() {
			t.Fatal("nothing was given up, the scene needs it")
		}
		b := r.start()
		r.events(0, 50)
		time.Sleep(time.Minute)
		if owner := r.lease(shardID(0)).Owner; owner != b.settings.Worker {
			t.Errorf("the shard is with %q", owner)
		}
		close(stuck)
		r.delivered()
		_, _ = a.end(), b.end()
		r.verify()
	})
}

// Aim: a shard that was given up on a single node is delivered by that node, also
// when the call that it was stuck in comes back and meets the released lease:
// nobody else can have taken it. Method: a machine that is stopped for ten minutes
// in the middle of a prepare.
func TestAShardThatIsGivenUpInTheMiddleOfAWriteIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.events(0, 50)
		p := r.boot()
		var stopped atomic.Bool
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "prepare" && stopped.CompareAndSwap(false, true) {
				time.Sleep(10 * time.Minute) // asks no context
			}
			return do()
		})
		p.run()
		r.delivered()
		if n := p.metric("standpipe_leases_given_up_total", ""); n != 1 {
			t.Errorf("%v shards were given up, the scene needs one", n)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

func TestWaitingForMemoryOrForTheBucketIsNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8, shared, func(r *rig) { r.budget = NewBudget(3 << 20) })
		p := r.start()
		r.until("all are delivered", func() bool { return r.balanced(p) })
		p.gate.refuse(unavailable("s3"), sinkCalls...)
		hungry := false
		for n := range 240 { // 20 minutes
			if n < 40 {
				line := fmt.Sprintf("%0200000d", n)
				r.put(fmt.Sprint("key-", n), []byte(line), line)
			}
			time.Sleep(5 * time.Second)
			for _, s := range p.Status() {
				hungry = hungry || s.Holding == "waiting for memory"
			}
		}
		if !hungry {
			t.Error("the scene needs a shard that waits for memory")
		}
		if n := p.metric("standpipe_leases_given_up_total", ""); n != 0 {
			t.Errorf("%v shards were given up in an outage", n)
		}
		p.gate.set(nil)
		r.delivered()
		_ = p.end()
		r.verify()
	})
}

// stuckStream hangs in a fetch.
type stuckStream struct {
	Stream
	fetch func(standpipe.ShardID)
}

func (s stuckStream) Open(shard standpipe.Shard, from consumer.Start) Source {
	return stuckSource{s.Stream.Open(shard, from), func() { s.fetch(shard.ID) }}
}

type stuckSource struct {
	Source
	fetch func()
}

func (s stuckSource) Fetch(ctx context.Context, room int64) error {
	s.fetch()
	return s.Source.Fetch(ctx, room)
}

func TestCapacitiesThatAreTooSmallRaiseAnAlarmThatClearsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6, shared, func(r *rig) { r.settings.Lease.Capacity = 2 })
		a, b := r.start(), r.start()
		r.until("both are full", func() bool { return a.held() == 2 && b.held() == 2 })
		time.Sleep(10 * time.Second)
		if n := a.metric("standpipe_leases_starved", ""); n != 2 {
			t.Errorf("%v shards starve, want 2", n)
		}
		if n := r.logs.FilterMessageSnippet("raise Standpipe.Lease.MaxShards").Len(); n != 2 {
			t.Errorf("%d alarms in the log, want one of each worker", n)
		}
		c := r.start()
		r.until("balanced", func() bool { return r.balanced(a, b, c) })
		time.Sleep(10 * time.Second)
		if n := a.metric("standpipe_leases_starved", ""); n != 0 {
			t.Errorf("%v shards starve though there is room", n)
		}
		r.events(0, 100)
		r.delivered()
		_, _, _ = a.end(), b.end(), c.end()
		r.verify()
	})
}

func TestFiveHundredShardsAreOpenWithinSecondsOfTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 500, shared)
		p := r.boot()
		var mu sync.Mutex
		now, most := 0, 0
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "take" || op == "create" {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				defer func() { mu.Lock(); now--; mu.Unlock() }()
			}
			time.Sleep(20 * time.Millisecond) // a round trip
			return do()
		})
		begun := time.Now()
		p.run()
		r.until("all are delivered", func() bool { return p.held() == 500 && p.states()[StateDelivering] == 500 })
		took := time.Since(begun)
		t.Logf("500 shards in %v, at most %d calls at a time", took, most)
		if took > 10*time.Second {
			t.Errorf("500 shards took %v", took)
		}
		if most > 40 {
			t.Errorf("%d calls to the store at a time", most)
		}
		_ = p.end()
	})
}

func (p *node) states() map[State]int {
	n := map[State]int{}
	for _, s := range p.Status() {
		n[s.State]++
	}
	return n
}

// The cost of a fleet, as docs/operations.md states it: an idle shard writes
// nothing, a busy one two rows per flush, a worker one row per heartbeat.
func TestWritesPerHourAreThoseStated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, shared, func(r *rig) { r.settings.Limits.Age = 5 * time.Minute })
		p := r.start()
		r.until("all are delivered", func() bool { return p.held() == 4 })
		writes := func() (n int) {
			for _, op := range []string{"create", "take", "prepare", "commit", "note", "release", "nudge", "forget", "delete"} {
				n += p.gate.count(op)
			}
			return n
		}
		before, beats, looks, lists := writes(), p.gate.count("beat"), p.gate.count("roster"), p.gate.count("ListShards")
		time.Sleep(time.Hour)
		if n := writes() - before; n != 0 {
			t.Errorf("4 idle shards wrote %d rows in an hour", n)
		}
		if n := p.gate.count("beat") - beats; n < 1790 || n > 1810 {
			t.Errorf("%d heartbeats in an hour, want 1800", n)
		}
		if n := p.gate.count("roster") - looks; n < 650 || n > 900 {
			t.Errorf("%d looks in an hour, want about 780", n)
		}
		if n := p.gate.count("ListShards") - lists; n < 55 || n > 65 {
			t.Errorf("the shards were listed %d times in an hour, want about 60", n)
		}
		before = writes()
		for n := range 3600 {
			r.events(n*4, n*4+4)
			time.Sleep(time.Second)
		}
		flushes := 4 * 12 // of four shards, every five minutes
		if n := writes() - before; n < 2*flushes-8 || n > 2*flushes+8 {
			t.Errorf("%d rows written for %d flushes in an hour, want two each", n, flushes)
		}
		_ = p.end()
		r.verify()
	})
}

func TestStatusShowsWhoDeliversWhat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, shared, func(r *rig) { r.settings.Lease.Version = "v9" })
		a, b := r.start(), r.start()
		r.until("balanced", func() bool { return r.balanced(a, b) })
		time.Sleep(10 * time.Second)
		f := a.Fleet()
		if len(f.Workers) != 2 || f.Workers[0].Shards != 2 || f.Workers[1].Shards != 2 || f.Workers[1].Version != "v9" || f.Unowned != 0 {
			t.Errorf("fleet: %+v", f)
		}
		seen := map[string]int{}
		for _, s := range a.Status() {
			seen[fmt.Sprint(s.State, " ", s.Owner)]++
		}
		want := map[string]int{"delivering worker-1": 2, "elsewhere worker-2": 2}
		for k, n := range want {
			if seen[k] != n {
				t.Errorf("status shows %v, want %v", seen, want)
			}
		}
		_, _ = a.end(), b.end()
	})
}
