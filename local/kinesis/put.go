package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"go.uber.org/zap"
)

const (
	putRecordsMax = 500
	putBytesMax   = 10 << 20 // data and partition keys of one PutRecords
	recordMax     = recordKiBMax << 10
	keyMax        = 256 // UTF-16 units
)

// A putRequest is PutRecord or PutRecords. Its records alias the call's body
// and the arena's buffer.
type putRequest struct {
	ref      streamRef
	dry      bool
	ordering *string
	records  []put
	present  bool // the member Records was there
	explicit [][]byte
}

// parsePut reads either operation's request; one says it is PutRecord.
func parsePut(body []byte, one bool, a *arena) (*putRequest, error) {
	in, s := &putRequest{}, &scanner{b: body}
	var single put
	var hash []byte
	err := s.object(func(name []byte) error {
		switch string(name) {
		case "StreamName":
			return s.textInto(&in.ref.StreamName)
		case "StreamARN":
			return s.textInto(&in.ref.StreamARN)
		case "SequenceNumberForOrdering":
			return s.textInto(&in.ordering)
		case "DryRun":
			v, err := s.skip(0)
			in.dry = string(v) == "true"
			return err
		case "Records":
			if one || s.null() {
				return nil
			}
			in.present = true
			return s.list(func() error {
				var p put
				var h []byte
				err := s.object(func(name []byte) error { return s.recordMember(name, &p, &h, a) })
				if len(in.records) <= putRecordsMax { // one too many is enough to refuse
					in.records, in.explicit = append(in.records, p), append(in.explicit, h)
				}
				return err
			})
		}
		if !one {
			_, err := s.skip(0)
			return err
		}
		return s.recordMember(name, &single, &hash, a)
	})
	if err != nil {
		return nil, err
	}
	if one {
		in.records, in.explicit = []put{single}, [][]byte{hash}
	}
	return in, s.end()
}

func (s *scanner) textInto(to **string) error {
	b, err := s.text()
	if b != nil {
		t := string(b)
		*to = &t
	}
	return err
}

func (s *scanner) recordMember(name []byte, p *put, hash *[]byte, a *arena) (err error) {
	switch string(name) {
	case "Data":
		var b []byte
		if b, err = s.text(); err == nil && b != nil {
			p.data, err = a.blob(b)
		}
	case "PartitionKey":
		p.key, err = s.text()
	case "ExplicitHashKey":
		*hash, err = s.text()
	default:
		_, err = s.skip(0)
	}
	return err
}

// check validates what needs no stream; at is the prefix of a record's members,
// "" or "records.%d.member.".
func (in *putRequest) check(v *violations, at string) {
	in.ref.check(v)
	for i := range in.records {
		p, prefix := &in.records[i], at
		if at != "" && (p.data == nil || p.key == nil || len(p.key) == 0 || len(p.key) > keyMax || len(p.data) > recordMax || in.explicit[i] != nil) {
			prefix = fmt.Sprintf(at, i+1)
		}
		if p.data == nil {
			v.add(nil, prefix+"data", "not be null")
		} else if len(p.data) > recordMax {
			v.tooLong(p, prefix, recordMax)
		}
		if p.key == nil {
			v.add(nil, prefix+"partitionKey", "not be null")
		} else if len(p.key) == 0 || len(p.key) > keyMax {
			key := string(p.key)
			v.text(&key, prefix+"partitionKey", true, 1, keyMax, "")
		}
		if in.explicit[i] != nil {
			hash := string(in.explicit[i])
			v.text(&hash, prefix+"explicitHashKey", false, 0, math.MaxInt, hashKeyPattern)
		}
	}
}

func (v *violations) tooLong(p *put, prefix string, limit int) {
	n := len(p.data)
	v.add(fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", n, n), prefix+"data",
		fmt.Sprintf("have length less than or equal to %d", limit))
}

// hash computes every record's hash key; one bad ExplicitHashKey fails the call.
func (in *putRequest) hash() error {
	for i := range in.records {
		p := &in.records[i]
		if !utf8.Valid(p.key) {
			return serialization("")
		}
		if in.explicit[i] == nil {
			p.hash = keyHash(p.key)
			continue
		}
		var ok bool
		if p.hash, ok = parseHashKey(string(in.explicit[i])); !ok {
			return invalidArgument("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", in.explicit[i])
		}
	}
	return nil
}

func (s *Server) putRecord(c *call) (any, error) {
	scratch := borrow(len(c.body))
	defer buffers.Put(scratch)
	in, err := parsePut(c.body, true, &arena{*scratch})
	if err != nil {
		return nil, err
	}
	var v violations
	in.check(&v, "")
	v.text(in.ordering, "sequenceNumberForOrdering", false, 0, math.MaxInt, sequencePattern)
	if err := v.err(); err != nil {
		return nil, err
	}
	st, err := s.readable(in.ref, c.now)
	if err != nil {
		return nil, err
	}
	if err := in.hash(); err != nil {
		return nil, err
	}
	if in.ordering != nil {
		q, err := parseSequence(*in.ordering)
		if err != nil || q.time > c.now.Unix()+1 && q.index != endIndex {
			return nil, invalidArgument("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.", *in.ordering, st.name, s.cfg.Account)
		}
	}
	if err := s.store(c, st, in, ""); err != nil {
		return nil, err
	}
	p := &in.records[0]
	switch p.failed {
	case "":
		return struct{ ShardId, SequenceNumber string }{
			p.shard.name(), p.shard.sequence(p.index, c.now.UnixMilli()).String(),
		}, nil
	case throughputExceeded:
		return nil, rateExceeded(p.shard.name(), st.name, s.cfg.Account)
	}
	return nil, internalFailure()
}

func (s *Server) putRecords(c *call) (any, error) {
	scratch := borrow(len(c.body))
	defer buffers.Put(scratch)
	in, err := parsePut(c.body, false, &arena{*scratch})
	if err != nil {
		return nil, err
	}
	var v violations
	if !in.present {
		v.add(nil, "records", "not be null")
	} else if n := len(in.records); n == 0 {
		v.add("[]", "records", "have length greater than or equal to 1")
	} else if n > putRecordsMax {
		v.add("[PutRecordsRequestEntry, ...]", "records", fmt.Sprintf("have length less than or equal to %d", putRecordsMax))
	}
	in.check(&v, "records.%d.member.")
	if err := v.err(); err != nil {
		return nil, err
	}
	size := 0
	for i := range in.records {
		size += len(in.records[i].data) + len(in.records[i].key)
	}
	if size > putBytesMax {
		return nil, invalidArgument("Records size exceeds 10 MB limit")
	}
	st, err := s.readable(in.ref, c.now)
	if err != nil {
		return nil, err
	}
	if err := in.hash(); err != nil {
		return nil, err
	}
	if err := s.store(c, st, in, "records.%d.member."); err != nil {
		return nil, err
	}
	return putRecordsAnswer{in.records, c.now.UnixMilli(), st.name, s.cfg.Account}, nil
}

const (
	throughputExceeded = "ProvisionedThroughputExceededException"
	failedInternally   = "InternalFailure"
)

// store routes and appends the records. It holds the stream's read lock all the
// way, so that a reshard is before or after the whole call. What becomes of each
// record is left in it; an error means that none was stored.
func (s *Server) store(c *call, st *stream, in *putRequest, at string) error {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if status := st.status(c.now.UnixMilli()); status != active && status != updating {
		return streamNotFound(st.name, s.cfg.Account)
	}
	var v violations
	order := make([]*put, len(in.records))
	for i := range in.records {
		p := &in.records[i]
		if limit := st.recordKiB << 10; len(p.data)+len(p.key) > limit {
			prefix := at
			if at != "" {
				prefix = fmt.Sprintf(at, i+1)
			}
			v.tooLong(p, prefix, limit)
		}
		p.shard, order[i] = st.owner(p.hash), p
	}
	if err := v.err(); err != nil {
		return err
	}
	if in.dry {
		return dryRun()
	}
	c.fault.mark(in.records)
	slices.SortStableFunc(order, func(a, b *put) int { return int(a.shard.index) - int(b.shard.index) })
	for len(order) > 0 {
		n := 1
		for n < len(order) && order[n].shard == order[0].shard {
			n++
		}
		s.storeShard(c, st, order[:n])
		order = order[n:]
	}
	return nil
}

// storeShard appends the records of one shard, those that its limits let pass.
func (s *Server) storeShard(c *call, st *stream, puts []*put) {
	sh := puts[0].shard
	refused := sh.limits.refused()
	pass := puts[:0]
	for _, p := range puts {
		switch {
		case p.failed != "":
		case refused, s.cfg.Throttle && !sh.limits.write(c.now, len(p.key)+len(p.data)):
			p.failed = throughputExceeded
		default:
			pass = append(pass, p)
		}
	}
	if len(pass) == 0 {
		return
	}
	err := sh.log.append(c.now.UnixMilli(), pass)
	if err == nil {
		return
	}
	s.log.Error("records not stored", zap.String("stream", st.name), zap.String("shard", sh.name()), zap.Error(err))
	for _, p := range pass {
		if p.index == 0 {
			p.failed = failedInternally
		}
	}
}

// A putRecordsAnswer tells each record's fate in the order of the request.
type putRecordsAnswer struct {
	records []put
	now     int64
	stream  string
	account string
}

func (a putRecordsAnswer) appendJSON(b []byte) []byte {
	failed := 0
	for i := range a.records {
		if a.records[i].failed != "" {
			failed++
		}
	}
	b = append(b, `{"FailedRecordCount":`...)
	b = appendUint(b, uint64(failed))
	b = append(b, `,"Records":[`...)
	for i := range a.records {
		p := &a.records[i]
		if i > 0 {
			b = append(b, ',')
		}
		switch p.failed {
		case "":
			b = append(b, `{"SequenceNumber":"`...)
			b = p.shard.sequence(p.index, a.now).appendTo(b)
			b = append(b, `","ShardId":"shardId-`...)
			b = append(appendDigits(b, uint64(p.shard.index), 12), `"}`...)
		case throughputExceeded:
			b = fmt.Appendf(b, `{"ErrorCode":"%s","ErrorMessage":"Rate exceeded for shard %s in stream %s under account %s."}`,
				p.failed, p.shard.name(), a.stream, a.account)
		default:
			b = fmt.Appendf(b, `{"ErrorCode":"%s","ErrorMessage":"Internal service failure."}`, p.failed)
		}
	}
	return append(b, "]}"...)
}

// borrow returns a pooled buffer of that length.
func borrow(n int) *[]byte {
	b := buffers.Get().(*[]byte)
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return b
}
