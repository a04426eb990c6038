package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/segmentio/asm/base64"
)

const (
	getRecordsMax = 10000
	pageBytesMax  = 10 << 20 // data and partition keys
)

func (s *Server) getShardIterator(c *call) (any, error) {
	var in struct {
		streamRef
		ShardId                *string
		ShardIteratorType      *string
		StartingSequenceNumber *string
		Timestamp              *instant
		DryRun                 *bool
	}
	if err := decode(c.body, &in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.ShardId, "shardId", true, 1, 128, namePattern)
	v.enum(in.ShardIteratorType, "shardIteratorType", true, "AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON")
	v.text(in.StartingSequenceNumber, "startingSequenceNumber", false, 1, 129, sequencePattern)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.readable(in.streamRef, c.now)
	if err != nil {
		return nil, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	index, ok := parseShardName(*in.ShardId)
	sh := st.find(index)
	horizon := st.horizon(c.now.UnixMilli())
	if !ok || sh == nil || sh.expired(horizon) {
		return nil, notFound("Shard %s in stream %s under account %s does not exist", *in.ShardId, st.name, s.cfg.Account)
	}
	sh.log.expire(horizon)
	next, err := s.start(st, sh, *in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp, c.now)
	if err != nil {
		return nil, err
	}
	if in.DryRun != nil && *in.DryRun {
		return nil, dryRun()
	}
	return struct{ ShardIterator string }{s.iterator(st, sh, next, c.now)}, nil
}

// start is the least sequence index an iterator of that kind reads.
func (s *Server) start(st *stream, sh *shard, kind string, number *string, at *instant, now time.Time) (uint64, error) {
	numbered := kind == "AT_SEQUENCE_NUMBER" || kind == "AFTER_SEQUENCE_NUMBER"
	if numbered != (number != nil) {
		also := "no"
		if number != nil {
			also = "also a"
		}
		return 0, invalidArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and %s StartingSequenceNumber.", kind, also)
	}
	switch kind {
	case "TRIM_HORIZON":
		return 0, nil
	case "LATEST":
		return sh.log.tip(), nil
	case "AT_TIMESTAMP":
		if at == nil {
			return 0, invalidArgument("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
		}
		if int64(*at) > now.UnixMilli() {
			return 0, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", *at, now.UnixMilli())
		}
		return sh.log.since(int64(*at)), nil
	}
	q, err := parseSequence(*number)
	switch {
	case err != nil:
		return 0, invalidArgument("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid.", *number, sh.name(), st.name, s.cfg.Account)
	case q.shard != sh.index:
		return 0, invalidArgument("Invalid StartingSequenceNumber. It encodes %s, while it was used in a call to a shard with %s", shardName(q.shard), sh.name())
	case q.created != sh.created:
		return 0, invalidArgument("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid because it did not come from this stream.", *number, sh.name(), st.name, s.cfg.Account)
	}
	next := q.index
	if kind == "AFTER_SEQUENCE_NUMBER" {
		next++
	}
	// The number may be of no record: trimmed, synthetic, or made up beside one.
	if e, ok := sh.log.lookup(q.index); ok && e.arrival/1000 != q.time {
		next = q.index
		if q.time > e.arrival/1000 {
			next++
		}
	}
	return next, nil
}

func (s *Server) iterator(st *stream, sh *shard, next uint64, now time.Time) string {
	return iterator{
		stream: st.name, created: st.created, shard: sh.index, next: next, issued: now.UnixMilli(),
		generation: s.generation.Load(), nonce: s.nonce.Add(1),
	}.String()
}

func (s *Server) getRecords(c *call) (any, error) {
	var in struct {
		streamRef
		ShardIterator *string
		Limit         *int64
		DryRun        *bool
	}
	if err := decode(c.body, &in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.ShardIterator, "shardIterator", true, 1, 512, "")
	v.number(in.Limit, "limit", false, 1, getRecordsMax)
	if err := v.err(); err != nil {
		return nil, err
	}
	it, ok := parseIterator(*in.ShardIterator)
	if !ok {
		return nil, invalidArgument("Invalid ShardIterator.")
	}
	if age := c.now.Sub(time.UnixMilli(it.issued)); age > iteratorLife || it.generation != s.generation.Load() {
		return nil, clientError("ExpiredIteratorException", "Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of 300000 milliseconds.",
			javaTime(time.UnixMilli(it.issued)), javaTime(c.now))
	}
	st, err := s.readable(streamRef{StreamName: &it.stream}, c.now)
	if err != nil {
		return nil, err
	}
	if it.created != st.created || in.StreamARN != nil && *in.StreamARN != st.arn {
		return nil, invalidArgument("Invalid ShardIterator.")
	}
	limit := getRecordsMax
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	return s.read(c, st, it, limit, in.DryRun != nil && *in.DryRun)
}

// read makes one page. The closed flag and the records are looked at under one
// lock: a page that ends a shard can't miss a record put before the reshard.
func (s *Server) read(c *call, st *stream, it iterator, limit int, dry bool) (any, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	now := c.now.UnixMilli()
	sh, horizon := st.find(it.shard), st.horizon(now)
	if sh == nil || sh.expired(horizon) {
		return nil, notFound("Shard %s in stream %s under account %s does not exist", shardName(it.shard), st.name, s.cfg.Account)
	}
	if dry {
		return nil, dryRun()
	}
	if sh.limits.refused() || s.cfg.Throttle && !sh.limits.read(c.now) {
		return nil, rateExceeded(sh.name(), st.name, s.cfg.Account)
	}
	if sh.limits.blank() {
		limit = 0
	}
	sh.log.expire(horizon)
	p := sh.log.read(it.next, limit, pageBytesMax)
	if s.cfg.Throttle {
		sh.limits.sent(c.now, p.size)
	}
	out := recordsAnswer{shard: sh, page: p}
	if p.more { // a millisecond at least: only the tip is 0
		out.behind = max(1, now-p.waiting)
	}
	if sh.open() || p.more {
		out.next = s.iterator(st, sh, p.next, c.now)
		return out, nil
	}
	for _, child := range st.children(sh.index) {
		shape := childShape{ShardId: child.name(), HashKeyRange: child.hash.shape()}
		for _, parent := range child.parents {
			shape.ParentShards = append(shape.ParentShards, shardName(parent))
		}
		out.children = append(out.children, shape)
	}
	return out, nil
}

type childShape struct {
	ShardId      string
	ParentShards []string
	HashKeyRange shardRange
}

// A recordsAnswer is one page on its way out. Its runs need no lock.
type recordsAnswer struct {
	shard    *shard
	page     page
	next     string // "" at the end of a closed shard
	behind   int64  // ms
	children []childShape
}

func (a recordsAnswer) appendJSON(b []byte) []byte {
	// Per record: 150 bytes of names, number and time, and base64's third.
	if need := len(b) + 512 + a.page.count*160 + a.page.size*4/3; cap(b) < need {
		b = append(make([]byte, 0, need), b...)
	}
	if a.children != nil {
		list, err := json.Marshal(a.children)
		if err != nil { // our own structs of strings
			panic(err)
		}
		b = append(append(append(b, `{"ChildShards":`...), list...), ',')
	} else {
		b = append(b, '{')
	}
	b = append(b, `"MillisBehindLatest":`...)
	b = appendUint(b, uint64(a.behind))
	if a.next != "" {
		b = append(append(append(b, `,"NextShardIterator":"`...), a.next...), '"')
	}
	b = append(b, `,"Records":[`...)
	first := true
	for _, r := range a.page.runs {
		for i := range r.entries {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = a.appendRecord(b, r.buf, &r.entries[i])
		}
	}
	return append(b, "]}"...)
}

func (a recordsAnswer) appendRecord(b, buf []byte, e *entry) []byte {
	at := e.at + int(e.keyLen)
	b = append(b, `{"ApproximateArrivalTimestamp":`...)
	b = appendSeconds(b, e.arrival)
	b = append(b, `,"Data":"`...)
	b = appendBase64(b, buf[at:at+int(e.size)])
	b = append(b, `","PartitionKey":`...)
	b = appendText(b, buf[e.at:at])
	b = append(b, `,"SequenceNumber":"`...)
	b = a.shard.sequence(e.index, e.arrival).appendTo(b)
	return append(b, `"}`...)
}

func appendBase64(b, data []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(data))
	if cap(b)-len(b) < n {
		b = append(make([]byte, 0, 2*cap(b)+n), b...)
	}
	base64.StdEncoding.Encode(b[len(b):len(b)+n], data)
	return b[:len(b)+n]
}

// appendText appends a JSON string.
func appendText(b, s []byte) []byte {
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c > '~' {
			q, err := json.Marshal(string(s))
			if err != nil { // a string always marshals
				panic(err)
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendUint(b []byte, v uint64) []byte { return strconv.AppendUint(b, v, 10) }
