package consumer

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/google/go-cmp/cmp"
	"github.com/standpipe/standpipe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test with its own clock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func TestEveryRecordComesOnceAndInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", closed: true}
		sh.put(25, time.Now())
		s := newService(sh, &stubShard{id: "b", parents: []string{"a"}})
		s.perRead = 4
		got, last := drain(t, s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon)))
		same(t, "records", got, sequences(1, 25))
		same(t, "records of the last page", seqsOf(last), sequences(25, 25))
		if len(last.Children) != 1 || last.Children[0].ID != "b" || last.Children[0].HashEnd != "9" ||
			!slices.Equal(last.Children[0].Parents, []standpipe.ShardID{"a"}) {
			t.Errorf("children: %+v", last.Children)
		}
		if last.Gap != nil {
			t.Errorf("gap: %+v", last.Gap)
		}
	})
}

func TestIteratorExpiryResumesAfterTheLastRecordRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(9, time.Now())
		s := newService(sh)
		s.perRead = 3
		// The start-up position is record 2: a rebuild from it would deliver 3 again.
		r := s.dial().Open(shardNamed("a"), from(seq(2)))
		same(t, "first page", seqsOf(step(t, r)), sequences(3, 4))
		time.Sleep(6 * time.Minute) // a slow sink
		same(t, "after expiry", seqsOf(step(t, r)), sequences(5, 7))
		same(t, "iterators", s.kinds(), []string{"AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"})
	})
}

func TestIteratorTheServerRefusesIsReplacedWithinTheSameFetch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(6, time.Now())
		s := newService(sh)
		s.perRead = 3
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		step(t, r)
		once := true
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op == "GetRecords" && once {
				once = false
				s.fail(w, 400, "ExpiredIteratorException", "Iterator expired.")
				return true
			}
			return false
		}
		same(t, "records", seqsOf(step(t, r)), sequences(4, 6))
		// Refused for ever: an error with back-off, not a loop.
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op == "GetRecords" {
				s.fail(w, 400, "ExpiredIteratorException", "Iterator expired.")
				return true
			}
			return false
		}
		before := s.count("GetRecords")
		if _, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable {
			t.Errorf("error: %v", err)
		}
		if n := s.count("GetRecords") - before; n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	})
}

func TestLatestIsNeverAskedAgainAfterTheFirstTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now().Add(-time.Hour))
		s := newService(sh)
		r := s.dial().Open(shardNamed("a"), from(standpipe.Latest))
		if p := step(t, r); len(p.Records) != 0 {
			t.Fatalf("records before the start: %v", seqsOf(p))
		}
		time.Sleep(time.Minute)
		sh.put(2, time.Now()) // while nobody reads
		restart := r.Position()
		time.Sleep(6 * time.Minute)
		same(t, "records after expiry", seqsOf(step(t, r)), sequences(4, 5))
		same(t, "iterators", s.kinds(), []string{"LATEST", "AT_TIMESTAMP"})
		// And a restart from the stored position loses nothing either.
		same(t, "after a restart", seqsOf(step(t, s.dial().Open(shardNamed("a"), restart))), sequences(4, 5))
	})
}

func TestLatestIsRememberedByTheServersClock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		s := newService(sh)
		s.skew = -10 * time.Minute // ours is ahead
		r := s.dial().Open(shardNamed("a"), from(standpipe.Latest))
		step(t, r)
		sh.put(2, time.Now().Add(s.skew))
		time.Sleep(6 * time.Minute)
		same(t, "records after expiry", seqsOf(step(t, r)), sequences(1, 2))
	})
}

func TestAStartInTheFutureBeginsAtLatestAndSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now())
		s := newService(sh)
		r := s.dial().Open(shardNamed("a"), Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: time.Now().Add(time.Hour)})
		if p := step(t, r); !p.FromLatest || len(p.Records) != 0 {
			t.Errorf("page: %+v", p)
		}
		sh.put(1, time.Now())
		if p := step(t, r); p.FromLatest || len(p.Records) != 1 {
			t.Errorf("second page: %+v", p)
		}
	})
}

func TestAStartTimeSelectsRecordsByArrival(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now())
		time.Sleep(time.Hour)
		sh.put(3, time.Now())
		r := newService(sh).dial().Open(shardNamed("a"), Start{Position: standpipe.Position{Sequence: standpipe.AtTimestamp}, Time: time.Now().Add(-time.Minute)})
		same(t, "records", seqsOf(step(t, r)), sequences(4, 6))
	})
}

// gapAfter opens a reader at record 5, of which the first trimmed are gone,
// and returns the first page with records.
func gapAfter(t *testing.T, trimmed int, seen time.Duration, refuse bool) Page {
	t.Helper()
	sh := &stubShard{id: "a"}
	sh.put(10, time.Now().Add(-48*time.Hour))
	sh.put(10, time.Now().Add(-24*time.Hour+time.Minute))
	sh.trimmedUpTo = trimmed
	s := newService(sh)
	if refuse {
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op == "GetShardIterator" && c.str("ShardIteratorType") != "TRIM_HORIZON" {
				s.fail(w, 400, "InvalidArgumentException", "StartingSequenceNumber is invalid.")
				return true
			}
			return false
		}
	}
	c := s.dial()
	if _, err := c.Describe(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := from(seq(5))
	if seen > 0 {
		start.Seen = time.Now().Add(-seen)
	}
	r := c.Open(shardNamed("a"), start)
	first := step(t, r)
	sh.put(1, time.Now())
	if p := step(t, r); p.Gap != nil {
		t.Errorf("the gap was reported twice: %+v", p.Gap)
	}
	return first
}

func TestTrimmedRecordsAreReportedAsAGap(t *testing.T) {
	for name, tc := range map[string]struct {
		trimmed int
		seen    time.Duration
		refuse  bool
		first   int
		gap     bool
	}{
		"the position is still there":                      {trimmed: 4, first: 6},
		"the position itself was trimmed, nothing after":   {trimmed: 5, first: 6, gap: true},
		"records after it were trimmed":                    {trimmed: 10, first: 11, gap: true},
		"the position is known to be old":                  {trimmed: 10, seen: 48 * time.Hour, first: 11, gap: true},
		"all was seen within the retention: idle, no loss": {trimmed: 10, seen: time.Hour, first: 11},
		"refused, and trimmed":                             {trimmed: 10, refuse: true, first: 11, gap: true},
		"refused, yet found":                               {trimmed: 3, refuse: true, first: 6},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := gapAfter(t, tc.trimmed, tc.seen, tc.refuse)
				if string(p.Records[0].Sequence) != seq(tc.first) {
					t.Errorf("first record %s, want %s", p.Records[0].Sequence, seq(tc.first))
				}
				if (p.Gap != nil) != tc.gap {
					t.Fatalf("gap: %+v, want one: %v", p.Gap, tc.gap)
				}
				if p.Gap != nil && (p.Gap.After.Sequence != seq(5) || p.Gap.Before != seq(tc.first) || p.Gap.Reason != GapTrimmed) {
					t.Errorf("gap: %+v", p.Gap)
				}
				if p.Gap != nil && !p.Gap.Certain {
					t.Errorf("certain: %v for a first record that arrived %v ago", p.Gap.Certain, p.ReadAt.Sub(p.Gap.BeforeTime))
				}
			})
		})
	}
}

// A start is no record that could be found again: only Start.Seen says whether
// what it meant is still there. The doubt lasts until a record comes, however
// many empty pages come before it.
func TestAStartThatRetentionPassedIsReportedAsAGapWithTheFirstRecord(t *testing.T) {
	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		start    string
		seen     time.Duration // before now; 0 is unknown
		arrived  time.Duration // of the first record that is left, before now; 0: nothing is left yet
		gap, all bool
	}{
		"unknown":                           {start: standpipe.TrimHorizon, arrived: day},
		"the horizon of this moment":        {start: standpipe.TrimHorizon, seen: day - 10*time.Minute, arrived: day},
		"the horizon of an hour ago":        {start: standpipe.TrimHorizon, seen: day + time.Hour, arrived: day, gap: true, all: true},
		"the same, and a sparse shard":      {start: standpipe.TrimHorizon, seen: day + time.Hour, arrived: time.Hour, gap: true},
		"the same, and nothing is left":     {start: standpipe.TrimHorizon, seen: day + time.Hour, gap: true},
		"a birth just before the first one": {start: standpipe.TrimHorizon, seen: day, arrived: day - time.Minute, gap: true},
		"a time within the retention":       {start: standpipe.AtTimestamp, seen: time.Hour, arrived: time.Minute},
		"a time before it":                  {start: standpipe.AtTimestamp, seen: 2 * day, arrived: day, gap: true, all: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sh := &stubShard{id: "a"}
				if tc.arrived > 0 {
					sh.put(3, time.Now().Add(-tc.arrived))
				}
				c := newService(sh).dial()
				if _, err := c.Describe(t.Context()); err != nil {
					t.Fatal(err)
				}
				start := from(tc.start)
				if tc.seen > 0 {
					start.Seen = time.Now().Add(-tc.seen)
				}
				if tc.start == standpipe.AtTimestamp {
					start.Time = start.Seen
				}
				r := c.Open(shardNamed("a"), start)
				if tc.arrived == 0 {
					for range 3 {
						if p := step(t, r); p.Gap != nil || len(p.Records) > 0 {
							t.Errorf("page %+v of an empty shard", p)
						}
					}
					if tc.gap && !r.Seen().Equal(start.Seen) {
						t.Errorf("read up to %v, which is in doubt", r.Seen())
					}
					sh.put(1, time.Now())
				}
				p := step(t, r)
				if (p.Gap != nil) != tc.gap {
					t.Fatalf("gap %+v, want one: %v", p.Gap, tc.gap)
				}
				if g := p.Gap; g != nil && (g.Certain != tc.all || g.After.Sequence != tc.start || g.Before != seq(1) || g.Reason != GapTrimmed) {
					t.Errorf("gap %+v, want it certain: %v", g, tc.all)
				}
				sh.put(1, time.Now())
				if p := step(t, r); p.Gap != nil {
					t.Errorf("the gap was told twice: %+v", p.Gap)
				}
			})
		})
	}
}

func TestAGapOfAShardThatMayHaveBeenIdleIsNotCertain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(5, time.Now().Add(-48*time.Hour))
		sh.put(1, time.Now().Add(-time.Hour))
		sh.trimmedUpTo = 5
		c := newService(sh).dial()
		if _, err := c.Describe(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := step(t, c.Open(shardNamed("a"), from(seq(5))))
		if p.Gap == nil || p.Gap.Certain {
			t.Errorf("gap: %+v", p.Gap)
		}
	})
}

func TestAnIdleShardThatIsWatchedNeverRaisesAFalseGap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(5, time.Now())
		s := newService(sh)
		c := s.dial(WithLimits(Limits{IdleInterval: 4 * time.Minute, MaxPerSecond: 1}))
		if _, err := c.Describe(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := c.Open(shardNamed("a"), from(standpipe.TrimHorizon))
		for began := time.Now(); time.Since(began) < 30*time.Hour; {
			step(t, r)
		}
		sh.trimmedUpTo = 5 // the only records age out; nothing was lost
		start := r.Position()
		if start.Position.Sequence != seq(5) || time.Since(start.Seen) > time.Hour {
			t.Fatalf("position: %+v", start)
		}
		r = c.Open(shardNamed("a"), start)
		step(t, r)
		time.Sleep(10 * time.Minute)
		for began := time.Now(); time.Since(began) < 30*time.Hour; {
			step(t, r)
		}
		sh.put(1, time.Now())
		if p := step(t, r); p.Gap != nil || len(p.Records) != 1 {
			t.Errorf("page: %+v", p)
		}
	})
}

func TestAReaderThatStoodStillLongerThanTheRetentionNoticesTheGap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(5, time.Now())
		s := newService(sh)
		c := s.dial()
		if _, err := c.Describe(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := c.Open(shardNamed("a"), from(standpipe.TrimHorizon))
		step(t, r)
		sh.put(5, time.Now())
		time.Sleep(25 * time.Hour)
		sh.trimmedUpTo = 8
		p := step(t, r)
		if p.Gap == nil || p.Gap.After.Sequence != seq(5) || p.Gap.Before != seq(9) {
			t.Errorf("gap: %+v", p.Gap)
		}
		same(t, "iterators", s.kinds(), []string{"TRIM_HORIZON", "AT_SEQUENCE_NUMBER"})
	})
}

func TestAPositionOfAnotherStreamIsFatalWithAHint(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(&stubShard{id: "a"})
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op == "GetShardIterator" && c.str("ShardIteratorType") != "TRIM_HORIZON" {
				s.fail(w, 400, "InvalidArgumentException", "StartingSequenceNumber 1 used in GetShardIterator on shard a in stream s under account 0 is invalid because it did not come from this stream.")
				return true
			}
			return false
		}
		_, err := tryStep(t, s.dial().Open(shardNamed("a"), from(seq(5))))
		var e *standpipe.Error
		if !errors.As(err, &e) || e.Class != standpipe.Fatal || !strings.Contains(e.Hint, "checkpoint") {
			t.Errorf("error: %v", err)
		}
	})
}

func TestAMidAggregatePositionOfKCLComesWithASkip(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now())
		sh.records[1].data = AppendAggregate(nil, []UserRecord{
			{Data: []byte("x"), PartitionKey: []byte("k")}, {Data: []byte("y"), PartitionKey: []byte("k")}, {Data: []byte("z"), PartitionKey: []byte("k")},
		})
		c := newService(sh).dial()
		for sub, want := range map[int64]struct{ first, skip int }{0: {2, 1}, 1: {2, 2}, 2: {3, 0}} {
			r := c.Open(shardNamed("a"), Start{Position: standpipe.Position{Sequence: seq(2), Sub: sub}, Inside: true})
			p := step(t, r)
			if string(p.Records[0].Sequence) != seq(want.first) || p.Skip != int64(want.skip) || p.Gap != nil {
				t.Errorf("sub %d: first %s, skip %d, gap %v", sub, p.Records[0].Sequence, p.Skip, p.Gap)
			}
		}
		// Our own checkpoint covers the whole record, whatever its sub says.
		p := step(t, c.Open(shardNamed("a"), Start{Position: standpipe.Position{Sequence: seq(2), Sub: 0}}))
		same(t, "records", seqsOf(p), sequences(3, 3))
	})
}

func TestARangeIsReadAgainFromItsFirstRecord(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(9, time.Now())
		s := newService(sh)
		s.perRead = 3
		r := s.dial().Open(shardNamed("a"), Start{Position: standpipe.Position{Sequence: seq(2)}, At: true})
		p := step(t, r)
		same(t, "records", seqsOf(p), sequences(2, 4))
		if p.Gap != nil {
			t.Errorf("gap: %+v", p.Gap)
		}
		if again := r.Position(); again.At || again.Position.Sequence != seq(4) {
			t.Errorf("it goes on at %+v", again)
		}
		same(t, "the page after it", seqsOf(step(t, r)), sequences(5, 7))
	})
}

func TestCancelDuringAFetchLosesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now())
		s := newService(sh)
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("the lease was lost")
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op == "GetRecords" {
				cancel(stop) // while the answer is under way
			}
			return false
		}
		if err := r.Fetch(ctx, MaxPage); !errors.Is(err, stop) {
			t.Fatalf("error: %v", err)
		}
		if r.Held() != 0 {
			t.Errorf("%d bytes are still held", r.Held())
		}
		s.before = nil
		same(t, "records", seqsOf(step(t, r)), sequences(1, 3))
	})
}

func TestASilentConnectionEndsAtTheDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(&stubShard{id: "a"})
		c := NewClient(silent(s), "s", WithSeed(1))
		r := c.Open(shardNamed("a"), from(standpipe.TrimHorizon))
		began := time.Now()
		err := r.Fetch(t.Context(), MaxPage)
		if standpipe.ClassOf(err) != standpipe.Retryable || time.Since(began) != callTimeout {
			t.Errorf("error after %v: %v", time.Since(began), err)
		}
	})
}

// Aim: a link on which a whole page takes longer than a call may is slow, not
// dead: after an outage hundreds of shards share one, and all of them would ask
// for the same large page for ever. Method: a body that comes at so many bytes a
// second.
func TestAPageThatTheLinkCannotCarryInTimeIsAskedForInParts(t *testing.T) {
	for name, c := range map[string]struct {
		records, size, rate int
		limit               time.Duration
	}{
		"small records":           {10_000, 700, 500 << 10, 3 * time.Minute},
		"large records":           {10, 1 << 20, 200 << 10, 10 * time.Minute},
		"one of the largest size": {1, 10 << 20, 100 << 10, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sh := &stubShard{id: "a"}
				sh.put(c.records, time.Now())
				for i := range sh.records {
					sh.records[i].data = bytes.Repeat([]byte("x"), c.size)
				}
				r := NewClient(narrow(newService(sh), c.rate), "s", WithSeed(1)).Open(shardNamed("a"), from(standpipe.TrimHorizon))
				var got []string
				for began := time.Now(); len(got) < c.records; {
					if time.Since(began) > c.limit {
						t.Fatalf("%d of %d records after %v", len(got), c.records, time.Since(began))
					}
					p, err := tryStep(t, r)
					if err != nil && standpipe.ClassOf(err) != standpipe.Retryable {
						t.Fatal(err)
					}
					got = append(got, seqsOf(p)...)
				}
				same(t, "records", got, sequences(1, c.records))
			})
		})
	}
}

func TestThrottlingAndDenialBackOffAndHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now())
		s := newService(sh)
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		code := "ProvisionedThroughputExceededException"
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op == "GetRecords" {
				s.fail(w, 400, code, "Rate exceeded for shard")
				return true
			}
			return false
		}
		calls := 0
		for began := time.Now(); time.Since(began) < 10*time.Minute; calls++ {
			if _, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Throttled {
				t.Fatalf("error: %v", err)
			}
		}
		if calls > 65 {
			t.Errorf("%d calls in 10 minutes of throttling", calls)
		}
		if n := s.count("GetShardIterator"); n > 3 {
			t.Errorf("%d iterators asked for: a throttled one is still good for 5 minutes", n)
		}
		code = "AccessDeniedException"
		_, err := tryStep(t, r)
		var e *standpipe.Error
		if !errors.As(err, &e) || e.Class != standpipe.Denied || !strings.Contains(e.Error(), "shard a") {
			t.Errorf("error: %v", err)
		}
		s.before = nil
		same(t, "records", seqsOf(step(t, r)), sequences(1, 3))
	})
}

func TestAPageThatDoesNotFitIsAskedForAgainWithTheSameIterator(t *testing.T) {
	for _, unannounced := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			sh := &stubShard{id: "a"}
			sh.put(2000, time.Now())
			s := newService(sh)
			s.unannounced = unannounced
			r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
			err := r.Fetch(t.Context(), MinPage)
			var large *TooLargeError
			if !errors.As(err, &large) || r.Estimate() != large.Need || r.Held() != 0 {
				t.Fatalf("error: %v, estimate %d, held %d", err, r.Estimate(), r.Held())
			}
			// All shards of a worker meet a burst at once: what they reserve then
			// has to be what they need, or objects are cut to make room.
			if most := map[bool]int64{true: MaxPage, false: 2 << 20}[unannounced]; large.Need > most || unannounced && large.Need < most {
				t.Errorf("needs %d bytes, of a page of %d, announced %v", large.Need, large.received, !unannounced)
			}
			same(t, "records", seqsOf(step(t, r)), sequences(1, 2000))
			s.mu.Lock()
			defer s.mu.Unlock()
			if a, b := s.calls[1].str("ShardIterator"), s.calls[2].str("ShardIterator"); a != b || len(s.calls) != 3 {
				t.Errorf("iterators %q and %q in %d calls", a, b, len(s.calls))
			}
		})
	}
}
