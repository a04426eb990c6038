package consumer

import (
	"bytes"
	"crypto/md5"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/standpipe/standpipe"
)

// A Deaggregation says what is done with KPL aggregates.
type Deaggregation string

// The modes.
const (
	// KeepAll delivers every user record. Nothing is ever lost; after a
	// reshard a KPL producer may have sent some of them twice.
	KeepAll Deaggregation = "keep-all"
	// InRange drops single user records whose hash key is another shard's: a
	// KPL producer is expected to send them again.
	InRange Deaggregation = "in-range"
	// KCL does what the Kinesis Client Library does, to the letter: one user
	// record out of range drops all of its aggregate, and a bad index drops the
	// rest (AggregatorUtil). For comparing outputs at a hand-over.
	KCL Deaggregation = "kcl"
	// Off delivers aggregates as the bytes they are.
	Off Deaggregation = "off"
)

// Deaggregations lists the modes, for settings.
var Deaggregations = []Deaggregation{KeepAll, InRange, KCL, Off}

// A UserRecord is what a producer sent. Its slices alias the stream record's.
type UserRecord struct {
	Data []byte
	// PartitionKey is nil when the stream assigns shards by itself.
	PartitionKey []byte
	// ExplicitHashKey is decimal, nil when there is none or for a plain record
	// (GetRecords does not return it).
	ExplicitHashKey []byte
	// Sub counts the user records that were yielded for the stream record,
	// from 0: KCL's sub-sequence number.
	Sub int64
}

// Unpacked says what Unpack found in a record.
type Unpacked struct {
	// Aggregate: the record starts with the KPL's magic number. In mode Off it
	// tells a user that the mode is wrong for the stream.
	Aggregate bool
	// Corrupt: it does, but is not a sound aggregate; it was yielded as it is,
	// or, in mode KCL after a bad index, cut short. Count it.
	Corrupt bool
	// Users is how many user records were yielded. The position after the
	// whole record has sub-sequence number max(Users-1, 0).
	Users int64
	// Dropped is how many user records were left out by mode InRange or KCL.
	Dropped int64
}

// magic starts every aggregate; 16 bytes of MD5 end it.
var magic = []byte{0xF3, 0x89, 0x9A, 0xC2}

// IsAggregate reports whether data starts like a KPL aggregate.
func IsAggregate(data []byte) bool {
	return len(data) > len(magic)+md5.Size && bytes.HasPrefix(data, magic)
}

// Unpack yields the user records of one stream record in order, until yield
// returns false: those of a KPL aggregate, or the record itself. A damaged
// aggregate (wrong MD5, bad protobuf, an index outside its table) is yielded
// as the plain record it may be. An aggregate of no user records yields
// nothing. There is one level only: what is inside is never unpacked again.
//
// No allocation, no retention: everything yielded aliases rec. Work and
// scratch memory are bounded by the size of the record, which holds at most
// one user record for each two bytes. Safe for concurrent use.
func Unpack(rec standpipe.Record, mode Deaggregation, shard HashRange, yield func(UserRecord) bool) Unpacked {
	var res Unpacked
	plain := func() Unpacked {
		res.Users = 1
		yield(UserRecord{Data: rec.Data, PartitionKey: rec.PartitionKey})
		return res
	}
	if !IsAggregate(rec.Data) {
		return plain()
	}
	res.Aggregate = true
	if mode == Off {
		return plain()
	}
	a := aggregates.Get().(*aggregate)
	defer a.release()
	body, sum := rec.Data[len(magic):len(rec.Data)-md5.Size], rec.Data[len(rec.Data)-md5.Size:]
	if digest := md5.Sum(body); !bytes.Equal(digest[:], sum) || !a.parse(body) {
		res.Corrupt = true
		return plain()
	}
	keep, whole := a.keep(mode, shard)
	if !whole && mode != KCL {
		res.Corrupt = true
		return plain()
	}
	res.Corrupt = !whole
	res.Dropped = int64(len(a.users) - keep)
	for i := range a.users[:keep] {
		if mode == InRange && !shard.holds(a.users[i].hash) {
			res.Dropped++
			continue
		}
		u := a.user(i)
		u.Sub = res.Users
		res.Users++
		if !yield(u) {
			return res
		}
	}
	return res
}

// An aggregate is the parsed form of one, kept for its slices.
type aggregate struct {
	partitionKeys, hashKeys [][]byte
	users                   []aggregated
}

type aggregated struct {
	partitionKey, hashKey uint64 // indices
	hasHashKey            bool
	data                  []byte
	hash                  hashKey // effective; set by keep when the mode needs it
}

var aggregates = sync.Pool{New: func() any { return new(aggregate) }}

// scratchMax entries are kept for the next aggregate; a freak's scratch is not.
const scratchMax = 1 << 16

func (a *aggregate) release() {
	if cap(a.users) > scratchMax || cap(a.partitionKeys) > scratchMax || cap(a.hashKeys) > scratchMax {
		return
	}
	clear(a.partitionKeys)
	clear(a.hashKeys)
	clear(a.users)
	a.partitionKeys, a.hashKeys, a.users = a.partitionKeys[:0], a.hashKeys[:0], a.users[:0]
	aggregates.Put(a)
}

// parse reads the protobuf message AggregatedRecord:
//
//	1 repeated string partition_key_table
//	2 repeated string explicit_hash_key_table
//	3 repeated Record records
//
// A field of another wire type than declared is an unknown field, as every
// protobuf reader has it. False when a library would refuse the message.
func (a *aggregate) parse(b []byte) bool {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if typ != protowire.BytesType || num > 3 {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return false
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch num {
		case 1:
			a.partitionKeys = append(a.partitionKeys, v[:len(v):len(v)])
		case 2:
			a.hashKeys = append(a.hashKeys, v[:len(v):len(v)])
		case 3:
			var u aggregated
			if !u.parse(v) {
				return false
			}
			a.users = append(a.users, u)
		}
	}
	return true
}

// parse reads the protobuf message Record:
//
//	1 required uint64 partition_key_index
//	2 optional uint64 explicit_hash_key_index
//	3 required bytes  data
//	4 repeated Tag    tags {1 required string key, 2 optional string value}
func (u *aggregated) parse(b []byte) bool {
	hasKey, hasData := false, false
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		switch {
		case (num == 1 || num == 2) && typ == protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return false
			}
			if num == 1 {
				u.partitionKey, hasKey = v, true
			} else {
				u.hashKey, u.hasHashKey = v, true
			}
			b = b[n:]
		case (num == 3 || num == 4) && typ == protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 || num == 4 && !soundTag(v) {
				return false
			}
			if num == 3 {
				u.data, hasData = v[:len(v):len(v)], true
			}
			b = b[n:]
		default:
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return false
			}
			b = b[n:]
		}
	}
	return hasKey && hasData
}

func soundTag(b []byte) bool {
	hasKey := false
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return false
		}
		hasKey = hasKey || num == 1 && typ == protowire.BytesType
		b = b[n:]
	}
	return hasKey
}

// keep judges the user records in order. It returns how many of the first may
// be yielded (InRange still leaves out single ones) and whether every index
// was sound. Only KCL goes on with a part.
func (a *aggregate) keep(mode Deaggregation, shard HashRange) (n int, whole bool) {
	for i := range a.users {
		u := &a.users[i]
		if u.partitionKey >= uint64(len(a.partitionKeys)) ||
			u.hasHashKey && u.hashKey >= uint64(len(a.hashKeys)) {
			return i, false
		}
		if mode != InRange && mode != KCL {
			continue
		}
		if u.hasHashKey {
			var ok bool
			if u.hash, ok = parseHashKey(a.hashKeys[u.hashKey]); !ok {
				return i, false
			}
		} else {
			u.hash = hashOf(a.partitionKeys[u.partitionKey])
		}
		if mode == KCL && !shard.holds(u.hash) {
			return 0, true
		}
	}
	return len(a.users), true
}

func (a *aggregate) user(i int) UserRecord {
	u := &a.users[i]
	r := UserRecord{Data: u.data, PartitionKey: a.partitionKeys[u.partitionKey]}
	if u.hasHashKey {
		r.ExplicitHashKey = a.hashKeys[u.hashKey]
	}
	return r
}
