package standpipe

import "time"

// A Record is one Kinesis stream record as GetRecords returned it. Its slices
// alias the page it came from and are valid only as long as that page is.
type Record struct {
	// Sequence is the decimal sequence number, unique within its shard.
	Sequence []byte
	// Arrival is the approximate arrival timestamp: set by Kinesis, millisecond
	// resolution, neither accurate nor monotonic within a shard.
	Arrival time.Time
	// PartitionKey is nil when the stream assigns shards by itself (record
	// distribution AUTO, 2026): never assume one.
	PartitionKey []byte
	// Data is the payload after base64; 0 bytes to 10 MiB.
	Data []byte
}

// ShardID is a Kinesis shard id, "shardId-000000000000".
type ShardID string

// A Shard is one entry of ListShards.
type Shard struct {
	ID ShardID
	// Parents holds none, one (split) or two (merge) ids. A parent that has
	// left retention is still named here though it is no longer listed.
	Parents []ShardID
	// HashStart and HashEnd bound the hash keys of the shard, inclusive,
	// decimal, 0 to 2^128-1.
	HashStart, HashEnd string
	// Closed says that the shard has an ending sequence number: no record will
	// be added, the retained ones can still be read.
	Closed bool
}

// A Stream is what the archiver has to know about its source.
type Stream struct {
	Name string
	ARN  string
	// Created tells two streams of the same name apart: a position of the one
	// means nothing in the other.
	Created time.Time
	// Retention is how long a record can be read after it arrived.
	Retention time.Duration
}
