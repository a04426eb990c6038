package kinesis

import (
	"strconv"
	"strings"
)

// A shard is one shard of a stream. Its fields but log are written under the
// stream's write lock and read under its read lock.
type shard struct {
	index   uint32
	parents []uint32 // none, the split shard, or the two merged ones
	hash    hashRange
	created int64 // seconds, the creation time in its sequence numbers
	opened  int64 // ms
	closed  int64 // ms; 0 while open
	log     *shardLog
	limits  limits
}

// shardNameLen is the length of every shard's name.
const shardNameLen = 20

func shardName(index uint32) string {
	return string(appendShardName(make([]byte, 0, shardNameLen), index))
}

func appendShardName(b []byte, index uint32) []byte {
	return appendDigits(append(b, "shardId-"...), uint64(index), 12)
}

// parseShardName accepts "shardId-000000000001" and, as AWS does, "shard-1" and
// "1" (found by kinesalite).
func parseShardName(s string) (uint32, bool) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "shardId-"), "shard-")
	n, err := strconv.ParseUint(s, 10, 31)
	return uint32(n), err == nil
}

func (sh *shard) name() string { return shardName(sh.index) }
func (sh *shard) open() bool   { return sh.closed == 0 }

// openAt reports whether the shard was open at that time, ms. Both ends count
// (API reference, ShardFilter AT_TIMESTAMP).
func (sh *shard) openAt(t int64) bool {
	return sh.opened <= t && (sh.open() || sh.closed >= t)
}

// firstSequence is the shard's StartingSequenceNumber; no record has it.
func (sh *shard) firstSequence() sequence {
	return sequence{created: sh.created, time: sh.created, shard: sh.index}
}

// endSequence is a closed shard's EndingSequenceNumber; no record has it.
func (sh *shard) endSequence() sequence {
	return sequence{created: sh.created, index: endIndex, time: sh.closed / 1000, shard: sh.index}
}

func (sh *shard) sequence(index uint64, arrival int64) sequence {
	return sequence{created: sh.created, index: index, time: arrival / 1000, shard: sh.index}
}

// expired reports whether the closed shard's last record has left retention.
func (sh *shard) expired(horizon int64) bool { return !sh.open() && sh.closed < horizon }

// fromSeconds reads a time as the API's JSON has it, and returns ms.
func fromSeconds(s float64) int64 {
	if s > 1e11 { // Java SDK 1 sent milliseconds (aws-sdk-java 2588)
		return int64(s)
	}
	return int64(s*1000 + 0.5)
}
