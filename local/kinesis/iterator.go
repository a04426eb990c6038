package kinesis

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// iteratorLife is how long an iterator and a listing token are good (API
// reference, GetShardIterator and ListShards).
const iteratorLife = 300 * time.Second

// An iterator is what a ShardIterator string holds: a place in one shard of one
// incarnation of one stream. It is not secret; the checksum only tells an
// iterator of ours from garbage.
type iterator struct {
	stream     string
	created    int64 // creation of the stream, ms: a re-created stream is another
	shard      uint32
	next       uint64 // the least sequence index still to read
	issued     int64  // ms
	generation uint64 // the server's when issued, see Server.generation
	nonce      uint64 // makes each iterator a new string, as on AWS
}

const (
	iteratorKind  = 'i'
	shardsKind    = 'l'
	streamsKind   = 's'
	consumersKind = 'c'
)

func (it iterator) String() string {
	b := make([]byte, 0, 128+7*binary.MaxVarintLen64)
	for _, v := range []uint64{uint64(it.created), uint64(it.shard), it.next, uint64(it.issued), it.generation, it.nonce} {
		b = binary.AppendUvarint(b, v)
	}
	return seal(iteratorKind, append(b, it.stream...))
}

// parseIterator is the inverse of String. AWS accepts an iterator wrapped in
// quotes, so this does.
func parseIterator(s string) (iterator, bool) {
	if len(s) > 2 && strings.HasPrefix(s, `"`) && strings.HasSuffix(s, `"`) {
		s = s[1 : len(s)-1]
	}
	b, ok := unseal(iteratorKind, s)
	if !ok {
		return iterator{}, false
	}
	var v [6]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return iterator{}, false
		}
		b = b[n:]
	}
	return iterator{
		stream: string(b), created: int64(v[0]), shard: uint32(v[1]), next: v[2],
		issued: int64(v[3]), generation: v[4], nonce: v[5],
	}, v[1] < 1<<32
}

// seal makes an opaque token of a payload: kind, payload, 8 bytes of SHA-256.
func seal(kind byte, payload []byte) string {
	b := append([]byte{kind}, payload...)
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(append(b, sum[:8]...))
}

// unseal returns the payload of a token of that kind, false for anything else.
func unseal(kind byte, token string) ([]byte, bool) {
	// The decoder passes over line ends, but a token has one spelling.
	b, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) < 9 || b[0] != kind {
		return nil, false
	}
	body, sum := b[:len(b)-8], sha256.Sum256(b[:len(b)-8])
	return body[1:], string(sum[:8]) == string(b[len(b)-8:])
}
