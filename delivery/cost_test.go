package delivery

import (
	"testing"
	"testing/synctest"
	"time"
)

// What a flush of one object costs in requests is the same for the hundredth as
// for the first: manifests are found by their numbers, nothing is listed, read
// or written in growing pieces.
func TestAFlushCostsTheSameRequestsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		p := r.start()
		flush := func(n int) {
			r.event(n)
			r.delivered()
		}
		count := func() map[string]int {
			calls := map[string]int{}
			for _, op := range append(sinkCalls[:len(sinkCalls):len(sinkCalls)], "prepare", "commit", "get", "take", "rollback", "repair", "advance") {
				calls[op] = p.gate.count(op)
			}
			return calls
		}
		flush(0)
		before := count()
		const flushes = 100
		for n := range flushes {
			flush(1 + n)
		}
		want := map[string]int{"begin": 1, "append": 1, "publish": 1, "write": 1, "prepare": 1, "commit": 1}
		for op, n := range count() {
			if got := n - before[op]; got != want[op]*flushes {
				t.Errorf("%d calls of %s in %d flushes, want %d each", got, op, flushes, want[op])
			}
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// A stream of little data makes as many objects as its shards and the interval
// allow, one more at the turn of each hour, and no more: see "Requests per
// object" in docs/operations.md.
func TestObjectsPerHourAreThoseStated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, interval, hours = 4, 5 * time.Minute, 3
		r := newRig(t, shards, func(r *rig) { r.settings.Limits.Age = interval })
		p := r.start()
		for n := range hours * 3600 / 10 { // every shard has a record in each interval
			r.event(n)
			time.Sleep(10 * time.Second)
		}
		r.delivered()
		most := hours*shards*int(time.Hour/interval) + hours*shards
		if n := len(r.data()); n > most || n < most*3/4 {
			t.Errorf("%d objects in %d hours of %d shards, stated are at most %d", n, hours, shards, most)
		}
		if got := p.metric("standpipe_delivery_objects_total", ""); int(got) != len(r.data()) {
			t.Errorf("the metric counts %v objects, there are %d", got, len(r.data()))
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}
