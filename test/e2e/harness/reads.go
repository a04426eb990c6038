package harness

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Reads sees the Kinesis calls of a fleet pass: how often each operation is
// called, and when each shard was read by whom. Iterators are opaque, so it
// remembers which answer each one came with. Safe for concurrent use.
type Reads struct {
	mu     sync.Mutex
	shards map[string]string // by iterator
	reads  map[string][]Read // by shard
	calls  map[string]int    // by operation
}

// A Read is one GetRecords that was answered.
type Read struct {
	At time.Time
	By string
}

// NewReads has seen nothing.
func NewReads() *Reads {
	return &Reads{shards: map[string]string{}, reads: map[string][]Read{}, calls: map[string]int{}}
}

// Wire starts a proxy through which one worker reaches the Kinesis server.
func (r *Reads) Wire(t testing.TB, worker, endpoint string) string {
	t.Helper()
	return newWire(t, endpoint, func(w http.ResponseWriter, req *http.Request, server http.Handler) {
		call, err := newCall(req)
		if err != nil {
			return // the client is gone
		}
		r.mu.Lock()
		r.calls[call.Operation]++
		r.mu.Unlock()
		switch call.Operation {
		case "GetShardIterator":
			r.iterator(w, req, server, call)
		case "GetRecords":
			r.page(w, req, server, call, worker)
		default:
			server.ServeHTTP(w, req)
		}
	})
}

func (r *Reads) iterator(w http.ResponseWriter, req *http.Request, server http.Handler, call Call) {
	answer := httptest.NewRecorder()
	server.ServeHTTP(answer, req)
	var in struct {
		ShardID string `json:"ShardId"`
	}
	var out struct{ ShardIterator string }
	if json.Unmarshal(call.Body, &in) == nil && json.Unmarshal(answer.Body.Bytes(), &out) == nil && out.ShardIterator != "" {
		r.mu.Lock()
		r.shards[out.ShardIterator] = in.ShardID
		r.mu.Unlock()
	}
	relay(w, answer)
}

func (r *Reads) page(w http.ResponseWriter, req *http.Request, server http.Handler, call Call, worker string) {
	var in struct{ ShardIterator string }
	if json.Unmarshal(call.Body, &in) != nil {
		server.ServeHTTP(w, req)
		return
	}
	answer := &pageWriter{ResponseWriter: w}
	server.ServeHTTP(answer, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	shard := r.shards[in.ShardIterator]
	if answer.failed || shard == "" {
		return
	}
	r.reads[shard] = append(r.reads[shard], Read{At: time.Now(), By: worker})
	if answer.next != "" {
		r.shards[answer.next] = shard
	}
}

// Calls counts the calls of each operation so far.
func (r *Reads) Calls() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := map[string]int{}
	for operation, n := range r.calls {
		calls[operation] = n
	}
	return calls
}

// Shards counts the shards that were read since a moment.
func (r *Reads) Shards(since time.Time) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reads := range r.reads {
		if reads[len(reads)-1].At.After(since) {
			n++
		}
	}
	return n
}

// Readers counts the shards that were read since a moment, by the worker that
// read them last.
func (r *Reads) Readers(since time.Time) map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	readers := map[string]int{}
	for _, reads := range r.reads {
		if last := reads[len(reads)-1]; last.At.After(since) {
			readers[last.By]++
		}
	}
	return readers
}

// A Pause is the time between two reads of a shard. Stood is how much of it the
// machine stood still.
type Pause struct{ Lasted, Stood time.Duration }

// Own is what of a pause is not the machine's.
func (p Pause) Own() time.Duration { return p.Lasted - p.Stood }

// Longest is the longest pause of its own between two reads of a shard that
// ended between two moments, or has not ended by then, by shard.
func (r *Reads) Longest(from, to time.Time, stall *Stall) map[string]Pause {
	r.mu.Lock()
	defer r.mu.Unlock()
	longest := map[string]Pause{}
	for shard, reads := range r.reads {
		for i, read := range reads {
			next := to
			if i+1 < len(reads) && reads[i+1].At.Before(to) {
				next = reads[i+1].At
			}
			p := Pause{Lasted: next.Sub(read.At), Stood: stall.Within(read.At, next)}
			if next.After(from) && p.Own() > longest[shard].Own() {
				longest[shard] = p
			}
		}
	}
	return longest
}

// Most is the greatest number of reads that one shard had within a window, by
// all workers together.
func (r *Reads) Most(window time.Duration) (most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, reads := range r.reads {
		sorted := slices.SortedFunc(slices.Values(reads), func(a, b Read) int { return a.At.Compare(b.At) })
		first := 0
		for i, read := range sorted {
			for read.At.Sub(sorted[first].At) >= window {
				first++
			}
			most = max(most, i-first+1)
		}
	}
	return most
}

// A pageWriter passes an answer on and picks the next iterator out of it
// without keeping it: pages are up to 14 MB.
type pageWriter struct {
	http.ResponseWriter
	failed bool
	next   string
	carry  []byte // the end of what was written, for a name cut in two
}

// carried is longer than an iterator and its name.
const carried = 2 << 10

func (w *pageWriter) WriteHeader(status int) {
	w.failed = status != http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

func (w *pageWriter) Write(b []byte) (int, error) {
	if w.next == "" {
		text := append(w.carry, b...)
		if _, after, found := bytes.Cut(text, []byte(`"NextShardIterator":"`)); found {
			if value, _, whole := bytes.Cut(after, []byte(`"`)); whole {
				w.next = string(value)
			}
		}
		w.carry = append([]byte(nil), text[max(0, len(text)-carried):]...)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets the proxy flush.
func (w *pageWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
