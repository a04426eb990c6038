package consumer

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe"
)

func TestTheEndOfAShardWithoutChildrenInTheAnswerIsConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", closed: true}
		sh.put(7, time.Now())
		s := newService(sh, &stubShard{id: "b", parents: []string{"a"}}, &stubShard{id: "c", parents: []string{"a"}})
		s.noKids = true // kinesalite
		s.perRead = 5
		got, last := drain(t, s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon)))
		same(t, "records", got, sequences(1, 7))
		if len(last.Records) != 0 || len(last.Children) != 2 || s.count("ListShards") != 1 {
			t.Errorf("last page %+v after %d listings", last, s.count("ListShards"))
		}
		same(t, "iterators", s.kinds(), []string{"TRIM_HORIZON", "AFTER_SEQUENCE_NUMBER"})
	})
}

func TestAClosedShardWithoutRecordsEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, noKids := range []bool{false, true} {
			s := newService(&stubShard{id: "a", closed: true}, &stubShard{id: "b", parents: []string{"a"}})
			s.noKids = noKids
			for _, start := range []Start{from(standpipe.TrimHorizon), from(standpipe.Latest)} {
				got, last := drain(t, s.dial().Open(shardNamed("a"), start))
				if len(got) != 0 || last.Gap != nil || len(last.Children) != 1 {
					t.Errorf("records %v, last page %+v", got, last)
				}
			}
		}
	})
}

// lostIterators makes the next n pages come without an iterator: absent, null
// or empty.
func lostIterators(s *service, n int) {
	forms := []string{``, `,"NextShardIterator":null`, `,"NextShardIterator":""`}
	s.before = func(c call, w http.ResponseWriter) bool {
		if c.op != "GetRecords" || n == 0 {
			return false
		}
		n--
		_, _ = w.Write([]byte(`{"Records":[],"MillisBehindLatest":0` + forms[n%3] + `}`))
		return true
	}
}

func TestALostIteratorOfAnOpenShardIsNotItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(3, time.Now())
		s := newService(sh)
		lostIterators(s, 3)
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		for range 3 {
			if p := step(t, r); p.End {
				t.Fatal("the shard ended")
			}
		}
		same(t, "records", seqsOf(step(t, r)), sequences(1, 3))
		if n := s.count("ListShards"); n != 3 {
			t.Errorf("%d listings", n)
		}
	})
}

func TestALostIteratorOfAClosedShardWithUnreadRecordsIsNotItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", closed: true}
		sh.put(7, time.Now())
		s := newService(sh, &stubShard{id: "b", parents: []string{"a"}})
		lostIterators(s, 1)
		got, _ := drain(t, s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon)))
		same(t, "records", got, sequences(1, 7))
	})
}

func TestAShardThatIsNoLongerListedEndsOnceNothingIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", closed: true, unlisted: true}
		sh.put(3, time.Now())
		s := newService(sh, &stubShard{id: "b", parents: []string{"a"}})
		s.noKids = true
		got, last := drain(t, s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon)))
		same(t, "records", got, sequences(1, 3))
		if len(last.Children) != 1 || last.Gap != nil || s.count("ListShards") != 1 {
			t.Errorf("last page %+v after %d listings", last, s.count("ListShards"))
		}
	})
}

func TestIteratorsLostAgainAndAgainBeforeTheEndLoseNoRecords(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", closed: true}
		sh.put(7, time.Now())
		s := newService(sh, &stubShard{id: "b", parents: []string{"a"}})
		s.perRead = 2
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op != "GetRecords" {
				return false
			}
			i, _ := strconv.Atoi(strings.Split(c.str("ShardIterator"), "/")[1])
			page := s.page(sh, i, min(i+2, 7))
			delete(page, "NextShardIterator")
			delete(page, "ChildShards")
			s.answer(w, page)
			return true
		}
		got, _ := drain(t, s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon)))
		same(t, "records", got, sequences(1, 7))
	})
}

func TestChildrenBesideAnIteratorAreNotTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a"}
		sh.put(1, time.Now())
		s := newService(sh)
		first := true
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.op == "GetRecords" && first {
				first = false
				_, _ = w.Write([]byte(`{"Records":[],"NextShardIterator":"` + s.iterator("a", 0) + `","ChildShards":[{"ShardId":"b","ParentShards":["a"]}]}`))
				return true
			}
			return false
		}
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		if p := step(t, r); p.End {
			t.Fatal("the shard ended")
		}
		same(t, "records", seqsOf(step(t, r)), sequences(1, 1))
	})
}

// gone reads until it is believed that the shard has left the stream.
func gone(t *testing.T, r *Reader) Page {
	t.Helper()
	for range goneAfter - 1 {
		if p, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable {
			t.Fatalf("page %+v, error %v", p, err)
		}
	}
	return step(t, r)
}

func TestAShardThatLeftTheStreamUnreadEndsWithAGap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", closed: true}
		sh.put(10, time.Now())
		s := newService(sh, &stubShard{id: "b", parents: []string{"a"}})
		s.perRead = 4
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		step(t, r)
		sh.gone, sh.unlisted = true, true
		p := gone(t, r)
		if !p.End || p.Gap == nil || p.Gap.Reason != GapShardGone || p.Gap.After.Sequence != seq(4) || len(p.Children) != 1 {
			t.Errorf("page %+v, gap %+v", p, p.Gap)
		}
		if err := r.Fetch(t.Context(), MaxPage); err == nil {
			t.Error("a shard was read past its end")
		}
		p = gone(t, s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon)))
		if !p.End || p.Gap == nil || p.Gap.After.Sequence != standpipe.TrimHorizon {
			t.Errorf("never read: page %+v, gap %+v", p, p.Gap)
		}
	})
}

func TestAListedShardThatIsNotFoundIsHeldThenBelieved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", gone: true}
		s := newService(sh)
		r := s.dial().Open(shardNamed("a"), from(seq(3)))
		for range 5 {
			if _, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable {
				t.Fatalf("an open shard: %v", err)
			}
		}
		sh.closed = true
		r = s.dial().Open(shardNamed("a"), from(seq(3)))
		for range goneAfter - 1 {
			if _, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable {
				t.Fatalf("a closed shard: %v", err)
			}
		}
		if p := step(t, r); !p.End || p.Gap == nil || p.Gap.After.Sequence != seq(3) {
			t.Errorf("page %+v", p)
		}
	})
}

// Aim: the end of a shard is for ever, so no single answer is believed: a shard
// that was born a moment ago may be unknown to the part of Kinesis that answers.
// Method: a shard that is not found, and not listed either, for a few calls.
func TestAShardThatIsUnknownForAMomentIsNotItsEnd(t *testing.T) {
	for name, others := range map[string][]*stubShard{
		"beside others":     {{id: "b"}},
		"in no list at all": nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sh := &stubShard{id: "a", gone: true, unlisted: true}
				sh.put(3, time.Now())
				s := newService(append(others, sh)...)
				r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
				began := time.Now()
				for range goneAfter - 1 {
					if p, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable || p.End {
						t.Fatalf("page %+v, error %v", p, err)
					}
				}
				if d := time.Since(began); d < unknownFor {
					t.Errorf("asked %d times within %v", goneAfter-1, d)
				}
				sh.gone, sh.unlisted = false, false
				same(t, "records", seqsOf(step(t, r)), sequences(1, 3))
			})
		})
	}
}

// No stream is without a shard, so an empty list says nothing of any of them.
func TestAnEmptyListIsNobodysEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(&stubShard{id: "a", gone: true, unlisted: true})
		r := s.dial().Open(shardNamed("a"), from(seq(3)))
		for range 3 * goneAfter {
			if p, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable || p.End {
				t.Fatalf("page %+v, error %v", p, err)
			}
		}
		s.mu.Lock()
		s.shards = append(s.shards, &stubShard{id: "b"})
		s.mu.Unlock()
		if p := gone(t, r); !p.End {
			t.Errorf("page %+v", p)
		}
	})
	bubble(t, func(t *testing.T) { // after a page without an iterator
		s := newService(&stubShard{id: "a", closed: true, unlisted: true})
		s.noKids = true
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		step(t, r)
		for range 5 {
			if p, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.Retryable || p.End {
				t.Fatalf("page %+v, error %v", p, err)
			}
		}
	})
}

func TestADeletedStreamIsNotFoundAndNeverAnEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(&stubShard{id: "a"})
		r := s.dial().Open(shardNamed("a"), from(standpipe.TrimHorizon))
		step(t, r)
		s.before = func(c call, w http.ResponseWriter) bool {
			s.fail(w, 400, "ResourceNotFoundException", "Stream s under account 000000000000 not found.")
			return true
		}
		for range 3 {
			if _, err := tryStep(t, r); standpipe.ClassOf(err) != standpipe.NotFound {
				t.Errorf("error: %v", err)
			}
		}
	})
}

func TestAnEndedPositionIsNeverReadAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(&stubShard{id: "a"})
		if err := s.dial().Open(shardNamed("a"), from(standpipe.ShardEnd)).Fetch(t.Context(), MaxPage); err == nil || len(s.calls) != 0 {
			t.Errorf("error %v after %d calls", err, len(s.calls))
		}
	})
}

func TestTheEndOfATrimmedShardReportsTheGap(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sh := &stubShard{id: "a", closed: true}
		sh.put(9, time.Now().Add(-30*time.Hour))
		sh.trimmedUpTo = 9
		s := newService(sh, &stubShard{id: "b", parents: []string{"a"}})
		got, last := drain(t, s.dial().Open(shardNamed("a"), from(seq(3))))
		if len(got) != 0 || last.Gap == nil || last.Gap.Before != "" || last.Gap.Certain {
			t.Errorf("records %v, gap %+v", got, last.Gap)
		}
	})
}
