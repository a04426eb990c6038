package kinesis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// A chunk is an append-only run of a shard's records: one buffer that never
// moves, so that a reader may use its filled part without a lock, and one file
// with the same bytes. It is made of frames, little-endian:
//
//	u32 length of what follows the CRC
//	u32 CRC-32C of what follows
//	u64 sequence index | i64 arrival, ms | u16 length of the partition key | key | data
type chunk struct {
	buf     []byte // its capacity is fixed: frames never move
	entries []entry
	newest  int64 // the latest arrival in the chunk, ms
	path    string
}

// An entry locates one record. Its sequence number is made from index, arrival
// and the shard.
type entry struct {
	index   uint64
	arrival int64  // ms
	at      int    // where the partition key begins in buf
	keyLen  uint32 // the data follows the key
	size    uint32
}

const (
	frameHead = 8 + 8 + 8 + 2
	// A chunk doubles from shard to shard's chunk between these, so that an idle
	// shard is small and a busy one has few files: 1 GiB in 128.
	chunkMin = 64 << 10
	chunkMax = 8 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newChunk(capacity int, path string) *chunk {
	return &chunk{buf: make([]byte, 0, capacity), path: path}
}

func (c *chunk) fits(key, data []byte) bool {
	return len(c.buf)+frameHead+len(key)+len(data) <= cap(c.buf)
}

// add appends one frame; the caller has asked fits.
func (c *chunk) add(index uint64, arrival int64, key, data []byte) {
	start := len(c.buf)
	b := binary.LittleEndian.AppendUint32(c.buf, uint32(frameHead-8+len(key)+len(data)))
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, index)
	b = binary.LittleEndian.AppendUint64(b, uint64(arrival))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key)))
	b = append(append(b, key...), data...)
	if c.path != "" { // only a file's bytes can be torn
		binary.LittleEndian.PutUint32(b[start+4:], crc32.Checksum(b[start+8:], castagnoli))
	}
	c.buf = b
	c.note(entry{index, arrival, start + frameHead, uint32(len(key)), uint32(len(data))})
}

func (c *chunk) note(e entry) {
	c.entries = append(c.entries, e)
	c.newest = max(c.newest, e.arrival)
}

func (c *chunk) last() uint64 { return c.entries[len(c.entries)-1].index }

// seek returns the place of the first entry with at least that index.
func (c *chunk) seek(index uint64) int {
	return sort.Search(len(c.entries), func(i int) bool { return c.entries[i].index >= index })
}

// cut forgets every entry from the n-th on; size is the buffer's length then.
func (c *chunk) cut(n, size int) {
	c.entries, c.buf = c.entries[:n], c.buf[:size]
	c.newest = 0
	for _, e := range c.entries {
		c.newest = max(c.newest, e.arrival)
	}
}

var errTorn = errors.New("frame is torn")

// parseFrame reads the frame at the front of b and returns its length. It
// accepts what add writes and nothing else; last is the index before it.
func parseFrame(b []byte, last uint64) (entry, int, error) {
	if len(b) < frameHead {
		return entry{}, 0, errTorn
	}
	n := int64(binary.LittleEndian.Uint32(b)) + 8
	if n < frameHead || n > int64(len(b)) {
		return entry{}, 0, errTorn
	}
	b = b[:n]
	keyLen := int(binary.LittleEndian.Uint16(b[24:]))
	e := entry{
		index:   binary.LittleEndian.Uint64(b[8:]),
		arrival: int64(binary.LittleEndian.Uint64(b[16:])),
		at:      frameHead,
		keyLen:  uint32(keyLen),
		size:    uint32(len(b) - frameHead - keyLen),
	}
	if crc32.Checksum(b[8:], castagnoli) != binary.LittleEndian.Uint32(b[4:]) ||
		frameHead+keyLen > len(b) || e.index <= last || e.index >= endIndex {
		return entry{}, 0, errTorn
	}
	return e, int(n), nil
}

// loadChunk reads a chunk file whose records come after index last. What
// follows the last whole frame is not taken over; torn is its length.
func loadChunk(path string, last uint64) (c *chunk, torn int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("open chunk: %w", err)
	}
	defer f.Close() // read only: nothing to lose
	info, err := f.Stat()
	if err != nil {
		return nil, 0, fmt.Errorf("stat chunk: %w", err)
	}
	c = newChunk(max(chunkMin, int(info.Size())), path)
	c.buf = c.buf[:info.Size()]
	if _, err := io.ReadFull(f, c.buf); err != nil {
		return nil, 0, fmt.Errorf("read chunk %s: %w", path, err)
	}
	at := 0
	for at < len(c.buf) {
		e, n, err := parseFrame(c.buf[at:], last)
		if err != nil {
			break
		}
		e.at += at
		at, last = at+n, e.index
		c.note(e)
	}
	torn = len(c.buf) - at
	c.buf = c.buf[:at]
	return c, torn, nil
}

// chunkPath names the file of a chunk; the number only orders the files.
func chunkPath(dir string, shard uint32, number int) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%08d.log", shardName(shard), number))
}

// chunkNumber is the inverse of chunkPath, false for a file of something else.
func chunkNumber(name string, shard uint32) (int, bool) {
	s, ok := strings.CutPrefix(name, shardName(shard)+"-")
	if !ok {
		return 0, false
	}
	if s, ok = strings.CutSuffix(s, ".log"); !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
