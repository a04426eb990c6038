package canned

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Slice is a run of records in the form they have inside a GetRecords
// answer, without the sequence numbers and arrival times, which are patched in
// when it is sent. Immutable after NewSlice; safe for concurrent use.
type Slice struct {
	// Payload is the length of the data before base64.
	Payload int64
	// Records counts them.
	Records int64

	json     []byte
	cut      int   // records before the first one, see From
	sequence []int // offsets of the last digits of sequence numbers
	arrival  []int // offsets of the digits of arrival times
}

const (
	// sequencePrefix is the part of a sequence number that does not change here;
	// all together has 56 digits, as Kinesis's numbers have.
	sequencePrefix = "496683387823547198743826150893174650"
	sequenceDigits = 20
	// arrivalDigits are those of milliseconds since 1970 until the year 2286.
	arrivalDigits = 13
	// recordHead is what a record begins with.
	recordHead = `{"ApproximateArrivalTimestamp":`
)

// NewSlice encodes the payloads, with partition keys of 32 hexadecimal digits.
func NewSlice(payloads [][]byte, seed uint64) *Slice {
	s := &Slice{}
	keys := newGenerator(seed)
	for n, p := range payloads {
		if n > 0 {
			s.json = append(s.json, ',')
		}
		// The order of the members and the form of the time are Kinesis's own.
		s.json = append(s.json, recordHead...)
		s.arrival = append(s.arrival, len(s.json))
		s.json = fmt.Appendf(s.json, `%0*dE9,"Data":"`, arrivalDigits+1, 0)
		s.json = base64.StdEncoding.AppendEncode(s.json, p)
		s.json = fmt.Appendf(s.json, `","PartitionKey":"%s","SequenceNumber":"%s`, keys.hex(32), sequencePrefix)
		s.sequence = append(s.sequence, len(s.json))
		s.json = fmt.Appendf(s.json, `%0*d"}`, sequenceDigits, 0)
		s.Payload += int64(len(p))
		s.Records++
	}
	return s
}

// From returns s without its first n records, of which there are more. The
// others keep their numbers. Payload and Records count all of s.
func (s *Slice) From(n int) *Slice {
	if n == 0 {
		return s
	}
	t := *s
	at := s.arrival[n] - len(recordHead)
	t.json, t.cut, t.arrival, t.sequence = s.json[at:], s.cut+n, nil, nil
	for k := n; k < len(s.arrival); k++ {
		t.arrival, t.sequence = append(t.arrival, s.arrival[k]-at), append(t.sequence, s.sequence[k]-at)
	}
	return &t
}

// Number is the number that a sequence number was made of.
func Number(sequence string) (uint64, error) {
	digits, ok := strings.CutPrefix(sequence, sequencePrefix)
	if !ok {
		return 0, fmt.Errorf("sequence number %q is not of these", sequence)
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("sequence number %q: %w", sequence, err)
	}
	return n, nil
}

// Slices cuts payloads of the kind into n slices of about size bytes each.
func Slices(kind Kind, seed uint64, n, size int) []*Slice {
	all := make([]*Slice, n)
	for i := range all {
		all[i] = NewSlice(Payloads(kind, seed+uint64(i), size), seed+uint64(i))
	}
	return all
}

// A Page is one GetRecords answer: the slices one after another.
type Page struct {
	Slices []*Slice
	// First numbers the first record: sequence numbers follow from it.
	First uint64
	// Step is how far apart the first records of slices are. With 0 the records
	// of a page are numbered without holes.
	Step    uint64
	Arrival time.Time
	Behind  time.Duration
	// Next is the iterator of the page that follows, empty at a shard's end.
	Next string
}

// Append appends the answer's body to dst.
func (p Page) Append(dst []byte) []byte {
	dst = fmt.Appendf(dst, `{"MillisBehindLatest":%d,`, p.Behind.Milliseconds())
	if p.Next != "" {
		dst = fmt.Appendf(dst, `"NextShardIterator":"%s",`, p.Next)
	}
	dst = append(dst, `"Records":[`...)
	at := arrivalText(p.Arrival)
	first := p.First
	for n, s := range p.Slices {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = s.appendTo(dst, first+uint64(s.cut), at)
		if p.Step > 0 {
			first += p.Step
		} else {
			first += uint64(s.Records)
		}
	}
	return append(dst, "]}"...)
}

func (s *Slice) appendTo(dst []byte, first uint64, at [arrivalDigits + 1]byte) []byte {
	base := len(dst)
	dst = append(dst, s.json...)
	for _, o := range s.arrival {
		copy(dst[base+o:], at[:])
	}
	for i, o := range s.sequence {
		digits := dst[base+o : base+o+sequenceDigits]
		for n, k := first+uint64(i), sequenceDigits-1; n > 0; n, k = n/10, k-1 {
			digits[k] = byte('0' + n%10)
		}
	}
	return dst
}

// arrivalText is the mantissa of the seconds in units of 1e9, "1.763806200123".
func arrivalText(t time.Time) (text [arrivalDigits + 1]byte) {
	digits := fmt.Sprintf("%0*d", arrivalDigits, t.UnixMilli())
	copy(text[:], digits[:1]+"."+digits[1:])
	return text
}
