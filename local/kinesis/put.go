package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"fmt"
	"math"
	"slices"
	"time"
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
	auto     bool // the stream distributes records, see settings.Auto
	// encryption is the answer's EncryptionType, "" without.
	encryption string

	r reader
	a *arena
	// One of each for the whole request: a closure for each record would be most
	// of a put's garbage.
	entry        func() error
	recordMember func(name []byte) error
}

// parsePut reads either operation's request; one says it is PutRecord.
func parsePut(r reader, one bool, a *arena) (*putRequest, error) {
	in := &putRequest{r: r, a: a}
	in.recordMember = in.readRecordMember
	in.entry = in.readEntry
	read := in.readRecords
	if one {
		in.records = make([]put, 1)
		read = in.readRecord
	}
	if err := r.object(read); err != nil {
		return nil, err
	}
	return in, r.end()
}

// readRecord reads a member of PutRecord.
func (in *putRequest) readRecord(name []byte) error {
	if string(name) == "SequenceNumberForOrdering" {
		return textInto(in.r, &in.ordering)
	}
	if known, err := in.readCommon(name); known {
		return err
	}
	return in.readRecordMember(name)
}

// readRecords reads a member of PutRecords.
func (in *putRequest) readRecords(name []byte) error {
	if known, err := in.readCommon(name); known {
		return err
	}
	if string(name) != "Records" {
		return in.r.skip()
	}
	if in.r.null() {
		return nil
	}
	in.present = true
	return in.r.list(in.entry)
}

func (in *putRequest) readCommon(name []byte) (known bool, err error) {
	switch string(name) {
	case "StreamName":
		return true, textInto(in.r, &in.ref.StreamName)
	case "StreamARN":
		return true, textInto(in.r, &in.ref.StreamARN)
	case "DryRun":
		in.dry, err = in.r.flag()
		return true, err
	}
	return false, nil
}

func (in *putRequest) readEntry() error {
	if len(in.records) > putRecordsMax { // one too many is enough to refuse
		in.records = in.records[:putRecordsMax]
	}
	in.records = append(in.records, put{})
	return in.r.object(in.recordMember)
}

// readRecordMember reads a member of the last record.
func (in *putRequest) readRecordMember(name []byte) (err error) {
	p := &in.records[len(in.records)-1]
	switch string(name) {
	case "Data":
		p.data, err = in.r.blob(in.a)
	case "PartitionKey":
		p.key, err = in.r.text()
	case "ExplicitHashKey":
		p.explicit, err = in.r.text()
	default:
		err = in.r.skip()
	}
	return err
}

func textInto(r reader, to **string) error {
	b, err := r.text()
	if b != nil {
		t := string(b)
		*to = &t
	}
	return err
}

// check validates what needs no stream; at is the prefix of a record's members,
// "" or "records.%d.member.".
func (in *putRequest) check(v *violations, at string) {
	in.ref.check(v)
	for i := range in.records {
		p, prefix := &in.records[i], at
		if at != "" && (p.data == nil || p.key == nil || len(p.key) == 0 || len(p.key) > keyMax || len(p.data) > recordMax || p.explicit != nil) {
			prefix = fmt.Sprintf(at, i+1)
		}
		if p.data == nil {
			v.add(nil, prefix+"data", "not be null")
		} else if len(p.data) > recordMax {
			v.tooLong(p, prefix, recordMax)
		}
		if p.key == nil && !in.auto {
			v.add(nil, prefix+"partitionKey", "not be null")
		} else if p.key != nil && (len(p.key) == 0 || len(p.key) > keyMax) {
			key := string(p.key)
			v.text(&key, prefix+"partitionKey", true, 1, keyMax, "")
		}
		if p.explicit != nil {
			hash := string(p.explicit)
			v.text(&hash, prefix+"explicitHashKey", false, 0, math.MaxInt, hashKeyPattern)
		}
	}
}

func (v *violations) tooLong(p *put, prefix string, limit int) {
	n := len(p.data)
	v.add(fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", n, n), prefix+"data",
		fmt.Sprintf("have length less than or equal to %d", limit))
}

// hash computes every record's hash key; one bad ExplicitHashKey fails the
// call. A stream that distributes records itself ignores and forgets both keys.
func (in *putRequest) hash() error {
	for i := range in.records {
		p := &in.records[i]
		if in.auto {
			p.key = nil
			continue
		}
		if !utf8.Valid(p.key) {
			return serialization("")
		}
		if p.explicit == nil {
			p.hash = keyHash(p.key)
			continue
		}
		var ok bool
		if p.hash, ok = parseHashKey(string(p.explicit)); !ok {
			return invalidArgument("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", p.explicit)
		}
	}
	return nil
}

func (s *Server) putRecord(c *call) (any, error) {
	scratch := borrow(len(c.body))
	defer buffers.Put(scratch)
	in, err := parsePut(c.codec.scan(c.body), true, &arena{*scratch})
	if err != nil {
		return nil, err
	}
	in.auto = s.distributes(in.ref, c.now)
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
		return putRecordAnswer{p.shard.name(), p.shard.sequence(p.index, c.now.UnixMilli()).String(), in.encryption}, nil
	case throughputExceeded:
		return nil, rateExceeded(p.shard.name(), st.name, s.cfg.Account)
	}
	return nil, internalFailure()
}

func (s *Server) putRecords(c *call) (any, error) {
	scratch := borrow(len(c.body))
	defer buffers.Put(scratch)
	in, err := parsePut(c.codec.scan(c.body), false, &arena{*scratch})
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
	in.auto = s.distributes(in.ref, c.now)
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
	return putRecordsAnswer{in.records, c.now.UnixMilli(), st.name, s.cfg.Account, in.encryption}, nil
}

// distributes reports whether the stream's record distribution is AUTO. What is
// wrong with the reference is told later, after what is wrong with the request.
func (s *Server) distributes(ref streamRef, now time.Time) bool {
	st, err := s.find(ref, now)
	if err != nil {
		return false
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.set.Auto
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
	in.encryption = st.set.encryption()
	var v violations
	order := make([]*put, len(in.records))
	for i := range in.records {
		p := &in.records[i]
		if limit := st.set.RecordKiB << 10; len(p.data)+len(p.key) > limit {
			prefix := at
			if at != "" {
				prefix = fmt.Sprintf(at, i+1)
			}
			v.tooLong(p, prefix, limit)
		}
		if order[i] = p; in.auto {
			p.shard = st.routes[s.nonce.Add(1)%uint64(len(st.routes))]
		} else {
			p.shard = st.owner(p.hash)
		}
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

// A putRecordAnswer is what PutRecord answers.
type putRecordAnswer struct {
	ShardId        string
	SequenceNumber string
	EncryptionType string `json:",omitempty"`
}

// A putRecordsAnswer tells each record's fate in the order of the request.
type putRecordsAnswer struct {
	records    []put
	now        int64
	stream     string
	account    string
	encryption string
}

func (a putRecordsAnswer) failed() (n uint64) {
	for i := range a.records {
		if a.records[i].failed != "" {
			n++
		}
	}
	return n
}

// reason is the ErrorMessage of a record that failed.
func (a putRecordsAnswer) reason(p *put) string {
	if p.failed == throughputExceeded {
		return fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", p.shard.name(), a.stream, a.account)
	}
	return "Internal service failure."
}

func (a putRecordsAnswer) appendJSON(b []byte) []byte {
	b = append(b, '{')
	if a.encryption != "" {
		b = append(append(append(b, `"EncryptionType":"`...), a.encryption...), `",`...)
	}
	b = append(b, `"FailedRecordCount":`...)
	b = appendUint(b, a.failed())
	b = append(b, `,"Records":[`...)
	for i := range a.records {
		p := &a.records[i]
		if i > 0 {
			b = append(b, ',')
		}
		if p.failed != "" {
			b = fmt.Appendf(b, `{"ErrorCode":"%s","ErrorMessage":"%s"}`, p.failed, a.reason(p))
			continue
		}
		b = append(b, `{"SequenceNumber":"`...)
		b = p.shard.sequence(p.index, a.now).appendTo(b)
		b = append(b, `","ShardId":"`...)
		b = append(appendShardName(b, p.shard.index), `"}`...)
	}
	return append(b, "]}"...)
}

func (a putRecordsAnswer) appendCBOR(b []byte) []byte {
	members := uint64(2)
	if a.encryption != "" {
		members++
	}
	b = appendHead(b, cborMap, members)
	if a.encryption != "" {
		b = appendCBORText(appendCBORText(b, "EncryptionType"), a.encryption)
	}
	b = appendHead(appendCBORText(b, "FailedRecordCount"), 0, a.failed())
	b = appendHead(appendCBORText(b, "Records"), cborArray, uint64(len(a.records)))
	for i := range a.records {
		p := &a.records[i]
		b = appendHead(b, cborMap, 2)
		if p.failed != "" {
			b = appendCBORText(appendCBORText(b, "ErrorCode"), p.failed)
			b = appendCBORText(appendCBORText(b, "ErrorMessage"), a.reason(p))
			continue
		}
		b = appendHead(appendCBORText(b, "SequenceNumber"), cborText, sequenceDigits)
		b = p.shard.sequence(p.index, a.now).appendTo(b)
		b = appendHead(appendCBORText(b, "ShardId"), cborText, shardNameLen)
		b = appendShardName(b, p.shard.index)
	}
	return b
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
