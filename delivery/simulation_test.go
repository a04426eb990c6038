package delivery

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	storemem "github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/sim"
	"github.com/standpipe/standpipe/manifest"
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
	t      *testing.T
	rand   *rand.Rand
	net    *sim.Net
	breaks breaks

	store  *storemem.Store
	sink   *sinkmem.Sink
	shard  *sim.Shard
	lines  map[string]int // line → index of its record
	keyer  *sink.Keyer
	limits batcher.Limits
	inline int // 0: every plan is an object of its own

	processes [2]*process
	crashes   int
	aborts    int

	lowest    checkpoint.Lease // the furthest lease seen, for I4
	discarded map[string]bool  // upload ids that a worker discarded
	digest    uint64
	events    int
	verbose   bool
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
		t: t, rand: rand.New(rand.NewPCG(seed, 7)), breaks: b, verbose: verbose,
		store: new(storemem.Store), discarded: map[string]bool{}, lines: map[string]int{},
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
		w.shard.Records = append(w.shard.Records, w.record(n))
	}
	err = w.store.Create(t.Context(), checkpoint.Lease{
		Shard: simShard, Incarnation: "1", StreamCreated: time.Now().UTC(),
		Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range w.processes {
		w.boot(n, 0)
	}
	return w
}

// record makes a record of none to three lines. Arrivals go back and forth
// over a few seconds, so that most flushes have several objects.
func (w *world) record(n int) standpipe.Record {
	var data []byte
	for k := range w.rand.IntN(4) {
		line := fmt.Sprintf("record %d line %d", n, k)
		w.lines[line] = n
		data = fmt.Appendf(data, "%s\n", line)
	}
	return standpipe.Record{
		Sequence: fmt.Appendf(nil, "%d", 1000+n*10), Data: data,
		Arrival: time.Date(2026, 11, 22, 10, 59, 58+w.rand.IntN(3), 0, time.UTC),
	}
}

func (w *world) trace(event string) {
	h := fnv.New64a()
	fmt.Fprint(h, w.digest, event)
	w.digest = h.Sum64()
	w.events++
	if w.verbose {
		w.t.Logf("%4d %s %s", w.events, time.Now().UTC().Format("15:04:05.000"), event)
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
		Keyer: w.keyer, Slots: sink.NewSlots(2), Budget: NewBudget(64 << 20), Random: &seeded{rand.New(rand.NewPCG(w.rand.Uint64(), 1))},
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

type seeded struct{ r *rand.Rand }

func (s *seeded) Read(p []byte) (int, error) {
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
		if v := w.check(); v != "" {
			return v
		}
		w.chaos(faults)
	}
	for range 4000 {
		synctest.Wait()
		if v := w.check(); v != "" {
			return v
		}
		l := w.lease()
		if l.Checkpoint.AtEnd() && w.net.Idle() && !w.processes[0].running() && !w.processes[1].running() {
			return w.checkEnd(l)
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
	if len(open) == 0 || w.aborts >= 3 {
		return
	}
	victim := open[w.rand.IntN(len(open))].ID
	w.aborts++
	w.trace("abort " + victim)
	w.sink.Abort(func(u sink.Upload) bool { return u.ID == victim })
}

func (w *world) lease() checkpoint.Lease {
	l, err := w.store.Get(context.Background(), simShard)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// check is every invariant, asked between any two steps.
func (w *world) check() string {
	l := w.lease()
	seen := map[string]int{}
	for _, o := range w.sink.Objects() {
		if strings.HasPrefix(o.Key, manifest.StatePrefix) {
			continue
		}
		for line := range strings.Lines(string(o.Body)) {
			line = strings.TrimSuffix(line, "\n")
			if _, ok := w.lines[line]; !ok {
				return fmt.Sprintf("object %s holds %q, which was never in the stream", o.Key, line)
			}
			seen[line]++
		}
	}
	through := w.last(l.Checkpoint)
	pending := through
	if l.Pending != nil {
		pending = w.last(l.Pending.Position)
	}
	for line, record := range w.lines {
		switch n := seen[line]; {
		case n > 1:
			return fmt.Sprintf("I1 %q is visible %d times", line, n)
		case n == 0 && record <= through:
			return fmt.Sprintf("I2 %q is before the checkpoint %s and not visible", line, l.Checkpoint)
		case n == 1 && record > pending:
			return fmt.Sprintf("I3 %q is visible but neither committed nor prepared", line)
		}
	}
	before := w.lowest
	w.lowest = l
	switch {
	case before.Shard != "" && (l.Flush < before.Flush || l.Epoch < before.Epoch || l.Commits < before.Commits || l.Checkpoint.Compare(before.Checkpoint) < 0):
		return fmt.Sprintf("I4 the lease went backwards from %+v to %+v", before, l)
	case l.Pending == nil:
		return ""
	}
	i, err := decodeIntent(l.Pending.State)
	if err != nil {
		return "I4 " + err.Error()
	}
	if i.Base != l.Checkpoint {
		return fmt.Sprintf("I4 intent %s starts after %s, the checkpoint is %s", i.ID, i.Base, l.Checkpoint)
	}
	return w.checkPlan(i)
}

// checkPlan is I5: a worker never discards an upload that a prepared intent names (R5).
func (w *world) checkPlan(i Intent) string {
	plan := i.Plan
	if plan == nil {
		body, err := w.sink.Read(context.Background(), i.PlanKey, planLimit)
		if err != nil {
			return "I5 the prepared intent's plan cannot be read: " + err.Error()
		}
		p, err := decodePlan(body, i.PlanSHA256)
		if err != nil {
			return "I5 " + err.Error()
		}
		plan = &p
	}
	for _, o := range plan.Objects {
		if w.discarded[o.ID] {
			return fmt.Sprintf("I5 upload %s of the prepared intent %s was discarded by a worker", o.ID, i.ID)
		}
	}
	return ""
}

// last is the index of the last record at or before p.
func (w *world) last(p standpipe.Position) int {
	switch {
	case p.AtEnd():
		return len(w.shard.Records)
	case p.AtStart():
		return -1
	}
	for n, r := range w.shard.Records {
		if standpipe.CompareSequence(string(r.Sequence), p.Sequence) > 0 {
			return n - 1
		}
	}
	return len(w.shard.Records) - 1
}

// checkEnd asks at the end what only then is true: the chain of manifests is
// the proof of the whole shard.
func (w *world) checkEnd(l checkpoint.Lease) string {
	previous := standpipe.Position{Sequence: standpipe.TrimHorizon}
	var all standpipe.Digest
	var records int64
	keys := map[string]bool{}
	for n := int64(1); n <= l.Commits; n++ {
		m, err := w.manifest(n)
		if err != nil {
			return fmt.Sprintf("M manifest %d: %v", n, err)
		}
		if m.Number != n || m.Previous != previous {
			return fmt.Sprintf("M manifest %d has number %d and follows %s, want %s", n, m.Number, m.Previous, previous)
		}
		previous = m.Last
		records += m.Counts.Records
		d, err := standpipe.ParseDigest(m.Counts.Lines, m.Hash)
		if err != nil {
			return "M " + err.Error()
		}
		all.Merge(d)
		for _, o := range m.Objects {
			keys[o.Key] = true
		}
	}
	var want standpipe.Digest
	for line := range w.lines {
		want.Add([]byte(line))
	}
	switch {
	case !previous.AtEnd():
		return "M the last manifest does not end the shard"
	case records != int64(len(w.shard.Records)):
		return fmt.Sprintf("M the manifests count %d records of %d", records, len(w.shard.Records))
	case all != want:
		return "M the manifests' hash is not that of the stream's lines"
	}
	for _, o := range w.sink.Objects() {
		if !strings.HasPrefix(o.Key, manifest.StatePrefix) && !keys[o.Key] {
			return "M object " + o.Key + " is in no manifest"
		}
	}
	return ""
}
