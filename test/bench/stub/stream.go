package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/standpipe/standpipe/test/bench/canned"
)

// settings are those of a run, given to /reset.
type settings struct {
	kind   canned.Kind
	shards int
	pages  int64 // for each shard, of pageSlices slices; 0 is a shard that stays empty
	// pace is how many bytes of payload arrive in each shard each second; 0
	// means that all are there from the start.
	pace int64
	// keep makes the stub keep objects, so that they can be checked.
	keep bool
}

const (
	// sliceSize and pageSlices make pages of 1 MiB, which is also what a shard
	// takes in a second. A paced shard gives what has arrived, in slices.
	sliceSize  = 64 << 10
	pageSlices = 16
	// distinctPages is how many pages there are before their data repeats:
	// 63 MiB, more than any compressor's window and any buffer.
	distinctPages = 63
)

func readSettings(q url.Values) (settings, error) {
	number := func(name string, otherwise int64) int64 {
		if n, err := strconv.ParseInt(q.Get(name), 10, 64); err == nil {
			return n
		}
		return otherwise
	}
	s := settings{
		kind: canned.Kind(q.Get("kind")), shards: int(number("shards", 4)), pages: number("pages", 48),
		pace: number("pace", 0), keep: q.Get("keep") == "1",
	}
	if s.kind == "" {
		s.kind = canned.Click
	}
	if s.shards < 1 || s.shards > 1000 || s.pages < 0 {
		return s, fmt.Errorf("%d shards with %d pages each", s.shards, s.pages)
	}
	return s, nil
}

// stub is the state of a run and what outlives runs.
type stub struct {
	mu     sync.Mutex
	run    *run
	slices map[canned.Kind][]*canned.Slice // made once

	bodies sync.Pool // of *[]byte
}

// A run is one program's. Its counters are covered by mu.
type run struct {
	settings
	slices  []*canned.Slice
	records int64 // of all slices
	begun   time.Time

	mu     sync.Mutex
	calls  map[string]int64 // to Kinesis, by operation
	taken  map[string]int64 // slices that a shard's reader has asked past
	bucket bucket
}

// control answers /reset and /progress.
func (s *stub) control(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/reset":
		set, err := readSettings(req.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.reset(set)
	case "/progress":
		r := s.current()
		if r == nil {
			http.Error(w, "no run", http.StatusConflict)
			return
		}
		writeJSON(w, r.progress())
	default:
		http.NotFound(w, req)
	}
}

func (s *stub) reset(set settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slices == nil {
		s.slices = map[canned.Kind][]*canned.Slice{}
	}
	if s.slices[set.kind] == nil {
		s.slices[set.kind] = canned.Slices(set.kind, 1, distinctPages*pageSlices, sliceSize)
	}
	r := &run{settings: set, slices: s.slices[set.kind], begun: time.Now(), calls: map[string]int64{}, taken: map[string]int64{}}
	for _, c := range r.slices {
		r.records += c.Records
	}
	r.bucket.init(set.keep)
	s.run = r
}

func (s *stub) current() *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run
}

// Progress is what /progress says. Taken counts what readers have asked past:
// an answer that was written may not have been read.
type Progress struct {
	Payload, Records int64 // taken
	Done             bool  // all shards are taken to their end
	Calls            map[string]int64
	Bucket           Bucket
}

func (r *run) progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{Done: len(r.taken) == r.shards, Calls: maps.Clone(r.calls)}
	for shard, n := range r.taken {
		at, _ := strconv.ParseInt(shard[strings.LastIndexByte(shard, '-')+1:], 10, 64)
		for k := range n {
			c := r.slice(at, k)
			p.Payload += c.Payload
			p.Records += c.Records
		}
		p.Done = p.Done && n == r.pages*pageSlices
	}
	p.Bucket = r.bucket.report()
	return p
}

// slice is the nth of a shard. Each shard begins elsewhere in the data.
func (r *run) slice(shard, n int64) *canned.Slice {
	return r.slices[(shard*17*pageSlices+n)%int64(len(r.slices))]
}

// available is how many slices of a shard have arrived.
func (r *run) available(now time.Time) int64 {
	total := r.pages * pageSlices
	if r.pace == 0 {
		return total
	}
	return min(int64(now.Sub(r.begun).Seconds()*float64(r.pace)/sliceSize), total)
}

// kinesis is the four calls. An iterator is "shardId-…:slices read".
func (s *stub) kinesis(w http.ResponseWriter, req *http.Request) {
	r := s.current()
	body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
	if err != nil || r == nil {
		http.Error(w, "no run", http.StatusConflict)
		return
	}
	var in struct {
		ShardID                          string `json:"ShardId"`
		ShardIterator, ShardIteratorType string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	target := req.Header.Get("X-Amz-Target")
	r.mu.Lock()
	r.calls[target[strings.LastIndexByte(target, '.')+1:]]++
	r.mu.Unlock()
	switch target {
	case "Kinesis_20131202.DescribeStreamSummary":
		writeJSON(w, map[string]any{"StreamDescriptionSummary": map[string]any{
			"StreamName": "bench", "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/bench", "StreamStatus": "ACTIVE",
			"RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.7e9, "OpenShardCount": r.shards, "EnhancedMonitoring": []any{},
		}})
	case "Kinesis_20131202.ListShards":
		writeJSON(w, map[string]any{"Shards": r.list()})
	case "Kinesis_20131202.GetShardIterator":
		if in.ShardIteratorType != "TRIM_HORIZON" {
			http.Error(w, "the stub begins at TRIM_HORIZON only", http.StatusBadRequest)
			return
		}
		writeJSON(w, map[string]any{"ShardIterator": in.ShardID + ":0"})
	case "Kinesis_20131202.GetRecords":
		s.records(w, r, in.ShardIterator)
	default:
		http.Error(w, "unknown call "+target, http.StatusBadRequest)
	}
}

func (r *run) list() (shards []any) {
	for n := range r.shards {
		shards = append(shards, map[string]any{
			"ShardId":             fmt.Sprintf("shardId-%012d", n),
			"HashKeyRange":        map[string]any{"StartingHashKey": strconv.Itoa(n), "EndingHashKey": strconv.Itoa(n)},
			"SequenceNumberRange": map[string]any{"StartingSequenceNumber": "1"},
		})
	}
	return shards
}

func (s *stub) records(w http.ResponseWriter, r *run, iterator string) {
	shard, position, _ := strings.Cut(iterator, ":")
	from, err := strconv.ParseInt(position, 10, 64)
	if err != nil {
		http.Error(w, "iterator "+iterator, http.StatusBadRequest)
		return
	}
	at, _ := strconv.ParseInt(shard[strings.LastIndexByte(shard, '-')+1:], 10, 64)
	r.mu.Lock()
	r.taken[shard] = from
	r.mu.Unlock()

	now := time.Now()
	to := min(r.available(now), from+pageSlices)
	page := canned.Page{First: uint64(from) << 24, Arrival: r.begun, Next: fmt.Sprintf("%s:%d", shard, max(from, to))}
	for n := from; n < to; n++ {
		page.Slices = append(page.Slices, r.slice(at, n))
	}
	if left := r.available(now) - max(from, to); left > 0 {
		page.Behind = time.Duration(left*sliceSize) * time.Second / max(time.Duration(r.pace), 1<<20)
	}
	buf, _ := s.bodies.Get().(*[]byte)
	if buf == nil {
		buf = new([]byte)
	}
	*buf = page.Append((*buf)[:0])
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Content-Length", strconv.Itoa(len(*buf)))
	_, _ = w.Write(*buf) // a reader that has gone asks again
	s.bodies.Put(buf)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
