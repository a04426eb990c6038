package delivery

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
)

// noise is a line of about n random characters: it hardly compresses.
func noise(rnd *rand.Rand, n int) string {
	b := make([]byte, n*3/4+1)
	for i := 0; i < len(b); i += 8 {
		var eight [8]byte
		binary.LittleEndian.PutUint64(eight[:], rnd.Uint64())
		copy(b[i:], eight[:])
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestAnOutageOfTenMinutesHoldsMemoryUnderTheBudgetAndDropsNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		down   []string
		codec  sink.Format
		shards int
	}{
		{"bucket", sinkCalls, sink.Gzip, 24},
		{"bucket, uncompressed", sinkCalls, sink.None, 4},
		{"publishing", []string{"publish"}, sink.None, 4},
		{"store", storeCalls, sink.Gzip, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, c.shards, func(r *rig) {
					codec, err := sink.NewCodec(c.codec, map[sink.Format]int{sink.Gzip: 1}[c.codec])
					if err != nil {
						t.Fatal(err)
					}
					r.codec, r.budget = codec, NewBudget(48<<20)
					r.settings.Limits.Bytes, r.settings.Limits.Age = 8<<20, 30*time.Second
				})
				rnd := rand.New(rand.NewPCG(3, 4))
				n := 0
				feed := func(records, size int) {
					for range records {
						line := fmt.Sprintf("%d %s", n, noise(rnd, size))
						r.put(fmt.Sprint(n), []byte(line), line)
						n++
					}
				}
				feed(100, 1000)
				p := r.start()
				r.delivered()
				p.gate.refuse(unavailable(c.name), c.down...)
				for range 10 {
					feed(20, 30_000)
					time.Sleep(time.Minute)
				}
				if !slices.ContainsFunc(p.Status(), func(s ShardStatus) bool { return strings.Contains(s.Holding, "503") }) {
					t.Error("no shard says what it is held by")
				}
				if p.metric("standpipe_delivery_attempts_failed_total", "class=retryable") == 0 {
					t.Error("failed attempts were not counted")
				}
				p.gate.set(nil)
				r.delivered()
				if n := p.metric("standpipe_shard_failures_total", ""); n != 0 {
					t.Errorf("%v shards failed: an outage holds, it does not fail", n)
				}
				if slices.ContainsFunc(p.Status(), func(s ShardStatus) bool { return s.Holding != "" }) {
					t.Error("a shard still says that it is held")
				}
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
				r.idle()
				if r.budget.Peak() > r.budget.Size() {
					t.Errorf("%d bytes were taken of a budget of %d", r.budget.Peak(), r.budget.Size())
				}
			})
		})
	}
}

func TestEveryRefusedCallShowsInTheStatusAndIsRepeatedUntilItIsGranted(t *testing.T) {
	for _, op := range []string{"begin", "append", "publish", "write", "prepare", "commit", "take", "GetRecords", "GetShardIterator"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.events(0, 10)
				p := r.boot()
				p.gate.refuse(denied(op), op)
				p.run()
				time.Sleep(5 * time.Minute)
				s := p.status(shardID(0))
				if !strings.Contains(s.Holding, "403 AccessDenied") || !strings.Contains(s.Holding, "grant it") && !strings.HasPrefix(op, "Get") {
					t.Errorf("after five minutes of refusals the status is %+v", s)
				}
				failed := p.metric("standpipe_delivery_attempts_failed_total", "class=denied") + p.metric("standpipe_read_errors_total", "")
				if failed < 4 || failed > 60 {
					t.Errorf("%v failed attempts were counted in five minutes: repeated slowly, and shown", failed)
				}
				if logged := r.logs.FilterLevelExact(1).Len(); logged == 0 || logged > 10 {
					t.Errorf("%d warnings in five minutes", logged)
				}
				p.gate.set(nil)
				r.delivered()
				if s := p.status(shardID(0)); s.Holding != "" {
					t.Errorf("granted, and still holding: %q", s.Holding)
				}
				if err := p.end(); err != nil {
					t.Fatal(err)
				}
				r.verify()
				r.idle()
			})
		})
	}
}

func TestAStoreThatRefusesWritesForGoodFailsTheShardInsteadOfSpinning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		p.gate.refuse(&standpipe.Error{Class: standpipe.Fatal, Op: "prepare", Err: errors.New("item too large")}, "prepare")
		p.run()
		r.until("the shard fails", func() bool { return p.status(shardID(0)).Error != "" })
		if e := p.status(shardID(0)).Error; !strings.Contains(e, "item too large") {
			t.Errorf("error %q", e)
		}
		p.gate.set(nil)
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

func TestHeldAtTheEndOfAShardShowsInTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.start()
		r.delivered()
		p.gate.refuse(denied("create"), "create")
		r.split(string(shardID(0)), "170141183460469231731687303715884105728")
		time.Sleep(5 * time.Minute)
		if s := p.status(shardID(0)); !strings.Contains(s.Holding, "403 AccessDenied") {
			t.Errorf("held at its end by a refused lease of its child, the shard says %+v", s)
		}
		p.gate.set(nil)
		r.complete(shardID(0))
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

func TestIteratorExpiryResumesAfterTheLastRecordRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, func(r *rig) { r.settings.Limits.Age = 5 * time.Second })
		p := r.start()
		r.events(0, 50)
		r.delivered()
		r.events(50, 100)
		r.until("the next records are read", func() bool { return p.metric("standpipe_read_records_total", "") == 100 })
		p.gate.refuse(unavailable("bucket"), sinkCalls...)
		time.Sleep(6*time.Minute + 30*time.Second) // iterators live for 5
		r.events(100, 150)
		p.gate.set(nil)
		r.delivered()
		r.admin("/admin/expire-iterators", `{}`) // and once without a hold
		r.events(150, 200)
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		if n := p.metric("standpipe_gaps_total", ""); n != 0 {
			t.Errorf("%v gaps", n)
		}
		if n := p.metric("standpipe_read_records_total", ""); n != 200 {
			t.Errorf("%v records read, 200 were put: nothing is read twice", n)
		}
	})
}

func TestThrottledReadsAreCountedAndOnlyDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		p := r.start()
		r.events(0, 10)
		r.admin("/admin/throttle", `{"calls":7}`)
		r.until("throttled", func() bool { return p.metric("standpipe_read_throttled_total", "") == 7 })
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}

func TestAPageThatCannotBeDecodedIsShownCountedAndReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 10)
		p := r.boot()
		p.garble(true)
		p.run()
		time.Sleep(10 * time.Minute)
		if s := p.status(shardID(0)); s.Holding == "" {
			t.Errorf("ten minutes of pages nobody can decode, and the status is %+v", s)
		}
		if n := p.metric("standpipe_read_errors_total", ""); n < 10 {
			t.Errorf("%v read errors counted", n)
		}
		if n := r.logs.FilterMessageSnippet("decoded").Len(); n > 20 {
			t.Errorf("%d log lines: an outage must not drown the log", n)
		}
		if n := r.budget.Used(); n != 0 {
			t.Errorf("%d bytes held for pages that were dropped", n)
		}
		p.garble(false)
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
	})
}

// garble makes every answer to GetRecords one that no decoder takes.
func (p *node) garble(on bool) {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	p.gate.garbled = on
}

func TestARestartDuringAnOutageOfTheStoreIsOneClearError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		for op, want := range map[string]string{
			"DescribeStreamSummary": "describe the stream",
			"ListShards":            "list shards",
			"probe":                 "ExtendedS3DestinationConfiguration.BucketARN",
			"roster":                "list leases",
			"create":                "create lease of " + string(shardID(0)),
		} {
			p := r.boot()
			p.gate.refuse(denied(op), op)
			err := p.Run(context.Background())
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "403 AccessDenied") {
				t.Errorf("%s refused at the start gave %v, want %q", op, err, want)
			}
			if len(p.Status()) != 0 {
				t.Errorf("%s refused, and shards were begun", op)
			}
		}
	})
}
