package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	storemem "github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/sim"
	"github.com/standpipe/standpipe/sink"
	sinkmem "github.com/standpipe/standpipe/sink/memory"
)

// healedWithin is the liveness that is promised: this long after the last
// fault every shard that can be delivered is being read, or has been.
// An object whose upload is gone must stay absent for a minute to be believed,
// and a shard that failed rests for up to another.
const healedWithin = 3 * time.Minute

// A fleetWorld is a run of the simulation with whole workers: heartbeats,
// looks, plans, hand-overs and the protocol, over the same network of requests.
//
// A worker has many goroutines, and which of two that wake at the same moment
// goes first is Go's to choose. So a seed here is a course of faults and not
// one of events: a violation is printed with the events that led to it.
type fleetWorld struct {
	journal
	bucket
	rand      *rand.Rand
	net       *sim.Net
	store     *storemem.Store
	shards    []*ledger
	keyer     *sink.Keyer
	limits    batcher.Limits
	inline    int
	processes [3]*fleetProcess
	booted    int
	sabotage  func(*Worker)
}

type fleetProcess struct {
	name   string
	client *sim.Client
	worker *Worker
	stop   context.CancelFunc
	done   chan struct{}
}

func (p *fleetProcess) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// The family of the simulated stream: shard 0 is split into 2 and 3, and 1 and
// 2 are merged into 4.
var family = map[int][]int{2: {0}, 3: {0}, 4: {1, 2}}

func newFleetWorld(t *testing.T, seed uint64, verbose bool) *fleetWorld {
	w := &fleetWorld{
		journal: journal{t: t, verbose: verbose}, rand: rand.New(rand.NewPCG(seed, 11)), store: new(storemem.Store),
	}
	w.net = sim.NewNet(w.rand, w.trace)
	w.inline = w.rand.IntN(2) * inlineMax
	w.bucket = bucket{stream: "sim", sink: sinkmem.New(sinkmem.Options{Remembers: w.rand.IntN(2) == 0}), discarded: map[string]bool{}}
	keyer, err := sink.NewKeyer(sink.KeyConfig{Prefix: "data/!{timestamp:HH-mm-ss}/", ErrorPrefix: "errors/", StreamName: "sim", Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.keyer = keyer
	w.limits = batcher.Limits{Records: int64(1 + w.rand.IntN(6)), Age: time.Duration(w.rand.IntN(20)) * time.Second}
	for n := range 5 {
		g := &ledger{lines: map[string]int{}, shard: &sim.Shard{PageMax: 1 + w.rand.IntN(4), Info: standpipe.Shard{
			ID: shardID(n), HashStart: "0", HashEnd: "340282366920938463463374607431768211455", Closed: true,
		}}}
		for _, p := range family[n] {
			g.shard.Info.Parents = append(g.shard.Info.Parents, shardID(p))
		}
		for k := range 2 + w.rand.IntN(12) {
			g.shard.Records = append(g.shard.Records, g.record(w.rand, k))
		}
		w.shards = append(w.shards, g)
	}
	return w
}

// boot starts a worker in place of process n.
func (w *fleetWorld) boot(n int) {
	w.booted++
	p := &fleetProcess{name: fmt.Sprintf("w%d.%d", n, w.booted), done: make(chan struct{})}
	p.client = w.net.NewClient(p.name)
	stream := fleetStream{w, p.client}
	p.worker = NewWorker(Settings{
		Worker: p.name, Start: atHorizon(), RecordFormat: Lines, Deaggregation: consumer.Off, Limits: w.limits,
		Absence: Absence{AbortAfter: 24 * time.Hour, Ambiguous: Republish}, DrainTimeout: time.Minute,
		Lease: LeaseSettings{Duration: 10 * time.Second},
	}, Parts{
		Stream: stream, Store: sim.Store{Client: p.client, Server: w.store},
		Sink:  sim.Sink{Client: p.client, Server: w.sink, Discarded: func(id string) { w.discarded[id] = true }},
		Keyer: w.keyer, Slots: sink.NewSlots(8), Budget: NewBudget(64 << 20), Random: &seeded{r: rand.New(rand.NewPCG(w.rand.Uint64(), 1))},
	})
	p.worker.inline = w.inline
	if w.sabotage != nil {
		w.sabotage(p.worker)
	}
	w.trace("boot " + p.name)
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() {
		defer close(p.done)
		for ctx.Err() == nil && p.worker.Run(ctx) != nil && !p.client.Dead() {
			wait(ctx, time.Now().Add(time.Second)) // a supervisor
			p.worker = w.again(p.worker)
		}
	}()
	w.processes[n] = p
}

// again is a new start of a process whose start-up checks failed.
func (w *fleetWorld) again(old *Worker) *Worker {
	fresh := NewWorker(old.settings, old.parts)
	fresh.inline, fresh.breaks = old.inline, old.breaks
	return fresh
}

// crash ends a process between two of its calls.
func (w *fleetWorld) crash(n int) {
	p := w.processes[n]
	w.trace("crash " + p.name)
	p.client.Kill()
	p.stop()
	<-p.done
}

type fleetStream struct {
	w      *fleetWorld
	client *sim.Client
}

func (s fleetStream) Describe(context.Context) (standpipe.Stream, error) {
	return standpipe.Stream{Name: "sim", Retention: 24 * time.Hour}, nil
}

func (s fleetStream) Shards(context.Context) (all []standpipe.Shard, _ error) {
	for _, g := range s.w.shards {
		all = append(all, g.shard.Info)
	}
	return all, nil
}

func (s fleetStream) Open(shard standpipe.Shard, from consumer.Start) Source {
	for _, g := range s.w.shards {
		if g.shard.Info.ID == shard.ID {
			return g.shard.Open(s.client, from)
		}
	}
	panic("a shard that is not in the stream: " + string(shard.ID))
}

// run drives the world through chaos and then lets it heal. It returns the
// first violation, or "", and how long after the last fault the last shard
// that could be delivered had been read.
func (w *fleetWorld) run() (violation string, healed time.Duration) {
	for n := range w.processes {
		w.boot(n)
	}
	faults := sim.Faults{LoseReply: 3, Duplicate: 4, Delay: 15, Throttle: w.rand.IntN(2) * 30}
	for range 200 + w.rand.IntN(400) {
		synctest.Wait()
		if v := w.check(); v != "" {
			return v, 0
		}
		w.chaos(faults)
	}
	w.trace("heal")
	for _, p := range w.processes {
		w.mend(p)
	}
	begun := time.Now()
	for time.Since(begun) < time.Hour {
		synctest.Wait()
		if v := w.check(); v != "" {
			return v, 0
		}
		for n, p := range w.processes { // one may still have been stopping
			if !p.running() {
				w.boot(n)
			}
		}
		for w.net.Reply() || w.net.Deliver(sim.Faults{}) {
			synctest.Wait()
			if v := w.check(); v != "" {
				return v, 0
			}
		}
		read, ended := w.progress(begun)
		if read && healed == 0 {
			healed = time.Since(begun)
		}
		if !read && time.Since(begun) > healedWithin {
			return fmt.Sprintf("L1 %v after the last fault a shard is not read", healedWithin), 0
		}
		if ended {
			return w.checkEnd(), healed
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "L2 an hour after the last fault the stream was not delivered", 0
}

// progress says whether every shard that can be delivered has been read since
// a moment, and whether all have ended.
func (w *fleetWorld) progress(since time.Time) (read, ended bool) {
	read, ended = true, true
	done := map[standpipe.ShardID]bool{}
	leases := w.leases()
	for _, l := range leases {
		done[l.Shard] = l.Checkpoint.AtEnd()
	}
	for _, l := range leases {
		if done[l.Shard] {
			continue
		}
		ended = false
		waits := false
		for _, p := range l.Parents {
			waits = waits || !done[p]
		}
		if !waits && w.shards[index(l.Shard)].shard.Fetched().Before(since) {
			read = false
		}
	}
	return read, ended && len(leases) == len(w.shards)
}

func index(id standpipe.ShardID) (n int) {
	_, _ = fmt.Sscanf(string(id), "shardId-%d", &n)
	return n
}

func (w *fleetWorld) mend(p *fleetProcess) {
	p.client.Cut("store", false)
	p.client.Cut("sink", false)
	p.client.Resume()
}

// chaos does one thing at random.
func (w *fleetWorld) chaos(faults sim.Faults) {
	n := w.rand.IntN(len(w.processes))
	p := w.processes[n]
	switch k := w.rand.IntN(200); {
	case k < 130:
		for range 1 + w.rand.IntN(6) {
			w.net.Deliver(faults)
			synctest.Wait()
		}
	case k < 145:
		w.net.Reply()
	case k < 180:
		d := time.Duration(w.rand.IntN(3000)) * time.Millisecond
		if w.rand.IntN(8) == 0 {
			d += 15 * time.Second // longer than a lease
		}
		w.trace("sleep " + d.String())
		time.Sleep(d)
	case k < 184:
		server := []string{"store", "sink"}[w.rand.IntN(2)]
		w.trace("cut " + p.name + " from " + server)
		p.client.Cut(server, true)
	case k < 187:
		w.trace("pause " + p.name)
		p.client.Pause()
	case k < 194:
		w.trace("mend " + p.name)
		w.mend(p)
	case k < 196:
		if w.booted < 12 {
			w.crash(n)
			w.boot(n)
		}
	case k < 198:
		w.trace("stop " + p.name)
		p.stop()
	default:
		if !p.running() {
			w.boot(n)
		}
	}
}

func (w *fleetWorld) leases() []checkpoint.Lease {
	r, err := w.store.Roster(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Leases
}

// check is every invariant of every shard, and one of the family: no shard
// moves before all of its parents have ended.
func (w *fleetWorld) check() string {
	seen := w.visible()
	done := map[standpipe.ShardID]bool{}
	leases := w.leases()
	for _, l := range leases {
		done[l.Shard] = l.Checkpoint.AtEnd()
	}
	for _, l := range leases {
		if v := w.shards[index(l.Shard)].checkLines(l, &w.bucket, seen); v != "" {
			return v
		}
		for _, p := range l.Parents {
			if !done[p] && (l.Epoch > 0 || l.Pending != nil) {
				return fmt.Sprintf("I6 %s was taken before its parent %s had ended", l.Shard, p)
			}
		}
	}
	return ""
}

func (w *fleetWorld) checkEnd() string {
	var keys []string
	var lines []map[string]int
	for _, l := range w.leases() {
		g := w.shards[index(l.Shard)]
		k, v := g.checkEnd(&w.bucket, l)
		if v != "" {
			return v
		}
		keys, lines = append(keys, k...), append(lines, g.lines)
	}
	return w.checkStray(keys, lines...)
}

func simulateFleet(t *testing.T, seed uint64, verbose bool, sabotage func(*Worker)) (violation string, healed time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newFleetWorld(t, seed, verbose)
		w.sabotage = sabotage
		violation, healed = w.run()
		if violation != "" && !verbose {
			violation += "\n" + strings.Join(w.recent, "\n")
		}
		for n := range w.processes { // every goroutine ends with its bubble
			w.crash(n)
		}
	})
	return violation, healed
}

func TestFleetSimulationDeliversEveryRecordOnceAndReadsEveryShardAgainAfterAnyFault(t *testing.T) {
	if *seedOnly != 0 {
		if v, _ := simulateFleet(t, *seedOnly, true, nil); v != "" {
			t.Fatal(v)
		}
		return
	}
	n := *seeds / 10 // a course is that much longer than one of a single shard
	var mu sync.Mutex
	var worst time.Duration
	eachSeed(t, n, func(t *testing.T, seed uint64) bool {
		v, healed := simulateFleet(t, seed, false, nil)
		if v != "" {
			t.Errorf("seed %d: %s\ntry again with: go test ./delivery -run FleetSimulation -seed %d -v", seed, v, seed)
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		worst = max(worst, healed)
		return true
	})
	t.Logf("%d seeds; every shard was read again within %v of the last fault", n, worst)
}
