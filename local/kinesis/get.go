package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"time"
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
	if err := c.decode(&in); err != nil {
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
	if err := c.decode(&in); err != nil {
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

// read answers GetRecords from that place on.
func (s *Server) read(c *call, st *stream, it iterator, limit int, dry bool) (any, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	sh, err := s.shard(st, it.shard, c.now)
	if err != nil {
		return nil, err
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
	out, ended := st.page(sh, it.next, limit, pageBytesMax, c.now)
	if s.cfg.Throttle {
		sh.limits.sent(c.now, out.page.size)
	}
	if !ended {
		out.next = s.iterator(st, sh, out.page.next, c.now)
	}
	return out, nil
}

// shard finds a shard that can be read; the caller holds mu.
func (s *Server) shard(st *stream, index uint32, now time.Time) (*shard, error) {
	sh := st.find(index)
	if sh == nil || sh.expired(st.horizon(now.UnixMilli())) {
		return nil, notFound("Shard %s in stream %s under account %s does not exist", shardName(index), st.name, s.cfg.Account)
	}
	return sh, nil
}

// page reads one page and says whether it ends the shard. The closed flag and
// the records are looked at under one lock, which the caller holds: a page that
// ends a shard can't miss a record put before the reshard.
func (st *stream) page(sh *shard, from uint64, limit, size int, now time.Time) (a recordsAnswer, ended bool) {
	sh.log.expire(st.horizon(now.UnixMilli()))
	p := sh.log.read(from, limit, size)
	a = recordsAnswer{shard: sh, page: p, encryption: st.set.encryption()}
	if p.more { // a millisecond at least: only the tip is 0
		a.behind = max(1, now.UnixMilli()-p.waiting)
	}
	if sh.open() || p.more {
		return a, false
	}
	for _, child := range st.children(sh.index) {
		shape := childShape{ShardId: child.name(), HashKeyRange: child.hash.shape()}
		for _, parent := range child.parents {
			shape.ParentShards = append(shape.ParentShards, shardName(parent))
		}
		a.children = append(a.children, shape)
	}
	return a, true
}

type childShape struct {
	ShardId      string
	ParentShards []string
	HashKeyRange shardRange
}
