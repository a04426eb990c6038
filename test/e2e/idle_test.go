package e2e

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// What one worker may ask of AWS while 1,000 shards have nothing to deliver.
const (
	idleShards = 1000
	idleWindow = 30 * time.Second
	// Kinesis's own limit (developer guide, "Quotas and limits").
	readsPerSecond = 5
	// An idle shard is read once in two seconds; iterators are renewed every
	// 285 s, and some are asked for in the window.
	idleReads = idleShards * int(idleWindow/(2*time.Second)) * 11 / 10
	// Everything else to Kinesis: a look at the stream each minute, in pages.
	idleControl = 20
	// To the store: a heartbeat and a look at the table every few seconds. A call
	// for each shard would be a thousand.
	idleStore = 45
	// A stop gives a thousand leases back, and how fast dynalite writes those is
	// the machine's affair: the limit is DrainTimeout's default and ten seconds.
	idleStop = 2 * time.Minute
)

// The bill of an idle fleet is its calls: they must follow the heartbeats, not
// the shards, and no shard may be read more often than Kinesis allows. Only
// counts are judged; `go run ./test/bench -idle 1000` has the figures.
func TestAThousandIdleShardsStayWithinTheBudgetOfCalls(t *testing.T) {
	reads := harness.NewReads()
	f := newFleet(t, fleetOptions{name: "idle", workers: 1, shards: idleShards, reads: reads})
	w := f.workers[0]
	calls := &callCounts{counts: map[string]int{}}
	w.OnStore.Watch(calls.seen)
	p := w.Start(t)
	ctx := limited(t, testLimit)
	err := p.Until(ctx, "every shard to be read", func() error {
		if n := reads.Shards(time.Time{}); n < idleShards {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("calls until every shard was read once: Kinesis %v, store %v", reads.Calls(), calls.now())

	begun, before, stored := time.Now(), reads.Calls(), calls.now()
	timer := time.NewTimer(idleWindow)
	select {
	case <-timer.C:
	case <-p.Done():
		t.Fatal("the worker has ended")
	}
	kinesis, store := less(reads.Calls(), before), less(calls.now(), stored)
	took := time.Since(begun) // the timer may be late
	within := func(budget int) int { return int(float64(budget) * took.Seconds() / idleWindow.Seconds()) }
	t.Logf("calls in %v: Kinesis %v, store %v", took, kinesis, store)
	if n := kinesis["GetRecords"]; n > within(idleReads) {
		t.Errorf("%d GetRecords in %v, budget %d", n, took, within(idleReads))
	} else if n < idleReads/4 {
		t.Errorf("%d GetRecords in %v: the shards are not read", n, took)
	}
	delete(kinesis, "GetRecords")
	if n := total(kinesis); n > within(idleControl) {
		t.Errorf("%d other calls to Kinesis, budget %d: %v", n, within(idleControl), kinesis)
	}
	if n := total(store); n > within(idleStore) {
		t.Errorf("%d calls to the store, budget %d: %v", n, within(idleStore), store)
	}
	if n := reads.Most(time.Second); n > readsPerSecond {
		t.Errorf("%d reads of one shard within a second, Kinesis allows %d", n, readsPerSecond)
	}
	stopped, err := w.Stop(idleStop)
	if err != nil {
		t.Error(err)
	}
	t.Logf("stopped in %v", stopped.Round(time.Millisecond))
}

// callCounts counts the calls of each operation.
type callCounts struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *callCounts) seen(call harness.Call, _ int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[call.Operation]++
}

func (c *callCounts) now() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// less is what was counted since before.
func less(now, before map[string]int) map[string]int {
	since := map[string]int{}
	for name, n := range now {
		if n > before[name] {
			since[name] = n - before[name]
		}
	}
	return since
}

func total(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
