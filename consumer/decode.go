package consumer

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/segmentio/asm/base64"

	"github.com/standpipe/standpipe"
)

// A parsed page. Its records alias the body they were parsed from.
type parsed struct {
	records   []standpipe.Record
	next      []byte // NextShardIterator; empty when null, absent or ""
	behind    int64  // MillisBehindLatest
	hasBehind bool
	children  []standpipe.Shard
}

func (p *parsed) reset() {
	clear(p.records)
	*p = parsed{records: p.records[:0]}
}

// parse reads a GetRecords body. The fast decoder works in place: it leaves the
// body changed. What it does not expect is given, before anything was changed,
// to the SDK's own decoder, and counted.
func (c *Client) parse(body []byte, stock stockDecoder) (*parsed, error) {
	if len(body) == 0 {
		return nil, errors.New("the answer is empty") // the SDK would take it for a page
	}
	p, _ := c.parsed.Get().(*parsed)
	if p == nil {
		p = new(parsed)
	}
	err := scanPage(body, p)
	if err == nil {
		err = decodeData(p)
	} else if errors.Is(err, errUnexpected) {
		c.fallbacks.Add(1)
		p.reset()
		err = parseStock(body, stock, p)
	}
	if err == nil {
		err = check(p)
	}
	if err != nil {
		c.putParsed(p)
		return nil, err
	}
	return p, nil
}

// putParsed takes a parsed page back; the records of a whole page are 1 MB,
// too much to keep for every shard.
func (c *Client) putParsed(p *parsed) {
	if p != nil {
		p.reset()
		c.parsed.Put(p)
	}
}

// check refuses a page whose records cannot be placed in the shard.
func check(p *parsed) error {
	for i := range p.records {
		if !digits(p.records[i].Sequence) {
			return fmt.Errorf("record %d of the page has sequence number %.40q", i, p.records[i].Sequence)
		}
	}
	return nil
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// decodeData replaces the base64 of each record by what it stands for, in
// place. The decoder reads ahead of where it writes: 3 bytes for 4.
func decodeData(p *parsed) error {
	for i := range p.records {
		r := &p.records[i]
		n, err := base64.StdEncoding.Decode(r.Data, r.Data)
		if err != nil {
			return fmt.Errorf("data of record %d of the page: %w", i, err)
		}
		r.Data = r.Data[:n:n]
	}
	return nil
}

// parseStock fills p by the SDK's decoder. The records own their memory.
func parseStock(body []byte, stock stockDecoder, p *parsed) error {
	if stock.protocol == nil {
		return errUnexpected
	}
	out, err := stock.decode(body)
	if err != nil {
		return err
	}
	return fromStock(out, p)
}

func fromStock(out *kinesis.GetRecordsOutput, p *parsed) error {
	p.next = []byte(aws.ToString(out.NextShardIterator))
	if out.MillisBehindLatest != nil {
		p.behind, p.hasBehind = *out.MillisBehindLatest, true
	}
	for _, r := range out.Records {
		rec := standpipe.Record{Sequence: []byte(aws.ToString(r.SequenceNumber)), Data: r.Data}
		if r.PartitionKey != nil {
			rec.PartitionKey = []byte(*r.PartitionKey)
		}
		if t := r.ApproximateArrivalTimestamp; t != nil {
			rec.Arrival = t.UTC() // nonsense from a server that sends milliseconds
		}
		p.records = append(p.records, rec)
	}
	for _, ch := range out.ChildShards {
		s := standpipe.Shard{ID: standpipe.ShardID(aws.ToString(ch.ShardId))}
		for _, id := range ch.ParentShards {
			s.Parents = append(s.Parents, standpipe.ShardID(id))
		}
		if h := ch.HashKeyRange; h != nil {
			s.HashStart, s.HashEnd = aws.ToString(h.StartingHashKey), aws.ToString(h.EndingHashKey)
		}
		p.children = append(p.children, s)
	}
	return nil
}

// errUnexpected says that the page is not written the way Kinesis writes it:
// not necessarily wrong, but not for the fast decoder.
var errUnexpected = errors.New("the page has an unexpected form")

// A scanner walks a JSON text. A method that returns false met something
// unexpected; the position is meaningless then.
type scanner struct {
	b []byte
	i int
}

// scanPage finds the members of a GetRecords answer. Nothing in body is
// changed: Data is still base64 afterwards.
func scanPage(body []byte, p *parsed) error {
	s := scanner{b: body}
	if !s.page(p) {
		return errUnexpected
	}
	s.space()
	if s.i != len(s.b) {
		return errUnexpected
	}
	return nil
}

func (s *scanner) page(p *parsed) bool {
	const (
		records = 1 << iota
		next
		behind
		children
	)
	seen := 0
	first := func(bit int) bool { // a member given twice is unexpected
		again := seen&bit != 0
		seen |= bit
		return !again
	}
	if !s.open('{') {
		return false
	}
	for n := 0; ; n++ {
		key, more, ok := s.key(n)
		if !ok || !more {
			return ok
		}
		switch string(key) {
		case "Records":
			ok = first(records) && (s.null() || s.records(p))
		case "NextShardIterator":
			ok = first(next) && s.optional(&p.next)
		case "MillisBehindLatest":
			ok = first(behind) && (s.null() || s.millisBehind(p))
		case "ChildShards":
			ok = first(children) && (s.null() || s.children(p))
		default:
			ok = s.skip(0)
		}
		if !ok {
			return false
		}
	}
}

func (s *scanner) records(p *parsed) bool {
	if !s.open('[') {
		return false
	}
	for n := 0; ; n++ {
		more, ok := s.next(n, ']')
		if !ok || !more {
			return ok
		}
		// In place of append(…, Record{}), which would copy it twice.
		if len(p.records) < cap(p.records) {
			p.records = p.records[:len(p.records)+1]
		} else {
			p.records = append(p.records, standpipe.Record{})
		}
		r := &p.records[len(p.records)-1]
		*r = standpipe.Record{}
		if !s.record(r) {
			return false
		}
	}
}

func (s *scanner) record(r *standpipe.Record) bool {
	const (
		data = 1 << iota
		key
		sequence
		arrival
	)
	seen := 0
	if !s.open('{') {
		return false
	}
	for n := 0; ; n++ {
		name, more, ok := s.key(n)
		if !ok || !more {
			return ok
		}
		bit := 0
		switch string(name) {
		case "Data":
			bit = data
			ok = s.optional(&r.Data)
		case "PartitionKey":
			bit = key
			ok = s.partitionKey(r)
		case "SequenceNumber":
			bit = sequence
			ok = s.optional(&r.Sequence)
		case "ApproximateArrivalTimestamp":
			bit = arrival
			ok = s.null() || s.timestamp(&r.Arrival)
		default:
			ok = s.skip(0)
		}
		if !ok || seen&bit != 0 {
			return false
		}
		seen |= bit
	}
}

// partitionKey reads the one string producers choose freely, so the one in
// which an escape is nothing unusual. An escaped key gets memory of its own.
func (s *scanner) partitionKey(r *standpipe.Record) bool {
	if s.null() {
		return true
	}
	raw, escaped, ok := s.anyString()
	if !ok || !escaped {
		if r.PartitionKey = raw[:len(raw):len(raw)]; raw == nil {
			r.PartitionKey = []byte{}
		}
		return ok
	}
	var key string
	if json.Unmarshal(s.b[s.i-len(raw)-2:s.i], &key) != nil {
		return false
	}
	r.PartitionKey = []byte(key)
	return true
}

func (s *scanner) millisBehind(p *parsed) bool {
	m, exp, ok := s.number()
	p.behind, p.hasBehind = m, true
	return ok && exp == 0
}

func (s *scanner) children(p *parsed) bool {
	if !s.open('[') {
		return false
	}
	for n := 0; ; n++ {
		more, ok := s.next(n, ']')
		if !ok || !more {
			return ok
		}
		var shard standpipe.Shard
		if !s.child(&shard) {
			return false
		}
		p.children = append(p.children, shard)
	}
}

func (s *scanner) child(shard *standpipe.Shard) bool {
	if !s.open('{') {
		return false
	}
	for n := 0; ; n++ {
		key, more, ok := s.key(n)
		if !ok || !more {
			return ok
		}
		var v []byte
		switch string(key) {
		case "ShardId":
			ok = shard.ID == "" && s.optional(&v)
			shard.ID = standpipe.ShardID(v)
		case "ParentShards":
			ok = shard.Parents == nil && (s.null() || s.parents(shard))
		case "HashKeyRange":
			ok = shard.HashStart == "" && (s.null() || s.hashRange(shard))
		default:
			ok = s.skip(0)
		}
		if !ok {
			return false
		}
	}
}

func (s *scanner) parents(shard *standpipe.Shard) bool {
	if !s.open('[') {
		return false
	}
	for n := 0; ; n++ {
		more, ok := s.next(n, ']')
		if !ok || !more {
			return ok
		}
		id, ok := s.str()
		if !ok {
			return false
		}
		shard.Parents = append(shard.Parents, standpipe.ShardID(id))
	}
}

func (s *scanner) hashRange(shard *standpipe.Shard) bool {
	if !s.open('{') {
		return false
	}
	for n := 0; ; n++ {
		key, more, ok := s.key(n)
		if !ok || !more {
			return ok
		}
		var v []byte
		switch string(key) {
		case "StartingHashKey":
			ok = shard.HashStart == "" && s.optional(&v)
			shard.HashStart = string(v)
		case "EndingHashKey":
			ok = shard.HashEnd == "" && s.optional(&v)
			shard.HashEnd = string(v)
		default:
			ok = s.skip(0)
		}
		if !ok {
			return false
		}
	}
}
