package kinesis

import (
	"encoding/json"
	"strconv"

	"github.com/segmentio/asm/base64"
)

// A recordsAnswer is one page on its way out, of GetRecords or of a
// subscription. Its runs need no lock.
type recordsAnswer struct {
	shard        *shard
	page         page
	next         string // NextShardIterator, "" at the end of a closed shard
	continuation string // ContinuationSequenceNumber, of a subscription only
	behind       int64  // ms
	children     []childShape
	encryption   string // of each record; "" without
}

func (a recordsAnswer) appendJSON(b []byte) []byte {
	// Per record: 150 bytes of names, number and time, and base64's third.
	b = grow(b, 512+a.page.count*180+a.page.size*4/3)
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
	if a.continuation != "" {
		b = append(append(append(b, `,"ContinuationSequenceNumber":"`...), a.continuation...), '"')
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
	if e.keyLen > 0 { // none when the stream distributed the record itself
		b = append(b, `","PartitionKey":`...)
		b = appendText(b, buf[e.at:at])
		b = append(b, `,"SequenceNumber":"`...)
	} else {
		b = append(b, `","SequenceNumber":"`...)
	}
	b = a.shard.sequence(e.index, e.arrival).appendTo(b)
	if a.encryption != "" {
		b = append(append(b, `","EncryptionType":"`...), a.encryption...)
	}
	return append(b, `"}`...)
}

func (a recordsAnswer) appendCBOR(b []byte) []byte {
	b = grow(b, 512+a.page.count*190+a.page.size)
	members := uint64(2)
	for _, there := range []bool{a.children != nil, a.next != "", a.continuation != ""} {
		if there {
			members++
		}
	}
	b = appendHead(b, cborMap, members)
	if a.children != nil {
		b = cborCodec{}.append(appendCBORText(b, "ChildShards"), a.children)
	}
	b = appendCBORInt(appendCBORText(b, "MillisBehindLatest"), a.behind)
	if a.next != "" {
		b = appendCBORText(appendCBORText(b, "NextShardIterator"), a.next)
	}
	if a.continuation != "" {
		b = appendCBORText(appendCBORText(b, "ContinuationSequenceNumber"), a.continuation)
	}
	b = appendHead(appendCBORText(b, "Records"), cborArray, uint64(a.page.count))
	for _, r := range a.page.runs {
		for i := range r.entries {
			b = a.appendRecordCBOR(b, r.buf, &r.entries[i])
		}
	}
	return b
}

func (a recordsAnswer) appendRecordCBOR(b, buf []byte, e *entry) []byte {
	at, members := e.at+int(e.keyLen), uint64(3)
	if e.keyLen > 0 {
		members++
	}
	if a.encryption != "" {
		members++
	}
	b = appendHead(b, cborMap, members)
	b = appendCBORTime(appendCBORText(b, "ApproximateArrivalTimestamp"), e.arrival)
	b = appendCBORBytes(appendCBORText(b, "Data"), buf[at:at+int(e.size)])
	if e.keyLen > 0 {
		b = appendCBORText(appendCBORText(b, "PartitionKey"), buf[e.at:at])
	}
	b = appendHead(appendCBORText(b, "SequenceNumber"), cborText, sequenceDigits)
	b = a.shard.sequence(e.index, e.arrival).appendTo(b)
	if a.encryption != "" {
		b = appendCBORText(appendCBORText(b, "EncryptionType"), a.encryption)
	}
	return b
}

// grow makes room for n more bytes.
func grow(b []byte, n int) []byte {
	if need := len(b) + n; cap(b) < need {
		return append(make([]byte, 0, need), b...)
	}
	return b
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
