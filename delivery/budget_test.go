package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe/consumer"
)

func TestABudgetServesInOrderAndASmallRequestNeverOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		if !b.TryAcquire(90) {
			t.Fatal("90 of 100 are free")
		}
		var mu sync.Mutex
		var order []int64
		want := []int64{50, 5, 60, 1, 2}
		for _, n := range want {
			go func() {
				if err := b.Acquire(t.Context(), n); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, n)
				mu.Unlock()
				time.Sleep(time.Second)
				b.Resize(n, 0)
			}()
			synctest.Wait()
		}
		if len(order) != 0 || b.TryAcquire(1) {
			t.Error("a small request overtook a large one")
		}
		b.Resize(90, 0)
		time.Sleep(time.Minute)
		synctest.Wait()
		// Those that fit together are granted together: compare generations.
		if !slices.Equal(sorted(order[:2]), []int64{5, 50}) || !slices.Equal(sorted(order[2:]), []int64{1, 2, 60}) {
			t.Errorf("served in the order %v, asked in the order %v", order, want)
		}
		if b.Used() != 0 || b.Peak() > b.Size() {
			t.Errorf("used %d, peak %d", b.Used(), b.Peak())
		}
	})
}

func sorted(v []int64) []int64 { return slices.Sorted(slices.Values(v)) }

func TestACancelledWaiterGivesBackAndLetsTheNextOneThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		b.TryAcquire(50)
		cause := errors.New("lease lost")
		ctx, cancel := context.WithCancelCause(t.Context())
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- b.Acquire(ctx, 80) }()
		synctest.Wait()
		go func() { second <- b.Acquire(t.Context(), 40) }()
		synctest.Wait()
		cancel(cause)
		if err := <-first; !errors.Is(err, cause) {
			t.Errorf("the cancelled waiter got %v", err)
		}
		if err := <-second; err != nil { // else it would wait for ever behind nobody
			t.Error(err)
		}
		b.Resize(90, 0)
		if b.Used() != 0 {
			t.Errorf("%d bytes are still taken", b.Used())
		}
	})
}

func TestARequestLargerThanTheBudgetIsServedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(100)
		b.TryAcquire(1)
		granted := false
		go func() {
			if err := b.Acquire(t.Context(), 500); err != nil {
				t.Error(err)
			}
			granted = true
		}()
		synctest.Wait()
		if granted {
			t.Error("granted beside another")
		}
		b.Resize(1, 0)
		synctest.Wait()
		if !granted || b.Used() != 500 {
			t.Errorf("granted %v, used %d", granted, b.Used())
		}
		b.Resize(500, 0)
	})
}

// Whatever is asked, cancelled and given back: nothing leaks, nobody hangs,
// and no more is granted than there is but to one alone.
func TestABudgetNeverLeaksNorHangs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(1, 100).Draw(rt, "size")
		type ask struct {
			n       int64
			after   time.Duration
			keep    time.Duration
			patient bool
		}
		var asks []ask
		for range rapid.IntRange(1, 30).Draw(rt, "asks") {
			asks = append(asks, ask{
				rapid.Int64Range(0, 150).Draw(rt, "n"), time.Duration(rapid.IntRange(0, 20).Draw(rt, "after")),
				time.Duration(rapid.IntRange(0, 20).Draw(rt, "keep")), rapid.Bool().Draw(rt, "patient"),
			})
		}
		problem := ""
		synctest.Test(t, func(t *testing.T) {
			b := NewBudget(size)
			var mu sync.Mutex
			held := map[int]int64{}
			var all sync.WaitGroup
			for k, a := range asks {
				all.Go(func() {
					time.Sleep(a.after)
					ctx := t.Context()
					if !a.patient {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, 5)
						defer cancel()
					}
					if b.Acquire(ctx, a.n) != nil {
						return
					}
					mu.Lock()
					held[k] = a.n
					sum, others := int64(0), 0
					for _, n := range held {
						if sum += n; n > 0 {
							others++
						}
					}
					if sum > size && others > 1 {
						problem = fmt.Sprintf("%d of %d taken by %d at once", sum, size, others)
					}
					mu.Unlock()
					time.Sleep(a.keep)
					mu.Lock()
					delete(held, k)
					mu.Unlock()
					b.Resize(a.n, 0)
				})
			}
			all.Wait() // synctest reports a deadlock
			if b.Used() != 0 || b.waiters.Len() != 0 {
				problem = fmt.Sprintf("%d bytes taken and %d waiters in the end", b.Used(), b.waiters.Len())
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func TestAShardThatNeedsMemoryDeliversWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, func(r *rig) {
			r.budget = NewBudget(4 << 20)
			r.settings.Limits.Bytes, r.settings.Limits.Age = 64<<20, time.Hour
		})
		rnd := rand.New(rand.NewPCG(5, 6))
		p := r.start()
		for n := range 60 {
			line := fmt.Sprintf("%d %s", n, noise(rnd, 200_000))
			r.put(fmt.Sprint(n), []byte(line), line)
			time.Sleep(200 * time.Millisecond)
		}
		r.until("half is committed long before its age", func() bool { return r.committed() > 30 })
		if n := p.metric("standpipe_delivery_sealed_total", "reason=memory"); n == 0 {
			t.Error("no flush was cut for memory")
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.settings.Limits.Age = 5 * time.Second
		p = r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
	})
}

func TestAPageLargerThanTheWholeBudgetIsReadAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, func(r *rig) { r.budget = NewBudget(1 << 20) })
		for n := range 6 {
			line := strings.Repeat(fmt.Sprint(n), 3<<20)
			r.put(fmt.Sprint("big", n), []byte(line), line)
		}
		r.events(0, 30)
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
		// Alone: the largest page's needs, never two of them.
		if most := roomFor(16<<20) + 8<<20; r.budget.Peak() > most {
			t.Errorf("%d bytes were taken, one page needs at most %d", r.budget.Peak(), most)
		}
	})
}

func TestManyShardsWithATinyBudgetNeverDeadlock(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 8))
			r := newRig(t, 12, func(r *rig) {
				r.budget = NewBudget(1 + rnd.Int64N(3<<20))
				r.settings.Limits.Age = time.Duration(1+rnd.IntN(60)) * time.Second
				r.settings.Limits.Bytes = 1 + rnd.Int64N(1<<20)
				r.settings.AtLeastOnce = seed%4 == 3
			})
			p := r.start()
			for n := range 40 {
				line := fmt.Sprintf("%d %s", n, noise(rnd, 1+rnd.IntN(100_000)))
				r.put(fmt.Sprint(n), []byte(line), line)
				time.Sleep(time.Duration(rnd.IntN(1000)) * time.Millisecond)
				if n == 20 {
					p.gate.refuse(unavailable("bucket"), sinkCalls...)
				}
			}
			time.Sleep(time.Minute)
			p.gate.set(nil)
			r.until("every line is visible", func() bool { return r.visible() >= len(r.want) })
			if err := p.end(); err != nil {
				t.Fatal(err)
			}
			if !r.settings.AtLeastOnce {
				r.verify()
			}
			r.idle()
		})
	}
}

// visible counts the lines in objects.
func (r *rig) visible() (n int) {
	for _, body := range r.data() {
		n += strings.Count(string(body), "\n")
	}
	return n
}

func TestASparseShardReadBackOverManyHoursStaysUnderTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.budget = NewBudget(48 << 20) })
		r.prefix("data/!{timestamp:yyyy/MM/dd/HH/mm}/")
		for n := range 300 { // one record in each of 300 prefixes, all in one page
			r.event(n)
			time.Sleep(time.Minute)
		}
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
		if r.budget.Peak() > r.budget.Size() {
			t.Errorf("%d bytes were taken of a budget of %d", r.budget.Peak(), r.budget.Size())
		}
	})
}

func TestMemoryIsTakenBeforeAPageIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "GetRecords" && r.budget.Used() < roomFor(consumer.MinPage) {
				t.Errorf("a page is read and %d bytes are taken", r.budget.Used())
			}
			return do()
		})
		p.run()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// M1: a thousand shards with data in each, a bucket that is away, and memory
// for a small part of it.
func TestAThousandShardsShareTheBudgetThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards = 1000
		r := newRig(t, shards, func(r *rig) {
			r.budget = NewBudget(64 << 20)
			r.settings.Limits.Age = 20 * time.Second
		})
		rnd := rand.New(rand.NewPCG(1, 8))
		for n := range 2 * shards { // an open object takes 64 KiB, whatever is in it
			line := fmt.Sprintf("%d %s", n, noise(rnd, 1000))
			r.put(fmt.Sprint(n), []byte(line), line)
		}
		p := r.boot()
		p.gate.refuse(unavailable("bucket"), sinkCalls...)
		p.run()
		time.Sleep(time.Minute)
		if used := r.budget.Used(); used < r.budget.Size()/3 {
			t.Errorf("%d bytes are taken: this is no shortage", used)
		}
		p.gate.set(nil)
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
		if r.budget.Peak() > r.budget.Size() {
			t.Errorf("%d bytes were taken of a budget of %d", r.budget.Peak(), r.budget.Size())
		}
	})
}
