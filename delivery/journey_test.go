package delivery

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint/embedded"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/folder"
)

func aggregate(users ...string) []byte {
	var all []consumer.UserRecord
	for n, u := range users {
		all = append(all, consumer.UserRecord{Data: []byte(u), PartitionKey: fmt.Appendf(nil, "user-%d", n)})
	}
	return consumer.AppendAggregate(nil, all)
}

// awkward puts every kind of record that has ever broken an archiver.
func (r *rig) awkward() {
	r.t.Helper()
	big := strings.Repeat("0123456789abcdef", 10<<20/16-1)
	corrupt := aggregate("never", "seen")
	corrupt[len(corrupt)-1] ^= 1 // the checksum is wrong now
	for n := range 4 {           // over all shards
		key := func(kind string) string { return fmt.Sprintf("%s-%d", kind, n) }
		r.put(key("plain"), []byte(`{"a":1}`), `{"a":1}`)
		r.put(key("lines"), []byte("one\ntwo\r\n\r\n\nthree"), "one", "two", "three")
		r.put(key("empty"), nil)
		r.put(key("newlines"), []byte("\n\n\r\n\n"))
		r.put(key("nul"), []byte("a\x00b\x00"), "a\x00b\x00")
		r.put(key("utf8"), []byte("\xff\xfe\xc3("), "\xff\xfe\xc3(")
		r.put(key("cr"), []byte("half\rway\r\nend"), "half\rway", "end")
		r.put(key("text"), []byte("not JSON at all {"), "not JSON at all {")
		r.put(key("kpl"), aggregate("u1", "", "u2\nu3", "\n", "u1"), "u1", "u2", "u3", "u1")
		r.put(key("kpl-empty"), aggregate("", "\n"))
		r.put(key("corrupt"), corrupt, strings.FieldsFunc(string(corrupt), func(c rune) bool { return c == '\n' })...)
		r.put(key("underscore"), []byte("!!!!"), "!!!!")
	}
	if r.records < 100 { // once is enough
		r.put("big", []byte(big), big)
	}
}

func TestEveryLineOfAwkwardRecordsArrivesExactlyOnce(t *testing.T) {
	for format, level := range map[sink.Format]int{sink.None: 0, sink.Gzip: 1} {
		t.Run(string(format), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				codec, err := sink.NewCodec(format, level)
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, 3, func(r *rig) { r.codec = codec })
				r.awkward()
				p := r.start()
				r.delivered()
				r.awkward() // and again, live
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				p = r.start()
				r.delivered()
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
				r.idle()
				if got := p.metric("standpipe_aggregates_corrupt_total", ""); got == 0 {
					t.Error("corrupt aggregates were not counted")
				}
			})
		})
	}
}

func TestDroppedRecordsAreCountedAndPassTheCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		_, last := "", ""
		for range 3 {
			_, last = r.put("k", []byte("\n"))
		}
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		l := r.lease(shardID(0))
		if l.Checkpoint.Sequence != last {
			t.Errorf("checkpoint %s, want %s: it must pass records that leave no line before retention does", l.Checkpoint, last)
		}
		if m := r.manifests(l); len(m) != 1 || m[0].Counts.Dropped != 3 || len(m[0].Objects) != 0 {
			t.Errorf("manifests %+v", m)
		}
		if len(r.data()) != 0 {
			t.Error("an object was made of nothing")
		}
		r.verify()
	})
}

func TestRawModeIsByteForByteTheShardInManifestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, func(r *rig) {
			r.settings.RecordFormat, r.settings.Deaggregation = Raw, consumer.Off
			r.settings.Limits = batcher.Limits{Bytes: 3000, Age: 5 * time.Second, Batches: 10}
		})
		rnd := rand.New(rand.NewPCG(1, 2))
		want := map[standpipe.ShardID][]byte{}
		feed := func() {
			for n := range 200 {
				data := make([]byte, rnd.IntN(200))
				for i := range data {
					data[i] = "ab\n\r\x00\xff"[rnd.IntN(6)]
				}
				if n%50 == 0 {
					data = aggregate("kept", "whole")
				}
				id, _ := r.put(fmt.Sprint(rnd.Uint64()), data)
				want[id] = append(want[id], data...)
			}
		}
		feed()
		p := r.start()
		r.delivered()
		feed()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		p = r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verifyChains()
		data := r.data()
		for _, l := range r.leases() {
			var got []byte
			for _, m := range r.manifests(l) {
				for _, o := range m.Objects {
					got = append(got, data[o.Key]...)
				}
			}
			if !bytes.Equal(got, want[l.Shard]) {
				t.Errorf("%s: %d bytes delivered differ from the %d put", l.Shard, len(got), len(want[l.Shard]))
			}
		}
	})
}

func TestTheHourTurnSplitsObjectsByEachRecordsArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Limits.Age = 10 * time.Minute })
		time.Sleep(59*time.Minute + 50*time.Second) // 00:59:50
		p := r.start()
		for n := range 20 { // a record a second, over 01:00
			r.event(n)
			time.Sleep(time.Second)
		}
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		count := map[string]int{}
		for key, body := range r.data() {
			count[key[:len("data/2000/01/01/00/")]] += bytes.Count(body, []byte("\n"))
		}
		if count["data/2000/01/01/00/"] != 10 || count["data/2000/01/01/01/"] != 10 || len(count) != 2 {
			t.Errorf("lines by folder %v, want 10 in hour 00 and 10 in hour 01", count)
		}
		if m := r.manifests(r.lease(shardID(0))); len(m) != 1 {
			t.Errorf("%d flushes, want one of two objects", len(m))
		}
	})
}

func TestOldestInObjectKeepsAnObjectWholeOverTheHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, func(r *rig) { r.settings.Limits.Age, r.settings.OldestInObject = 10*time.Minute, true })
		time.Sleep(59*time.Minute + 50*time.Second)
		p := r.start()
		for n := range 20 {
			r.event(n)
			time.Sleep(time.Second)
		}
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		for key := range r.data() {
			if !strings.HasPrefix(key, "data/2000/01/01/00/") || len(r.data()) != 1 {
				t.Errorf("objects %v, want one in the hour of its oldest record", key)
			}
		}
	})
}

func TestAReplayOfYesterdayLandsInYesterday(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 5)
		time.Sleep(23 * time.Hour)
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		for key := range r.data() {
			if !strings.HasPrefix(key, "data/2000/01/01/00/") {
				t.Errorf("object %s lies by the wall clock, not by its records' arrival", key)
			}
		}
	})
}

func TestObjectsAreCutByBytesRecordsAndAge(t *testing.T) {
	for _, c := range []struct {
		reason  standpipe.SealReason
		limits  batcher.Limits
		flushes int
	}{
		{standpipe.SealBytes, batcher.Limits{Bytes: 70, Age: time.Hour}, 10}, // 7 lines of 10 or 11 bytes
		{standpipe.SealRecords, batcher.Limits{Records: 10, Age: time.Hour}, 7},
		{standpipe.SealAge, batcher.Limits{Bytes: 1 << 20, Age: 30 * time.Second}, 1},
	} {
		t.Run(string(c.reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, func(r *rig) { r.settings.Limits = c.limits })
				for n := 10; n < 80; n++ {
					r.put("k", fmt.Appendf(nil, "line %04d", n), fmt.Sprintf("line %04d", n)) // 10 bytes with newline
				}
				p := r.start()
				begun := time.Now()
				r.delivered()
				if took := time.Since(begun); c.reason == standpipe.SealAge && (took < 30*time.Second || took > 34*time.Second) {
					t.Errorf("sealed by age after %v, want 30 s", took)
				}
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
				all := r.manifests(r.lease(shardID(0)))
				if len(all) != c.flushes {
					t.Errorf("%d flushes, want %d", len(all), c.flushes)
				}
				for _, m := range all {
					if m.Reason != c.reason {
						t.Errorf("flush %d was cut by %s", m.Number, m.Reason)
					}
				}
			})
		})
	}
}

func TestFolderAndEmbeddedStoreKeepThePromiseOverARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		out, err := folder.Open(filepath.Join(dir, "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		r := newRig(t, 2, func(r *rig) { r.sink, r.settings.Limits.Age = out, 2*time.Second })
		for round := range 3 {
			store, err := embedded.Open(filepath.Join(dir, "state"))
			if err != nil {
				t.Fatal(err)
			}
			r.store = store
			p := r.start()
			r.events(round*50, round*50+50)
			r.delivered()
			r.events(1000+round*50, 1000+round*50+50)
			if round == 1 {
				p.crash()
			} else if err := p.end(); err != nil {
				t.Fatal(err)
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
		}
		store, err := embedded.Open(filepath.Join(dir, "state"))
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		r.store = store
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, l := range r.leases() {
			for _, m := range r.manifests(l) {
				for _, o := range m.Objects {
					body, err := os.ReadFile(filepath.Join(dir, "out", filepath.FromSlash(o.Key)))
					if err != nil {
						t.Fatal(err)
					}
					for line := range strings.Lines(string(body)) {
						got[strings.TrimSuffix(line, "\n")]++
					}
				}
			}
		}
		for line, n := range r.want {
			if got[line] != n {
				t.Errorf("line %q %d times, want %d", line, got[line], n)
			}
		}
	})
}

func TestObjectsSayWhichIntentAndShardTheyBelongTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 3)
		p := r.start()
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		m := r.manifests(r.lease(shardID(0)))[0]
		info, err := r.sink.Probe(context.Background(), m.Objects[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		if info.Metadata[manifest.MetaIntent] != m.Intent || info.Metadata["standpipe-shard"] != string(shardID(0)) {
			t.Errorf("metadata %v, the manifest names intent %s", info.Metadata, m.Intent)
		}
		if !slices.Contains([]int{0}, m.Rev) || m.Version != 1 || m.Stream != streamName {
			t.Errorf("manifest %+v", m)
		}
	})
}

// With unpacking off an aggregate is delivered as it is, and that is said: once
// for a shard, and never of a stream that has none.
func TestAggregatesThatAreDeliveredAsTheyAreAreSaid(t *testing.T) {
	for name, c := range map[string]struct {
		mode consumer.Deaggregation
		data []byte
		want int
	}{
		"off, aggregates":    {consumer.Off, aggregate("one", "two"), 1},
		"off, plain records": {consumer.Off, []byte("plain"), 0},
		"unpacked":           {consumer.KeepAll, aggregate("one", "two"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1, func(r *rig) { r.settings.Deaggregation, r.settings.RecordFormat = c.mode, Raw })
				p := r.start()
				for range 3 {
					r.put("k", c.data)
					time.Sleep(time.Minute)
				}
				r.delivered()
				if n := r.logs.FilterMessageSnippet("KPL aggregates").Len(); n != c.want {
					t.Errorf("said %d times, want %d", n, c.want)
				}
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}
