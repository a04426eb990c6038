package delivery

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/consumer"
)

// slow keeps anything from being committed before a stop.
func slow(r *rig) {
	r.settings.Limits = batcher.Limits{Bytes: 1 << 20, Age: 10 * time.Hour, Batches: 100}
}

// hourly puts a record that is there to be trimmed, once an hour.
func (r *rig) hourly(hours int) {
	r.t.Helper()
	for n := range hours {
		r.put("k", fmt.Appendf(nil, "old %d", n))
		r.records--
		time.Sleep(time.Hour)
	}
}

// gaps are those that the manifests of a shard prove.
func (r *rig) gaps(id standpipe.ShardID) (all []standpipe.Gap) {
	r.t.Helper()
	for _, m := range r.manifests(r.lease(id)) {
		all = append(all, m.Gaps...)
	}
	return all
}

// killed is a kill -9 as soon as the worker has read what there is.
func (r *rig) killed(records int64) {
	r.t.Helper()
	p := r.start()
	r.until("the records are read", func() bool { return p.status(shardID(0)).RecordsRead >= records })
	p.crash()
}

// A worker that dies before its first commit and comes back after the retention
// reads on from what is left. Nobody may take that for the whole.
func TestAShardThatNeverDeliveredTellsOfWhatRetentionTook(t *testing.T) {
	for name, tc := range map[string]struct {
		start consumer.Start
		after standpipe.Position
	}{
		"from the horizon": {atHorizon(), standpipe.Position{Sequence: standpipe.TrimHorizon}},
		"from the tip":     {consumer.Start{Position: standpipe.Position{Sequence: standpipe.Latest}}, standpipe.Position{Sequence: standpipe.AtTimestamp}},
		"from a time":      {consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}}, standpipe.Position{Sequence: standpipe.AtTimestamp}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, slow, func(r *rig) { r.settings.Start = tc.start })
				if tc.start.Position.Sequence == standpipe.AtTimestamp {
					r.settings.Start.Time = time.Now()
				}
				p := r.start()
				r.until("the shard is read", func() bool { return !p.status(shardID(0)).ReadAt.IsZero() })
				r.hourly(3)
				p.crash()
				r.hourly(25)
				r.settings.Limits.Age = 10 * time.Second
				next := r.start()
				r.until("something is committed", func() bool { return r.committed() > 0 })
				gaps := r.gaps(shardID(0))
				if len(gaps) != 1 || gaps[0].After.Sequence != tc.after.Sequence || !gaps[0].Certain || gaps[0].Before == "" {
					t.Errorf("the manifests tell of %+v, want one certain gap after %s", gaps, tc.after)
				}
				if l := r.lease(shardID(0)); l.Gaps != 1 {
					t.Errorf("the lease counts %d gaps", l.Gaps)
				}
				if err := next.end(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A lease that nobody could take for longer than the retention: what was there
// when it was made was promised too.
func TestAShardThatNobodyTookForLongerThanTheRetentionTellsOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.hourly(3)
		p := r.boot()
		p.gate.refuse(unavailable("store"), "take")
		p.run()
		r.until("the lease is made", func() bool { return len(r.leases()) == 1 })
		p.crash()
		r.hourly(26)
		next := r.start()
		r.until("something is committed", func() bool { return r.committed() > 0 })
		if gaps := r.gaps(shardID(0)); len(gaps) != 1 || !gaps[0].Certain {
			t.Errorf("the manifests tell of %+v, want one certain gap", gaps)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
	})
}

// The horizon runs through live data at the first start of every old stream.
// That is where it was told to begin, not a loss.
func TestTheFirstStartOnAnOldStreamIsNoGap(t *testing.T) {
	for name, tc := range map[string]struct {
		down time.Duration // between a crash right after the start and the next start
		gaps int
	}{
		"at once":                            {},
		"after a crash":                      {down: 2 * time.Minute},
		"after a crash and three hours":      {down: 3 * time.Hour, gaps: 1}, // they are gone: it began three hours late
		"after a crash and a day and a half": {down: 36 * time.Hour, gaps: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, slow)
				r.hourly(30)
				if tc.down > 0 {
					r.killed(24)
					r.hourly(int(tc.down / time.Hour))
					time.Sleep(tc.down % time.Hour)
				}
				r.settings.Limits.Age = 10 * time.Second
				p := r.start()
				r.until("something is committed", func() bool { return r.committed() > 0 })
				if gaps := r.gaps(shardID(0)); len(gaps) != tc.gaps {
					t.Errorf("the manifests tell of %+v, want %d gaps", gaps, tc.gaps)
				}
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A shard that had nothing to deliver yet is noted as read, like any idle one.
func TestAShardThatNeverHadARecordIsNoGapAfterDaysOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		time.Sleep(30 * time.Hour) // the stream is no longer young
		p := r.start()
		time.Sleep(7 * time.Hour)
		p.crash()
		time.Sleep(19 * time.Hour)
		r.put("a", []byte("first"), "first")
		next := r.start()
		r.delivered()
		if gaps := r.gaps(shardID(0)); len(gaps) != 0 {
			t.Errorf("an idle shard has gaps: %+v", gaps)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// Children continue their parents: what they hold is wanted from their birth
// on, and that is when their parents were read last.
func TestAChildTellsOfWhatRetentionTookBeforeItsFirstCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, slow)
		r.put("a", []byte("parent"), "parent")
		r.split("shardId-000000000000", half)
		p := r.start()
		r.until("the parent has ended", func() bool { return p.status(shardID(0)).State == StateEnded })
		r.put("k", []byte("trimmed unread"))
		r.records--
		child := shardID(1)
		r.until("the child is read", func() bool { return p.status(child).RecordsRead+p.status(shardID(2)).RecordsRead > 0 })
		if p.status(child).RecordsRead == 0 {
			child = shardID(2)
		}
		p.crash()
		time.Sleep(30 * time.Hour)
		r.put("k", []byte("late"), "late")
		r.settings.Limits.Age = 10 * time.Second
		next := r.start()
		r.delivered()
		gaps := r.gaps(child)
		if len(gaps) != 1 || gaps[0].After.Sequence != standpipe.TrimHorizon {
			t.Errorf("the child's manifests tell of %+v, want a gap after its beginning", gaps)
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// A child that was born while nobody was there, after its parent's last record,
// has lost nothing that its parent's row does not speak of.
func TestAChildBornDuringALongStopIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.put("a", []byte("first"), "first")
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.put("b", []byte("trimmed unread"))
		r.records--
		time.Sleep(20 * time.Hour)
		r.put("c", []byte("the parent's last"), "the parent's last")
		r.split("shardId-000000000000", half)
		time.Sleep(20 * time.Hour)
		r.put("d", []byte("a child's first"), "a child's first")
		next := r.start()
		r.delivered()
		for n, want := range []int{1, 0, 0} {
			if l := r.lease(shardID(n)); l.Gaps != int64(want) {
				t.Errorf("%s has %d gaps, the last %+v; want %d", l.Shard, l.Gaps, l.LastGap, want)
			}
		}
		if err := next.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// At a first start children wait for parents that take hours. The horizon they
// were leased at has moved on meanwhile, and yet nothing of them can be gone.
func TestAChildThatWaitsForAParentForLongIsNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		time.Sleep(48 * time.Hour)
		r.put("a", []byte("parent"), "parent")
		r.split("shardId-000000000000", half)
		r.put("b", []byte("child"), "child")
		p := r.boot()
		p.gate.mu.Lock()
		p.gate.stalled = shardID(0)
		p.gate.mu.Unlock()
		p.run()
		time.Sleep(5 * time.Hour)
		p.gate.set(nil)
		r.delivered()
		for n := range 3 {
			if l := r.lease(shardID(n)); n > 0 && l.Gaps != 0 {
				t.Errorf("%s has %d gaps, the last %+v", l.Shard, l.Gaps, l.LastGap)
			}
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

// A row that says nothing of its past, as an import or an older version leaves
// it, is completed before the first read.
func TestALeaseWithoutAPastGetsOneBeforeTheFirstRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, slow)
		r.hourly(30)
		r.settings.Worker = "import"
		created := r.boot()
		if err := created.describe(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := r.store.Create(t.Context(), checkpoint.Lease{
			Shard: shardID(0), Incarnation: "1", StreamCreated: created.Stream().Created.UTC(),
			Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon}, HashStart: "0", HashEnd: "340282366920938463463374607431768211455",
		})
		if err != nil {
			t.Fatal(err)
		}
		r.killed(24)
		if l := r.lease(shardID(0)); l.Seen.IsZero() {
			t.Fatal("the row does not say when it was read first")
		}
		r.hourly(2)
		r.settings.Limits.Age = 10 * time.Second
		p := r.start()
		r.until("something is committed", func() bool { return r.committed() > 0 })
		if gaps := r.gaps(shardID(0)); len(gaps) != 1 {
			t.Errorf("the manifests tell of %+v, want one gap", gaps)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
	})
}
