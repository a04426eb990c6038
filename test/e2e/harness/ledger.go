package harness

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"
)

// A Ledger is the truth of a long run: every line that was handed out, which
// record it went into, and what the stream answered. A line is made of its key
// and counter alone, so the ledger keeps a few bytes a record and no text:
// about 30 MB for an hour at 20 MB/s. Safe for concurrent use.
type Ledger struct {
	Run string // in every line, so that no other run's can be mistaken for it

	text []byte

	mu       sync.Mutex
	accounts []account
	shards   map[string]uint16
	lines    int64 // acknowledged
	bytes    int64 // of them, without newlines
}

// An account is one partition key. Counters begin at 0 and have no gaps.
type account struct {
	lines   uint32   // handed out
	records []record // in the order of their first counter
}

// A record is lines first, first+1, … up to the next record's first.
type record struct {
	first    uint32
	shard    uint16 // of Ledger.shards, which begins at 1; 0 until it is acknowledged
	sequence sequence
}

// A sequence is a sequence number, big-endian: Kinesis's have at most 186 bits.
type sequence [24]byte

func parseSequence(decimal string) (s sequence, err error) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 8*len(s) {
		return s, fmt.Errorf("sequence number %q is not a number of at most %d bits", decimal, 8*len(s))
	}
	n.FillBytes(s[:])
	return s, nil
}

func (s sequence) after(t sequence) bool { return bytes.Compare(s[:], t[:]) > 0 }

// The padding of a line: around 1.2 KB a line, and neither constant nor
// incompressible.
const (
	padLeast  = 300
	padSpread = 1800
	padText   = 1 << 20
)

// NewLedger opens the accounts of that many partition keys.
func NewLedger(keys int) *Ledger {
	l := &Ledger{Run: strconv.FormatInt(time.Now().UnixNano(), 36), accounts: make([]account, keys), shards: map[string]uint16{}}
	random := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 3000)
	for i := range words {
		b := make([]byte, 2+random.IntN(9))
		for j := range b {
			b[j] = byte('a' + random.IntN(26))
		}
		words[i] = string(b)
	}
	for len(l.text) < padText+padLeast+padSpread {
		l.text = append(l.text, words[int(random.ExpFloat64()*400)%len(words)]...)
		l.text = append(l.text, ' ')
	}
	return l
}

// AppendLine appends line n of a key, without a newline.
func (l *Ledger) AppendLine(b []byte, key int, n uint32) []byte {
	b = append(b, `{"run":"`...)
	b = append(b, l.Run...)
	b = append(b, `","key":`...)
	b = strconv.AppendInt(b, int64(key), 10)
	b = append(b, `,"n":`...)
	b = strconv.AppendUint(b, uint64(n), 10)
	b = append(b, `,"pad":"`...)
	h := uint64(key)*0x9E3779B97F4A7C15 ^ uint64(n)*0xC2B2AE3D27D4EB4F
	h ^= h >> 29
	at := int(h % padText)
	b = append(b, l.text[at:at+padLeast+int(h>>32)%padSpread]...)
	return append(b, `"}`...)
}

// parseLine finds key and counter in a line of this run.
func (l *Ledger) parseLine(line []byte) (key int, n uint32, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"run":"`))
	if !ok {
		return 0, 0, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(l.Run)); !ok {
		return 0, 0, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`","key":`)); !ok {
		return 0, 0, false
	}
	first, rest, ok := bytes.Cut(rest, []byte(`,"n":`))
	if !ok {
		return 0, 0, false
	}
	second, _, ok := bytes.Cut(rest, []byte(`,`))
	if !ok {
		return 0, 0, false
	}
	k, err1 := strconv.Atoi(string(first))
	m, err2 := strconv.ParseUint(string(second), 10, 32)
	return k, uint32(m), err1 == nil && err2 == nil && k >= 0 && k < len(l.accounts)
}

// take hands out the next lines of a key as one record.
func (l *Ledger) take(key, lines int) (first uint32, index int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.accounts[key]
	first = a.lines
	a.lines += uint32(lines)
	a.records = append(a.records, record{first: first})
	return first, len(a.records) - 1
}

// acknowledge notes where the stream put a record.
func (l *Ledger) acknowledge(key, index, lines, size int, shard, decimal string) error {
	s, err := parseSequence(decimal)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id, known := l.shards[shard]
	if !known {
		id = uint16(len(l.shards) + 1)
		l.shards[shard] = id
	}
	r := &l.accounts[key].records[index]
	r.shard, r.sequence = id, s
	l.lines += int64(lines)
	l.bytes += int64(size)
	return nil
}

// Acknowledged counts the lines that the stream took, and their bytes.
func (l *Ledger) Acknowledged() (lines, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines, l.bytes
}

// A place is where the stream put a line: which record, as which of its lines.
type place struct {
	record
	lines uint32 // of the record
	shard string
}

// find returns the place of a line; false if it is not acknowledged yet.
func (l *Ledger) find(key int, n uint32, shard string) (p place, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.accounts[key]
	if n >= a.lines {
		return p, false
	}
	lo, hi := 0, len(a.records)
	for lo+1 < hi {
		if mid := (lo + hi) / 2; a.records[mid].first <= n {
			lo = mid
		} else {
			hi = mid
		}
	}
	p.record = a.records[lo]
	if p.record.shard == 0 {
		return p, false
	}
	until := a.lines
	if lo+1 < len(a.records) {
		until = a.records[lo+1].first
	}
	p.lines = until - p.first
	if l.shards[shard] == p.record.shard {
		p.shard = shard
		return p, true
	}
	for name, id := range l.shards {
		if id == p.record.shard {
			p.shard = name
		}
	}
	return p, true
}

// unacknowledged lists up to limit records that were handed out and never
// taken: none, after a Load has ended without an error.
func (l *Ledger) unacknowledged(limit int) (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, a := range l.accounts {
		for _, r := range a.records {
			if r.shard == 0 && len(all) < limit {
				all = append(all, fmt.Sprintf("key %d from line %d", key, r.first))
			}
		}
	}
	return all
}
