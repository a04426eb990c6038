package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
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
	served map[string]int64 // the most slices of a shard that were ever sent
	again  Again
	broken []string
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
	r := &run{settings: set, slices: s.slices[set.kind], begun: time.Now(), calls: map[string]int64{}, taken: map[string]int64{}, served: map[string]int64{}}
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
	Again            Again
	Broken           []string // calls to Kinesis that were refused
	Bucket           Bucket
}

// Again is what was read more than once. Payload and Records do not count it.
type Again struct {
	Shards  int64 // iterators before what their shard's reader had asked past
	Payload int64 // of slices that had been sent before
}

func (r *run) progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := Progress{
		Done: len(r.taken) == r.shards, Calls: maps.Clone(r.calls), Again: r.again, Broken: slices.Clone(r.broken),
	}
	for shard, n := range r.taken {
		for k := range n {
			c := r.slice(number(shard), k)
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

// kinesis is the four calls. An iterator is "shardId-…:slices.records", what of
// the shard lies before it.
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
		StartingSequenceNumber           string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		r.refuse(w, err.Error())
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
		from, err := r.place(in.ShardID, in.ShardIteratorType, in.StartingSequenceNumber)
		if err != nil {
			r.refuse(w, err.Error())
			return
		}
		r.mu.Lock()
		if from.slice < r.taken[in.ShardID] {
			r.again.Shards++
		}
		r.mu.Unlock()
		writeJSON(w, map[string]any{"ShardIterator": in.ShardID + ":" + from.String()})
	case "Kinesis_20131202.GetRecords":
		s.records(w, r, in.ShardIterator)
	default:
		r.refuse(w, "unknown call "+target)
	}
}

// refuse answers what an archiver should not ask. Its run is over: a reader
// would ask for ever.
func (r *run) refuse(w http.ResponseWriter, why string) {
	r.mu.Lock()
	r.broken = append(r.broken, why)
	r.mu.Unlock()
	http.Error(w, why, http.StatusBadRequest)
}

// A place is where an iterator stands: before a record of a slice.
type place struct {
	slice  int64
	record int
}

func (p place) String() string { return fmt.Sprintf("%d.%d", p.slice, p.record) }

func parsePlace(text string) (p place, err error) {
	slice, record, _ := strings.Cut(text, ".")
	p.slice, err = strconv.ParseInt(slice, 10, 64)
	if err == nil {
		p.record, err = strconv.Atoi(record)
	}
	return p, err
}

// sliceStep numbers records: the slice's place times this, and the record's in it.
const sliceStep = 1 << 24

// place is where the kind of iterator stands.
func (r *run) place(shard, kind, sequence string) (p place, err error) {
	if kind == "TRIM_HORIZON" {
		return p, nil
	}
	if kind != "AT_SEQUENCE_NUMBER" && kind != "AFTER_SEQUENCE_NUMBER" {
		return p, fmt.Errorf("the stub has no iterator of kind %q", kind)
	}
	n, err := canned.Number(sequence)
	if err != nil {
		return p, err
	}
	p = place{slice: int64(n / sliceStep), record: int(n % sliceStep)}
	records := int(r.slice(number(shard), p.slice).Records)
	if p.slice >= r.pages*pageSlices || p.record >= records {
		return p, fmt.Errorf("shard %s has no record %s", shard, sequence)
	}
	if kind == "AFTER_SEQUENCE_NUMBER" {
		p.record++
	}
	if p.record == records {
		p = place{slice: p.slice + 1}
	}
	return p, nil
}

// number is a shard's.
func number(shard string) int64 {
	n, _ := strconv.ParseInt(shard[strings.LastIndexByte(shard, '-')+1:], 10, 64)
	return n
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
	begin, err := parsePlace(position)
	if err != nil {
		r.refuse(w, "iterator "+iterator)
		return
	}
	now := time.Now()
	at, from := number(shard), begin.slice
	to := max(from, min(r.available(now), from+pageSlices))
	next := place{slice: to}
	if to == from {
		next = begin
	}
	page := canned.Page{First: uint64(from) * sliceStep, Step: sliceStep, Arrival: r.begun, Next: shard + ":" + next.String()}
	for n := from; n < to; n++ {
		page.Slices = append(page.Slices, r.slice(at, n))
	}
	r.mu.Lock()
	r.taken[shard] = from
	for n := from; n < min(to, r.served[shard]); n++ {
		r.again.Payload += r.slice(at, n).Payload
	}
	r.served[shard] = max(r.served[shard], to)
	r.mu.Unlock()
	if to > from {
		page.Slices[0] = page.Slices[0].From(begin.record)
	}
	if left := r.available(now) - to; left > 0 {
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
