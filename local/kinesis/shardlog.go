package kinesis

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// A shardLog holds the records of one shard in chunks, oldest first. All
// methods are safe for concurrent use.
type shardLog struct {
	shard   uint32
	dir     string         // "" keeps records in memory only
	counter *atomic.Uint64 // the last sequence index given out; shared by five shards, as on AWS

	mu      sync.RWMutex
	chunks  []*chunk // none is empty
	last    uint64   // the greatest index ever appended
	trimmed uint64   // records with a smaller index are gone
	number  int      // of the newest chunk file
	file    *os.File // the newest chunk's, opened for append, or nil
	ended   bool     // closed: nothing is appended any more
	// wake is closed at the next change, when somebody waits for one; see changed.
	wake  chan struct{}
	limit int64  // bytes to keep; the oldest chunks go when it is passed. 0: all
	spent string // file of a trimmed newest chunk: it keeps `last` until another file does
}

// A put is one record on its way into a shard, and what became of it.
type put struct {
	key, data []byte
	explicit  []byte // ExplicitHashKey, nil without
	hash      hashKey
	shard     *shard
	index     uint64 // 0: not stored
	failed    string // error code of this record alone, or ""
}

var errEnded = errors.New("the shard's files are closed")

// append stores records in order. An error means that the records whose index
// is 0 are not stored; their indexes are never given out again.
func (l *shardLog) append(now int64, puts []*put) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return errEnded
	}
	defer func() { // also when only some are stored
		l.bound()
		l.rouse()
	}()
	for len(puts) > 0 {
		c, err := l.room(puts[0])
		if err != nil {
			return err
		}
		entries, size := len(c.entries), len(c.buf)
		n := 0
		for n < len(puts) && c.fits(puts[n].key, puts[n].data) {
			p := puts[n]
			p.index = l.counter.Add(1)
			c.add(p.index, now, p.key, p.data)
			n++
		}
		if err := l.write(c, size); err != nil {
			c.cut(entries, size)
			if entries == 0 {
				l.chunks = l.chunks[:len(l.chunks)-1]
				removeFile(c.path)
			}
			for _, p := range puts[:n] {
				p.index = 0
			}
			return err
		}
		l.last = c.last()
		puts = puts[n:]
	}
	return nil
}

// bound drops the oldest chunks of a log that holds more than its limit. The
// caller holds mu.
func (l *shardLog) bound() {
	if l.limit == 0 {
		return
	}
	held := int64(0)
	for i := len(l.chunks) - 1; i >= 0; i-- {
		held += int64(len(l.chunks[i].buf))
		if held > l.limit && i < len(l.chunks)-1 {
			l.trimmed = max(l.trimmed, l.chunks[i].last()+1)
			l.free()
			return
		}
	}
}

// changed returns a channel that is closed at the next append or notify.
func (l *shardLog) changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return l.wake
}

// notify wakes everybody who waits for a change of the shard.
func (l *shardLog) notify() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rouse()
}

func (l *shardLog) rouse() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// room returns the newest chunk if the record fits, else a new one.
func (l *shardLog) room(p *put) (*chunk, error) {
	next := chunkMin
	if n := len(l.chunks); n > 0 {
		c := l.chunks[n-1]
		if c.fits(p.key, p.data) && (l.dir == "" || l.file != nil) {
			return c, nil
		}
		next = min(max(chunkMin, 2*cap(c.buf)), chunkMax)
	}
	if l.limit > 0 { // whole chunks go: four of them make the limit good to a quarter
		next = min(next, max(chunkMin, int(l.limit/4)))
	}
	c := newChunk(max(next, frameHead+len(p.key)+len(p.data)), "")
	if l.dir != "" {
		c.path = chunkPath(l.dir, l.shard, l.number+1)
		f, err := os.OpenFile(c.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
		if err != nil {
			return nil, fmt.Errorf("create chunk: %w", err)
		}
		l.closeFile()
		l.file = f
		l.number++
	}
	l.chunks = append(l.chunks, c)
	return c, nil
}

// write brings the chunk's bytes from size on into its file. After a failure no
// record is added to that file again: it is cut back to what it held before, or,
// where even that fails, when it is next loaded.
func (l *shardLog) write(c *chunk, size int) error {
	if l.file == nil {
		return nil
	}
	if _, err := l.file.Write(c.buf[size:]); err != nil {
		_ = l.file.Truncate(int64(size)) // see above
		l.closeFile()
		return fmt.Errorf("append to chunk %s: %w", c.path, err)
	}
	if l.spent != "" {
		removeFile(l.spent)
		l.spent = ""
	}
	return nil
}

// tip is the index after the newest record.
func (l *shardLog) tip() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last + 1
}

// lookup returns the record with that index, if it is still there.
func (l *shardLog) lookup(index uint64) (entry, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c, e := l.seek(index)
	if c == len(l.chunks) || l.chunks[c].entries[e].index != index {
		return entry{}, false
	}
	return l.chunks[c].entries[e], true
}

// since returns the index of the first record that arrived at that time or
// later, in sequence order, or the tip.
func (l *shardLog) since(arrival int64) uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i, c := range l.chunks {
		if c.newest < arrival {
			continue
		}
		start := 0
		if i == 0 {
			start = c.seek(l.trimmed)
		}
		for _, e := range c.entries[start:] {
			if e.arrival >= arrival {
				return e.index
			}
		}
	}
	return l.last + 1
}

// seek returns chunk and entry of the first readable record with at least that
// index, or the number of chunks. The caller holds mu.
func (l *shardLog) seek(index uint64) (int, int) {
	index = max(index, l.trimmed)
	i := sort.Search(len(l.chunks), func(i int) bool { return l.chunks[i].last() >= index })
	if i == len(l.chunks) {
		return i, 0
	}
	return i, l.chunks[i].seek(index)
}

// A run is neighbouring records of one chunk. It stays valid without a lock.
type run struct {
	buf     []byte
	entries []entry
}

// A page is what one GetRecords reads.
type page struct {
	runs  []run
	count int
	size  int    // bytes of data and partition keys
	next  uint64 // the least index not read
	// waiting is the arrival of the next unread record; more says there is one.
	waiting int64
	more    bool
}

// read returns at most limit records and, unless the first alone is greater,
// at most size bytes, from the first record with at least index from.
func (l *shardLog) read(from uint64, limit, size int) page {
	l.mu.RLock()
	defer l.mu.RUnlock()
	p := page{next: max(from, l.trimmed)}
	i, at := l.seek(from)
	for ; i < len(l.chunks); i, at = i+1, 0 {
		c := l.chunks[i]
		end := at
		for ; end < len(c.entries); end++ {
			e := &c.entries[end]
			n := int(e.keyLen) + int(e.size)
			if p.count == limit || (p.count > 0 && p.size+n > size) {
				p.waiting, p.more = e.arrival, true
				break
			}
			p.count, p.size, p.next = p.count+1, p.size+n, e.index+1
		}
		if end > at {
			p.runs = append(p.runs, run{c.buf, c.entries[at:end:end]})
		}
		if p.more {
			break
		}
	}
	return p
}

// expire drops what arrived before the horizon and reports whether anything
// went. Trimming goes in sequence order: a record behind a younger one stays.
func (l *shardLog) expire(horizon int64) bool {
	l.mu.RLock()
	i, at := l.seek(0)
	old := i < len(l.chunks) && l.chunks[i].entries[at].arrival < horizon
	l.mu.RUnlock()
	if !old {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, at = l.seek(0); i < len(l.chunks); i, at = l.seek(0) {
		e := l.chunks[i].entries[at]
		if e.arrival >= horizon {
			break
		}
		l.trimmed = e.index + 1
	}
	l.free()
	return true
}

// trim drops every record with an index below to.
func (l *shardLog) trim(to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimmed = max(l.trimmed, min(to, l.last+1))
	l.free()
}

// free gives up the chunks that hold nothing readable. The newest file stays,
// so that a restart knows which indexes were given out. The caller holds mu.
func (l *shardLog) free() {
	n := 0
	for n < len(l.chunks) && l.chunks[n].last() < l.trimmed {
		c := l.chunks[n]
		switch {
		case c.path == "":
		case n == len(l.chunks)-1:
			l.closeFile()
			l.spent = c.path
		default:
			removeFile(c.path)
		}
		n++
	}
	l.chunks = slices.Delete(l.chunks, 0, n)
}

// load takes over what the shard's files hold and returns how many bytes were
// torn off.
func (l *shardLog) load(names []string) (int, error) {
	var numbers []int
	for _, name := range names {
		if n, ok := chunkNumber(name, l.shard); ok {
			numbers = append(numbers, n)
		}
	}
	slices.SortFunc(numbers, cmp.Compare[int])
	cutOff := 0
	for i, n := range numbers {
		path := chunkPath(l.dir, l.shard, n)
		c, torn, err := loadChunk(path, l.last)
		if err != nil {
			return cutOff, err
		}
		l.number = n
		cutOff += torn
		if torn > 0 {
			if err := os.Truncate(path, int64(len(c.buf))); err != nil {
				return cutOff, fmt.Errorf("cut torn tail: %w", err)
			}
		}
		if len(c.entries) == 0 {
			removeFile(path)
			continue
		}
		l.last = c.last()
		l.chunks = append(l.chunks, c)
		if i == len(numbers)-1 {
			if l.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
				return cutOff, fmt.Errorf("open chunk for append: %w", err)
			}
		}
	}
	l.free()
	return cutOff, nil
}

// close closes the file; with remove it also deletes every file of the shard.
func (l *shardLog) close(remove bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeFile()
	l.ended = true
	if !remove {
		return
	}
	for _, c := range l.chunks {
		removeFile(c.path)
	}
	removeFile(l.spent)
	l.chunks, l.spent = nil, ""
}

// closeFile gives up the append handle. All bytes went out by write(2), so
// closing has nothing left to fail on.
func (l *shardLog) closeFile() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

// removeFile deletes a file nobody needs; one that stays costs only its bytes
// and is trimmed again after the next start.
func removeFile(path string) {
	if path == "" {
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return
	}
}
