package checkpoint_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/memory"
)

const (
	duration = 10 * time.Second
	beats    = 2 * time.Second
	looks    = 5 * time.Second
)

// A fleet is workers that do what their plans say, in virtual time: real
// observers and plans on a real store; beats, looks and drains happen at
// moments of their own, so that no two workers see the same roster.
type fleet struct {
	store   *memory.Store
	rand    *rand.Rand
	now     time.Time
	started int
	workers []*member
	moves   int // leases that a living worker gave or lost
}

// member is one worker.
type member struct {
	id       string
	capacity int
	observer *checkpoint.Observer
	held     map[standpipe.ShardID]string
	ready    map[standpipe.ShardID]time.Time // when a drain is done
	nudges   int64
	beat     time.Time // next
	look     time.Time // next
	leaving  bool
	paused   bool // SIGSTOP
	starved  int
}

func newFleet(tb interface{ Fatal(...any) }, seed uint64, shards int) *fleet {
	f := &fleet{store: new(memory.Store), rand: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1000, 0)}
	for n := range shards {
		err := f.store.Create(context.Background(), checkpoint.Lease{
			Shard: shardID(n), Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon},
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return f
}

func shardID(n int) standpipe.ShardID { return standpipe.ShardID(fmt.Sprintf("shardId-%012d", n)) }

func (f *fleet) join(capacity int) *member {
	f.started++
	m := &member{
		id: fmt.Sprintf("worker-%d", f.started), capacity: capacity,
		held: map[standpipe.ShardID]string{}, ready: map[standpipe.ShardID]time.Time{},
		beat: f.now, look: f.now.Add(time.Millisecond),
	}
	m.observer = checkpoint.NewObserver(m.id, duration)
	f.workers = append(f.workers, m)
	return m
}

// kill is kill -9.
func (f *fleet) kill(m *member) {
	for n, w := range f.workers {
		if w == m {
			f.workers = append(f.workers[:n], f.workers[n+1:]...)
			return
		}
	}
}

// run lets time pass in steps of a tenth of a second.
func (f *fleet) run(d time.Duration) {
	for end := f.now.Add(d); f.now.Before(end); f.now = f.now.Add(100 * time.Millisecond) {
		for _, m := range append([]*member(nil), f.workers...) {
			if !m.paused {
				f.turn(m)
			}
		}
	}
}

// turn does what is due at one worker.
func (f *fleet) turn(m *member) {
	ctx := context.Background()
	if !f.now.Before(m.beat) {
		w, _ := f.store.Beat(ctx, checkpoint.Worker{ID: m.id, Capacity: m.capacity, Leaving: m.leaving})
		if w.Nudges != m.nudges {
			m.nudges, m.look = w.Nudges, f.now
		}
		m.beat = f.now.Add(beats)
	}
	for shard, at := range m.ready {
		if !f.now.Before(at) {
			f.handOver(m, shard)
		}
	}
	if !f.now.Before(m.look) {
		f.plan(m)
		m.look = f.now.Add(looks*9/10 + time.Duration(f.rand.Int64N(int64(looks/5))))
	}
	if m.leaving && len(m.held) == 0 {
		_ = f.store.Forget(ctx, m.id)
		f.kill(m)
	}
}

func (f *fleet) plan(m *member) {
	ctx := context.Background()
	roster, _ := f.store.Roster(ctx)
	for _, l := range roster.Leases { // fenced: it stops without a further write
		if _, held := m.held[l.Shard]; held && l.Owner != m.id {
			delete(m.held, l.Shard)
			delete(m.ready, l.Shard)
			f.moves++
		}
	}
	v := m.observer.Look(roster, f.now, f.now)
	p := m.observer.Plan(v, checkpoint.Me{ID: m.id, Leaving: m.leaving, Capacity: m.capacity, Held: m.held})
	m.starved = p.Starved
	for _, l := range p.Take {
		if _, err := f.store.Update(ctx, checkpoint.Take(l, m.id)); err == nil {
			m.held[l.Shard] = ""
		}
	}
	for _, g := range p.Give {
		to := g.To
		if to == "" {
			to = "nobody"
		}
		m.held[g.Shard] = to
		m.ready[g.Shard] = f.now.Add(time.Duration(f.rand.Int64N(int64(3 * time.Second))))
	}
}

func (f *fleet) handOver(m *member, shard standpipe.ShardID) {
	ctx := context.Background()
	to := m.held[shard]
	if to == "nobody" {
		to = ""
	}
	l, _ := f.store.Get(ctx, shard)
	if l.Owner == m.id {
		_, _ = f.store.Update(ctx, checkpoint.Release(l, to))
		_ = f.store.Nudge(ctx, to)
		f.moves++
	}
	delete(m.held, shard)
	delete(m.ready, shard)
}

// spread is the number of leases each living worker holds, least and most, and
// how many leases are with nobody.
func (f *fleet) spread() (least, most, unowned int) {
	least = 1 << 30
	owned := 0
	for _, m := range f.workers {
		least, most, owned = min(least, len(m.held)), max(most, len(m.held)), owned+len(m.held)
	}
	r, _ := f.store.Roster(context.Background())
	return least, most, len(r.Leases) - owned
}

func (f *fleet) balanced() bool {
	least, most, unowned := f.spread()
	return most-least <= 1 && unowned == 0
}

func TestOneToFourToTwoWorkersAreBalancedWithinAMinuteWithFewMovesAndThenRest(t *testing.T) {
	for seed := range uint64(4) {
		f := newFleet(t, seed, 100)
		f.join(0)
		f.run(10 * time.Second)
		if !f.balanced() {
			t.Fatal("one worker does not hold everything")
		}
		step := func(what string, least int, change func()) {
			t.Helper()
			f.moves = 0
			change()
			f.run(time.Minute)
			if a, b, unowned := f.spread(); !f.balanced() {
				t.Errorf("seed %d, %s: after a minute workers hold %d to %d leases, %d are with nobody", seed, what, a, b, unowned)
			}
			if f.moves > 2*least {
				t.Errorf("seed %d, %s: %d moves, %d are needed", seed, what, f.moves, least)
			}
			f.moves = 0
			f.run(time.Hour)
			if f.moves != 0 || !f.balanced() {
				t.Errorf("seed %d, %s: %d moves in an hour in which nothing happened", seed, what, f.moves)
			}
		}
		step("one to four", 75, func() {
			for range 3 {
				f.run(time.Duration(f.rand.IntN(3000)) * time.Millisecond)
				f.join(0)
			}
		})
		step("four to two", 50, func() { f.workers[1].leaving, f.workers[3].leaving = true, true })
	}
}

func TestADeadWorkersLeasesAreTakenWithinTwoLeaseDurations(t *testing.T) {
	f := newFleet(t, 1, 12)
	for range 3 {
		f.join(0)
	}
	f.run(time.Minute)
	f.kill(f.workers[1])
	f.run(2 * duration)
	if !f.balanced() {
		t.Errorf("workers %+v", f.workers)
	}
}

func TestAPausedWorkerLosesItsLeasesAndGetsAShareBackWhenItWakes(t *testing.T) {
	f := newFleet(t, 1, 12)
	for range 3 {
		f.join(0)
	}
	f.run(time.Minute)
	m := f.workers[0]
	m.paused = true
	f.run(30 * time.Second)
	owned := len(f.workers[1].held) + len(f.workers[2].held)
	if owned != 12 {
		t.Fatalf("the others hold %d of 12", owned)
	}
	m.paused = false
	f.run(500 * time.Millisecond) // its first turn: it must not take anything from the others
	if len(f.workers[1].held)+len(f.workers[2].held) != 12 {
		t.Error("a worker that woke stole live leases")
	}
	f.run(time.Minute)
	if !f.balanced() {
		t.Error("the fleet is not balanced after the pause")
	}
}

func TestAfterAnOutageOfTheStoreEverybodyKeepsItsLeases(t *testing.T) {
	f := newFleet(t, 1, 12)
	for range 3 {
		f.join(0)
	}
	f.run(time.Minute)
	f.moves = 0
	for _, m := range f.workers {
		m.paused = true // nobody's calls reach the store
	}
	f.run(10 * time.Minute)
	for _, m := range f.workers { // one after the other comes back
		m.paused = false
		f.run(1500 * time.Millisecond)
	}
	f.run(time.Minute)
	if f.moves != 0 || !f.balanced() {
		t.Errorf("%d moves after an outage of the store", f.moves)
	}
}

func TestCapacitiesAreKeptAndWhatNobodyMayTakeIsCounted(t *testing.T) {
	f := newFleet(t, 1, 12)
	a := f.join(4)
	b := f.join(5)
	f.run(time.Minute)
	if len(a.held) != 4 || len(b.held) != 5 || a.starved != 3 {
		t.Fatalf("capacities 4 and 5 hold %d and %d, %d are starved, want 3", len(a.held), len(b.held), a.starved)
	}
	f.join(0)
	f.run(time.Minute)
	if _, _, unowned := f.spread(); unowned != 0 || a.starved != 0 {
		t.Fatalf("with room for all %d leases are with nobody, %d starved", unowned, a.starved)
	}
}

// Whatever happens, a fleet that is left alone is balanced soon and stays so.
func TestAFleetLeftAloneSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 40).Draw(t, "shards"))
		f.join(0)
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			m := f.workers[rapid.IntRange(0, len(f.workers)-1).Draw(t, "whom")]
			switch rapid.SampledFrom([]string{"join", "kill", "leave", "pause", "resume"}).Draw(t, "event") {
			case "join":
				if len(f.workers) < 8 {
					f.join(0)
				}
			case "kill":
				if len(f.workers) > 1 {
					f.kill(m)
				}
			case "leave":
				m.leaving = len(f.workers) > 1
			case "pause":
				m.paused = true
			case "resume":
				m.paused = false
			}
			f.run(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "ms")) * time.Millisecond)
			if len(f.workers) == 0 {
				f.join(0)
			}
		}
		for _, m := range f.workers {
			m.paused = false
		}
		f.join(0)
		f.run(90 * time.Second)
		if least, most, unowned := f.spread(); !f.balanced() {
			t.Fatalf("workers hold %d to %d, %d are with nobody", least, most, unowned)
		}
		f.moves = 0
		f.run(10 * time.Minute)
		if f.moves != 0 {
			t.Fatalf("%d moves though nothing happened", f.moves)
		}
	})
}

func seat(n int, owner string) checkpoint.Lease {
	return checkpoint.Lease{Shard: shardID(n), Owner: owner, Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon}, Counter: 7}
}

func TestFinishedAndWaitingLeasesCountForNobody(t *testing.T) {
	done := seat(0, "a")
	done.Checkpoint.Sequence = standpipe.ShardEnd
	child, orphan := seat(3, ""), seat(4, "")
	child.Parents = []standpipe.ShardID{shardID(1)}
	orphan.Parents = []standpipe.ShardID{shardID(99)} // its lease is gone: not waited for
	o := checkpoint.NewObserver("a", duration)
	now := time.Unix(1000, 0)
	v := o.Look(checkpoint.Roster{Leases: []checkpoint.Lease{done, seat(1, "a"), seat(2, "a"), child, orphan}, Workers: []checkpoint.Worker{{ID: "a"}, {ID: "b"}}}, now, now)
	if diff := cmp.Diff(map[standpipe.ShardID][]standpipe.ShardID{shardID(3): {shardID(1)}}, v.Waiting); diff != "" {
		t.Error(diff)
	}
	p := o.Plan(v, checkpoint.Me{ID: "a", Held: map[standpipe.ShardID]string{shardID(1): "", shardID(2): ""}})
	if len(p.Take)+len(p.Give)+p.Starved != 0 { // three to share by two: a keeps its two, b takes the free one
		t.Errorf("plan %+v", p)
	}
}

func TestOnlyTheSuccessorTakesALeaseUntilALeaseDurationHasPassed(t *testing.T) {
	now := time.Unix(1000, 0)
	handed := seat(0, "")
	handed.Successor = "b"
	look := func(o *checkpoint.Observer, me string, leaving bool, counter int64) (taken bool) {
		v := o.Look(checkpoint.Roster{Leases: []checkpoint.Lease{handed}, Workers: []checkpoint.Worker{{ID: "a", Counter: counter}, {ID: "b", Leaving: leaving, Counter: counter}}}, now, now)
		return len(o.Plan(v, checkpoint.Me{ID: me}).Take) > 0
	}
	if !look(checkpoint.NewObserver("b", duration), "b", false, 1) {
		t.Error("the successor does not take it")
	}
	o := checkpoint.NewObserver("a", duration)
	if look(o, "a", false, 1) {
		t.Error("taken before the successor could")
	}
	now = now.Add(duration - 1)
	if look(o, "a", false, 2) {
		t.Error("taken before a lease duration had passed")
	}
	now = now.Add(1)
	if !look(o, "a", false, 3) {
		t.Error("not taken though its successor did not come")
	}
	if !look(checkpoint.NewObserver("a", duration), "a", true, 1) {
		t.Error("kept for a successor that is leaving")
	}
}

func TestOthersAreToldOfTheLeasesThatNobodyHas(t *testing.T) {
	now := time.Unix(1000, 0)
	left := []checkpoint.Lease{seat(0, ""), seat(1, ""), seat(2, "")}
	for n := range left {
		left[n].Successor = "gone"
	}
	look := func(me string, leases ...checkpoint.Lease) checkpoint.Plan {
		o := checkpoint.NewObserver(me, duration)
		v := o.Look(checkpoint.Roster{Leases: leases, Workers: []checkpoint.Worker{{ID: "a"}, {ID: "b"}, {ID: "gone", Leaving: true}}}, now, now)
		return o.Plan(v, checkpoint.Me{ID: me, Leaving: me == "gone"})
	}
	if p := look("a", left...); len(p.Take) != 2 || !slices.Equal(p.Due, []string{"b"}) {
		t.Errorf("a takes %d, told are %v", len(p.Take), p.Due)
	}
	if p := look("gone", left...); len(p.Take) != 0 || !slices.Equal(p.Due, []string{"a", "b"}) {
		t.Errorf("the worker that leaves takes %d, told are %v", len(p.Take), p.Due)
	}
	left[0].Successor = "b" // who was told by whoever left it
	if p := look("gone", left[0]); len(p.Due) != 0 {
		t.Errorf("of a lease that waits for its successor told are %v", p.Due)
	}
}

func TestAnOwnerWithoutARowCountsByItsLeaseAlone(t *testing.T) {
	now := time.Unix(1000, 0)
	o := checkpoint.NewObserver("a", duration)
	beat := int64(0)
	takes := func(l checkpoint.Lease) bool {
		beat++
		v := o.Look(checkpoint.Roster{Leases: []checkpoint.Lease{l}, Workers: []checkpoint.Worker{{ID: "a", Counter: beat}}}, now, now)
		return len(o.Plan(v, checkpoint.Me{ID: "a"}).Take) > 0
	}
	l := seat(0, "a KCL worker")
	for range 5 { // its counter moves
		l.Counter++
		if takes(l) {
			t.Fatal("taken from an owner that writes")
		}
		now = now.Add(duration - 1)
	}
	if takes(l) {
		t.Fatal("taken too early")
	}
	now = now.Add(duration - 1)
	takes(l)
	now = now.Add(1)
	if !takes(l) {
		t.Fatal("not taken though its owner is still")
	}
}

func TestAWorkerWhoseHeartbeatDoesNotShowPlansNothing(t *testing.T) {
	now := time.Unix(1000, 0)
	o := checkpoint.NewObserver("a", duration)
	r := checkpoint.Roster{Leases: []checkpoint.Lease{seat(0, "b"), seat(1, "")}, Workers: []checkpoint.Worker{{ID: "a", Counter: 1}, {ID: "b", Counter: 1}, {ID: "idle", Counter: 1}}}
	o.Look(r, now, now)
	now = now.Add(time.Hour)
	v := o.Look(r, now, now)
	if !v.Blind || len(o.Plan(v, checkpoint.Me{ID: "a"}).Take) != 0 {
		t.Fatal("it takes leases though it cannot write its own row")
	}
	if len(v.Gone) != 0 {
		t.Fatalf("it takes %v for gone, whose row stood still with its own", v.Gone)
	}
	r.Workers[0].Counter++ // and when it can again, the others get a lease duration to show themselves
	v = o.Look(r, now, now)
	for _, l := range o.Plan(v, checkpoint.Me{ID: "a"}).Take {
		if l.Owner == "b" {
			t.Fatal("a worker that was cut off took a lease of another on its return")
		}
	}
}

func TestASlowAnswerMakesRowsYoungerNeverOlder(t *testing.T) {
	workers := []checkpoint.Worker{{ID: "a", Counter: 1}, {ID: "b", Counter: 1}}
	for name, rows := range map[string][]checkpoint.Worker{"an owner with a row": workers, "an owner without one": workers[:1]} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			o := checkpoint.NewObserver("a", duration)
			r := checkpoint.Roster{Leases: []checkpoint.Lease{seat(0, "b")}, Workers: append([]checkpoint.Worker(nil), rows...)}
			o.Look(r, now, now.Add(9*time.Second)) // the answer took nine seconds
			r.Workers[0].Counter++
			now = now.Add(9 * time.Second)
			o.Look(r, now, now)
			r.Workers[0].Counter++
			now = now.Add(2 * time.Second)
			if v := o.Look(r, now, now); len(o.Plan(v, checkpoint.Me{ID: "a"}).Take) != 0 {
				t.Fatal("two seconds after the answer were taken for eleven")
			}
		})
	}
}

func TestRowsOfDeadWorkersAreForgottenOnceTheyOwnNothing(t *testing.T) {
	now := time.Unix(1000, 0)
	o := checkpoint.NewObserver("a", duration)
	r := checkpoint.Roster{Leases: []checkpoint.Lease{seat(0, "dead")}, Workers: []checkpoint.Worker{{ID: "a"}, {ID: "dead"}, {ID: "idle"}}}
	for range 12 {
		o.Look(r, now, now)
		now = now.Add(duration - 1)
		r.Workers[0].Counter++
	}
	if v := o.Look(r, now, now); !cmp.Equal(v.Gone, []string{"idle"}) {
		t.Fatalf("gone: %v", v.Gone)
	}
}

func TestALeaseLostByAnUnansweredTakeIsTakenAgainByItsOwner(t *testing.T) {
	now := time.Unix(1000, 0)
	o := checkpoint.NewObserver("a", duration)
	v := o.Look(checkpoint.Roster{Leases: []checkpoint.Lease{seat(0, "a")}, Workers: []checkpoint.Worker{{ID: "a"}}}, now, now)
	if p := o.Plan(v, checkpoint.Me{ID: "a"}); len(p.Take) != 1 {
		t.Fatalf("a lease of mine that nobody delivers is left alone: %+v", p)
	}
	if p := o.Plan(v, checkpoint.Me{ID: "a", Refused: map[standpipe.ShardID]bool{shardID(0): true}}); len(p.Take) != 0 {
		t.Fatalf("a shard that was just given up is taken again: %+v", p)
	}
}

func TestWhoeverHasMoreKeepsTheOddOne(t *testing.T) {
	now := time.Unix(1000, 0)
	r := checkpoint.Roster{
		Leases:  []checkpoint.Lease{seat(0, "a"), seat(1, "b"), seat(2, "b")},
		Workers: []checkpoint.Worker{{ID: "a"}, {ID: "b"}},
	}
	o := checkpoint.NewObserver("b", duration)
	p := o.Plan(o.Look(r, now, now), checkpoint.Me{ID: "b", Held: map[standpipe.ShardID]string{shardID(1): "", shardID(2): ""}})
	if len(p.Give)+len(p.Take) != 0 {
		t.Fatalf("a balanced fleet moves: %+v", p)
	}
}

// jumped is the same moment after somebody set the machine's clock: the
// monotonic reading stays, the wall clock moves. The layout is that of package
// time: seconds of a time with a monotonic reading are kept from bit 30 on.
func jumped(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	moved := at
	*(*uint64)(unsafe.Pointer(&moved)) += uint64(d/time.Second) << 30
	if moved.Sub(at) != 0 || moved.Unix()-at.Unix() != int64(d/time.Second) {
		t.Fatalf("%v is not %v after a jump of the clock", moved, at)
	}
	return moved
}

func TestAJumpOfTheClockEndsNoLeaseAndProlongsNone(t *testing.T) {
	for _, jump := range []time.Duration{-time.Hour, time.Hour} {
		now := time.Now()
		o := checkpoint.NewObserver("a", duration)
		r := checkpoint.Roster{Leases: []checkpoint.Lease{seat(0, "b")}, Workers: []checkpoint.Worker{{ID: "a"}, {ID: "b"}}}
		takes := func(at time.Time) bool {
			r.Workers[0].Counter++
			return len(o.Plan(o.Look(r, at, at), checkpoint.Me{ID: "a"}).Take) > 0
		}
		takes(now)
		if takes(jumped(t, now.Add(duration-1), jump)) {
			t.Errorf("a jump of the clock by %v ended a lease", jump)
		}
		if !takes(jumped(t, now.Add(duration), jump)) {
			t.Errorf("a jump of the clock by %v prolonged a lease", jump)
		}
	}
}

// A store of one process: whoever owns a lease is a dead predecessor, also when
// the store takes a moment to answer.
func TestALeaseOfAPredecessorIsFreeAtTheFirstLook(t *testing.T) {
	asked := time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)
	r := checkpoint.Roster{Leases: []checkpoint.Lease{{Shard: "shardId-000000000000", Owner: "dead", Checkpoint: standpipe.Position{Sequence: "7"}}}}
	o := checkpoint.NewObserver("me", 0)
	v := o.Look(r, asked, asked.Add(time.Millisecond))
	if p := o.Plan(v, checkpoint.Me{ID: "me"}); len(p.Take) != 1 {
		t.Fatalf("plan %+v of view %+v", p, v)
	}
}
