package delivery

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
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

var (
	seeds    = flag.Int("seeds", 500, "how many seeds the simulation runs")
	seedOnly = flag.Uint64("seed", 0, "run only this seed of the simulation, and print its trace")
)

const simShard standpipe.ShardID = "shardId-000000000000"

// A world is one run of the simulation: two worker processes, one shard, one
// store, one sink, and a driver that decides what happens next.
type world struct {
	rand   *rand.Rand
	net    *sim.Net
	breaks breaks

	store *storemem.Store
	bucket
	ledger // of the one shard
	keyer  *sink.Keyer
	limits batcher.Limits
	inline int // 0: every plan is an object of its own

	processes [2]*process
	crashes   int
	aborts    int

	journal
}

// A journal is the events of a run.
type journal struct {
	t       *testing.T
	digest  uint64
	events  int
	recent  []string // the last events, for a run that cannot be repeated
	verbose bool
}

// A process is one start of a worker: it keeps its name when it takes the
// lease again, and loses it when it crashes.
type process struct {
	name    string
	client  *sim.Client
	worker  *Worker
	stop    context.CancelFunc // reading
	abandon context.CancelFunc // working
	done    chan struct{}      // closed when the shard's goroutine ended
}

func newWorld(t *testing.T, seed uint64, b breaks, verbose bool) *world {
	w := &world{
		rand: rand.New(rand.NewPCG(seed, 7)), breaks: b, journal: journal{t: t, verbose: verbose},
		store: new(storemem.Store), bucket: bucket{discarded: map[string]bool{}}, ledger: ledger{lines: map[string]int{}},
	}
	w.net = sim.NewNet(w.rand, w.trace)
	w.inline = w.rand.IntN(2) * inlineMax
	w.sink = sinkmem.New(sinkmem.Options{Remembers: w.rand.IntN(2) == 0})
	keyer, err := sink.NewKeyer(sink.KeyConfig{
		Prefix: "data/!{timestamp:HH-mm-ss}/", ErrorPrefix: "errors/", StreamName: "sim", Version: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.keyer = keyer
	w.limits = batcher.Limits{Records: int64(1 + w.rand.IntN(5)), Age: time.Duration(w.rand.IntN(5)) * time.Second}
	w.shard = &sim.Shard{
		Info:    standpipe.Shard{ID: simShard, HashStart: "0", HashEnd: "340282366920938463463374607431768211455"},
		PageMax: 1 + w.rand.IntN(4),
	}
	for n := range 4 + w.rand.IntN(8) {
		w.shard.Records = append(w.shard.Records, w.record(w.rand, n))
	}
	lease := checkpoint.Lease{
		Shard: simShard, Incarnation: "1", StreamCreated: time.Now().UTC(),
		Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon},
	}
	if !b.forgetStart {
		lease.Seen = asked(consumer.Start{}, standpipe.Stream{}, time.Now())
	}
	err = w.store.Create(t.Context(), lease)
	if err != nil {
		t.Fatal(err)
	}
	for n := range w.processes {
		w.boot(n, 0)
	}
	return w
}

func (j *journal) trace(event string) {
	h := fnv.New64a()
	fmt.Fprint(h, j.digest, event)
	j.digest = h.Sum64()
	j.events++
	if len(j.recent) == 400 {
		j.recent = append(j.recent[:0], j.recent[200:]...)
	}
	line := fmt.Sprintf("%4d %s %s", j.events, time.Now().UTC().Format("15:04:05.000"), event)
	j.recent = append(j.recent, line)
	if j.verbose {
		j.t.Log(line)
	}
}

// boot starts a process that holds nothing yet.
func (w *world) boot(n, generation int) {
	name := fmt.Sprintf("w%d.%d", n, generation)
	p := &process{name: name, client: w.net.NewClient(name)}
	p.worker = NewWorker(Settings{
		Worker: name, RecordFormat: Lines, Deaggregation: consumer.Off, Limits: w.limits,
		Absence: Absence{AbortAfter: 24 * time.Hour, Ambiguous: Republish},
	}, Parts{
		Stream: simStream{w.shard, p.client}, Store: sim.Store{Client: p.client, Server: w.store},
		Sink:  sim.Sink{Client: p.client, Server: w.sink, Discarded: func(id string) { w.discarded[id] = true }},
		Keyer: w.keyer, Slots: sink.NewSlots(2), Budget: NewBudget(64 << 20), Random: &seeded{r: rand.New(rand.NewPCG(w.rand.Uint64(), 1))},
	})
	p.worker.breaks, p.worker.inline = w.breaks, w.inline
	w.processes[n] = p
}

// take lets the process take the lease, whoever has it, and deliver the shard.
func (w *world) take(p *process) {
	w.trace("take " + p.name)
	working, abandon := context.WithCancel(w.t.Context())
	reading, stop := context.WithCancel(working)
	p.stop, p.abandon, p.done = stop, abandon, make(chan struct{})
	go func() {
		defer close(p.done)
		defer abandon()
		s := newShard(p.worker, checkpoint.Lease{Shard: simShard}, w.shard.Info)
		var l checkpoint.Lease
		err := s.protocol.hold.do(working, "get lease", callLimit, func(ctx context.Context) (err error) {
			l, err = p.worker.parts.Store.Get(ctx, simShard)
			return err
		})
		if err != nil {
			return
		}
		s = newShard(p.worker, l, w.shard.Info)
		if s.protocol.take(working, p.name) == nil {
			_, _ = s.run(reading, working) // how it ended shows in the lease
		}
	}()
}

func (p *process) running() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// crash ends the process between two of its calls and starts another.
func (w *world) crash(n int) {
	p := w.processes[n]
	w.trace("crash " + p.name)
	p.client.Kill()
	if p.abandon != nil {
		p.abandon()
		<-p.done
	}
	w.crashes++
	w.boot(n, w.crashes)
}

type simStream struct {
	shard  *sim.Shard
	client *sim.Client
}

func (s simStream) Describe(context.Context) (standpipe.Stream, error) {
	return standpipe.Stream{Name: "sim"}, nil
}

func (s simStream) Shards(context.Context) ([]standpipe.Shard, error) {
	return []standpipe.Shard{s.shard.Info}, nil
}

func (s simStream) Open(_ standpipe.Shard, from consumer.Start) Source {
	return s.shard.Open(s.client, from)
}

type seeded struct {
	mu sync.Mutex // covers r
	r  *rand.Rand
}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range p {
		p[i] = byte(s.r.Uint32())
	}
	return len(p), nil
}

// run drives the world through chaos and then lets it heal. It returns the
// first violation, or "".
func (w *world) run() string {
	faults := sim.Faults{LoseReply: 8, Duplicate: 8, Delay: 25}
	for range 60 + w.rand.IntN(200) {
		synctest.Wait()
		if v := w.check(w.lease(), &w.bucket); v != "" {
			return v
		}
		w.chaos(faults)
	}
	for range 4000 {
		synctest.Wait()
		if v := w.check(w.lease(), &w.bucket); v != "" {
			return v
		}
		l := w.lease()
		if l.Checkpoint.AtEnd() && w.net.Idle() && !w.processes[0].running() && !w.processes[1].running() {
			keys, v := w.checkEnd(&w.bucket, l)
			if v != "" {
				return v
			}
			return w.checkStray(keys, w.lines)
		}
		w.heal(l)
	}
	return "L1 the shard did not end after all faults had ended"
}

// chaos does one thing at random.
func (w *world) chaos(faults sim.Faults) {
	n := w.rand.IntN(len(w.processes))
	p := w.processes[n]
	switch k := w.rand.IntN(100); {
	case k < 55:
		if !w.net.Deliver(faults) {
			w.sleep()
		}
	case k < 65:
		w.net.Reply()
	case k < 85:
		w.sleep()
	case k < 93:
		if !p.running() {
			w.take(p)
		}
	case k < 95:
		if w.crashes < 4 {
			w.crash(n)
		}
	case k < 96:
		w.outlive()
	case k < 97:
		if p.running() {
			w.trace("stop " + p.name)
			p.stop()
		}
	default:
		w.abort()
	}
}

// heal goes on without faults until the shard is delivered to its end.
func (w *world) heal(l checkpoint.Lease) {
	busy := false
	for w.net.Reply() || w.net.Deliver(sim.Faults{}) {
		busy = true
		synctest.Wait() // or the next pick would race with what this one woke
	}
	switch {
	case busy:
	case !l.Checkpoint.AtEnd() && !w.processes[0].running() && !w.processes[1].running():
		w.take(w.processes[w.rand.IntN(2)])
	default:
		w.sleep()
	}
}

// sleep lets virtual time pass: time-outs fire, back-off ends.
func (w *world) sleep() {
	d := time.Duration(1+w.rand.IntN(1000)) * time.Millisecond
	switch w.rand.IntN(12) {
	case 0:
		d += 35 * time.Second
	case 1:
		d += 61 * time.Second
	}
	w.trace("sleep " + d.String())
	time.Sleep(d)
}

// abort is the bucket's lifecycle rule, or an administrator.
func (w *world) abort() {
	open := w.sink.Staged()
	if len(open) == 0 || w.aborts >= abortsMax {
		return
	}
	victim := open[w.rand.IntN(len(open))].ID
	w.aborts++
	w.trace("abort " + victim)
	w.sink.Abort(func(u sink.Upload) bool { return u.ID == victim })
}

// outlive is an outage of both workers that is longer than the retention.
// Retention takes its time, so some records may still be there. Uploads are
// not aborted in such a run: what is half published then cannot be repaired.
func (w *world) outlive() {
	if w.shard.Trimmed > 0 || w.aborts > 0 || w.crashes >= 4 {
		return
	}
	w.aborts = abortsMax
	for n := range w.processes {
		w.crash(n)
	}
	time.Sleep(sim.Retention + time.Duration(w.rand.IntN(60))*time.Hour)
	w.shard.Trimmed = 1 + w.rand.IntN(len(w.shard.Records))
	w.trace(fmt.Sprintf("outage until %s, %d records trimmed", time.Now().UTC(), w.shard.Trimmed))
}

// abortsMax bounds the uploads that are aborted in one run.
const abortsMax = 3

func (w *world) lease() checkpoint.Lease {
	l, err := w.store.Get(context.Background(), simShard)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}
