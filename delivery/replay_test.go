package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	storemem "github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
)

// again is a replay with the rig's settings as they are now.
func (r *rig) again() (*Replay, standpipe.Shard) {
	r.t.Helper()
	p := r.boot()
	shards, err := p.parts.Stream.Shards(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return p.again(time.Second / 2), shards[0]
}

// again is a replay with the node's settings and parts.
func (p *node) again(every time.Duration) *Replay { return NewReplay(p.settings, p.parts, every) }

// turned delivers one flush of two objects, across the turn of an hour, with
// arrivals that alternate, and returns its manifest.
func turned(r *rig) manifest.Manifest {
	r.t.Helper()
	time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour - 3*time.Second)))
	p := r.start()
	for n := range 60 {
		r.event(n)
		time.Sleep(100 * time.Millisecond)
	}
	r.delivered()
	if err := p.end(); err != nil {
		r.t.Fatal(err)
	}
	for _, m := range r.manifests(r.lease(shardID(0))) {
		if len(m.Objects) == 2 {
			return m
		}
	}
	r.t.Fatal("no flush has two objects: this is no scene")
	return manifest.Manifest{}
}

// bodies is every object as it is stored.
func (r *rig) bodies() map[string]string {
	all := map[string]string{}
	for _, o := range r.bucket.Objects() {
		all[o.Key] = string(o.Body)
	}
	return all
}

func TestADeletedObjectIsRestoredUnderItsKeyWithItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		before := r.bodies()
		for _, lost := range [][]int{{0}, {1}, {0, 1}} {
			for _, n := range lost {
				r.bucket.Remove(m.Objects[n].Key)
			}
			// Where objects go, and how often reading fails, may have changed since.
			r.prefix("elsewhere/")
			replay, info := r.again()
			for range 2 { // the second time finds what the first one made
				if err := replay.Restore(t.Context(), m, info, lost, false); err != nil {
					t.Fatal(err)
				}
			}
			if after := r.bodies(); !maps.Equal(before, after) {
				t.Fatalf("restoring %v: %d objects, there were %d, or others", lost, len(after), len(before))
			}
		}
		r.verify()
		r.idle()
	})
}

func TestADamagedObjectIsReplacedOnlyWhenTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		before := r.bodies()
		o := m.Objects[1]
		if err := r.bucket.Put(t.Context(), sink.Object{Key: o.Key}, strings.NewReader("damage")); err != nil {
			t.Fatal(err)
		}
		replay, info := r.again()
		if err := replay.Restore(t.Context(), m, info, []int{1}, true); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(before, r.bodies()) {
			t.Error("it is not as it was")
		}
		r.idle()
	})
}

func TestLinesThatAreNotTheManifestsAreNeverPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		r.bucket.Remove(m.Objects[0].Key)
		before := r.bodies()
		r.settings.RecordFormat = Raw
		replay, info := r.again()
		for _, replace := range []bool{false, true} {
			err := replay.Restore(t.Context(), m, info, []int{0}, replace)
			if e, ok := errors.AsType[*standpipe.Error](err); !ok || e.Class != standpipe.Fatal || !strings.Contains(e.Hint, "RecordFormat") || !errors.Is(err, ErrUnlike) {
				t.Errorf("error %v", err)
			}
		}
		if !maps.Equal(before, r.bodies()) {
			t.Error("something was written")
		}
		r.idle()
	})
}

func TestAnotherCodecRestoresTheSameLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		o := m.Objects[0]
		want := r.data()[o.Key]
		r.bucket.Remove(o.Key)
		codec, err := sink.NewCodec(sink.Gzip, 6)
		if err != nil {
			t.Fatal(err)
		}
		r.codec = codec
		replay, info := r.again()
		if err := replay.Restore(t.Context(), m, info, []int{0}, false); err != nil {
			t.Fatal(err)
		}
		for _, v := range r.bucket.Objects() {
			if v.Key == o.Key && !bytes.Equal(r.decode(v.Body), want) {
				t.Error("other lines")
			}
		}
	})
}

func TestARangeIsReadAgainAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		replay, info := r.again()
		d, n, err := replay.Digest(t.Context(), m, info)
		if err != nil || n != m.Counts.Records || d.Lines != m.Counts.Lines || d.Sum() != m.Hash {
			t.Errorf("%d records, %d lines %s, %v", n, d.Lines, d.Sum(), err)
		}
		time.Sleep(25 * time.Hour) // retention
		r.event(60)
		if _, _, err := replay.Digest(t.Context(), m, info); !errors.Is(err, ErrTrimmed) {
			t.Errorf("beyond retention: %v", err)
		}
		r.bucket.Remove(m.Objects[0].Key)
		if err := replay.Restore(t.Context(), m, info, []int{0}, false); !errors.Is(err, ErrTrimmed) {
			t.Errorf("beyond retention: %v", err)
		}
		r.idle()
	})
}

// Two ranges that meet at a time, one after the other into a prefix each, have
// every record once; stopped and begun again too, and once more is nothing.
// Aim: an archive has thousands of manifests of shards that left the stream long
// ago, and a reader believes that only at the third time, seconds apart. Method:
// ask a hundred times about one.
func TestAShardThatLeftTheStreamIsReadInVainOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		m := turned(r)
		r.split(string(shardID(0)), "170141183460469231731687303715884105728")
		time.Sleep(26 * time.Hour)
		replay, _ := r.again()
		r.bucket.Remove(m.Objects[0].Key)
		began := time.Now()
		for range 100 {
			if _, _, err := replay.Digest(t.Context(), m, standpipe.Shard{ID: m.Shard}); !errors.Is(err, ErrTrimmed) {
				t.Fatal(err)
			}
			if err := replay.Restore(t.Context(), m, standpipe.Shard{ID: m.Shard}, []int{0}, false); !errors.Is(err, ErrTrimmed) {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d > time.Minute {
			t.Errorf("it took %v to know that nothing is left", d)
		}
		r.idle()
	})
}

func TestRangesThatMeetHaveEveryRecordOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		var cut time.Time
		for n := range 300 {
			if n == 130 {
				cut = time.Now()
			}
			r.event(n)
			time.Sleep(time.Second)
		}
		live := r.bodies()
		got := map[string]int{}
		for k, one := range []struct {
			from consumer.Start
			end  End
		}{
			{atHorizon(), End{Time: cut}},
			{consumer.Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: cut}, End{Time: time.Now()}},
		} {
			prefix := fmt.Sprintf("again-%d/", k)
			r.sink, r.store = sink.Under(r.bucket, prefix), new(storemem.Store)
			runs, done := 0, false
			for ; !done; runs++ {
				ctx, stop := context.WithCancel(t.Context())
				if runs == 0 { // stopped in the middle, by a signal
					time.AfterFunc(3*time.Second, stop)
					r.settings.Limits.Records = 40
				}
				replay, info := r.again()
				var err error
				if done, err = replay.Deliver(ctx, r.store, info, one.from, one.end); err != nil && ctx.Err() == nil {
					t.Fatal(err)
				}
				stop()
			}
			after := r.bodies()
			replay, info := r.again()
			if again, err := replay.Deliver(t.Context(), r.store, info, one.from, one.end); err != nil || !again || !maps.Equal(after, r.bodies()) {
				t.Errorf("once more: done %v, %v, %d objects of %d", again, err, len(r.bodies()), len(after))
			}
			l := r.lease(shardID(0))
			chain := r.manifests(l)
			for i, m := range chain {
				if err := m.Check(); err != nil || i > 0 && m.Follows(chain[i-1]) != manifest.Contiguous {
					t.Errorf("manifest %d: %v", m.Number, err)
				}
			}
			for _, key := range slices.Sorted(maps.Keys(after)) {
				if strings.HasPrefix(key, prefix) && !strings.Contains(key, manifest.StatePrefix) {
					for line := range bytes.Lines(r.decode([]byte(after[key]))) {
						got[strings.TrimSuffix(string(line), "\n")]++
					}
				}
			}
		}
		if !maps.Equal(got, r.want) {
			t.Errorf("%d lines, want %d, each once", len(got), len(r.want))
		}
		for key := range live {
			if _, there := r.bodies()[key]; !there {
				t.Errorf("%s is gone", key)
			}
		}
		r.idle()
	})
}

func TestASequenceNumberEndsARangeWithItsRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		var sequences []string
		for n := range 20 {
			line := fmt.Sprintf("line %d", n)
			_, seq := r.put("k", []byte(line), line)
			sequences = append(sequences, seq)
		}
		replay, info := r.again()
		from := consumer.Start{Position: standpipe.Position{Sequence: sequences[4]}, At: true}
		done, err := replay.Deliver(t.Context(), r.store, info, from, End{Sequence: sequences[8]})
		if err != nil || !done {
			t.Fatal(done, err)
		}
		if l := r.lease(shardID(0)); l.Checkpoint.Sequence != sequences[8] {
			t.Errorf("it stands at %s, want %s", l.Checkpoint.Sequence, sequences[8])
		}
		lines := 0
		for _, body := range r.data() {
			lines += bytes.Count(body, []byte("\n"))
		}
		if done, err := replay.Deliver(t.Context(), r.store, info, from, End{Sequence: sequences[8]}); err != nil || !done {
			t.Error("once more:", done, err)
		}
		if lines != 5 || len(r.manifests(r.lease(shardID(0)))) != 1 {
			t.Errorf("%d lines, want records 4 to 8", lines)
		}
	})
}

func TestAReplayReadsNoOftenerThanItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for range 30 {
			r.put("k", bytes.Repeat([]byte("x"), 1<<20), strings.Repeat("x", 1<<20))
		}
		r.sink, r.store = sink.Under(r.bucket, "again/"), new(storemem.Store)
		p := r.boot()
		var reads []time.Time
		p.gate.set(func(_ context.Context, op string, do func() error) error {
			if op == "GetRecords" {
				reads = append(reads, time.Now())
			}
			return do()
		})
		const share = 20 * time.Second // slower than the reader by itself
		replay := p.again(share)
		if done, err := replay.Deliver(t.Context(), r.store, standpipe.Shard{ID: shardID(0)}, atHorizon(), End{Time: time.Now().Add(time.Millisecond)}); err != nil || !done {
			t.Fatal(done, err)
		}
		if len(reads) < 3 {
			t.Fatalf("%d reads: this is no scene", len(reads))
		}
		for k := range reads[1:] {
			if d := reads[k+1].Sub(reads[k]); d < share {
				t.Errorf("read %d came %v after the one before", k+1, d)
			}
		}
	})
}
