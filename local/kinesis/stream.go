package kinesis

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The states of a stream.
const (
	creating = "CREATING"
	active   = "ACTIVE"
	updating = "UPDATING"
	deleting = "DELETING"
)

// The bounds of a stream's settings.
const (
	retentionMin  = 24        // hours
	retentionMax  = 8760      // hours, 365 days
	recordKiB     = 1024      // default and least MaxRecordSizeInKiB
	recordKiBMax  = 10 * 1024 // since October 2025
	onDemandParts = 4         // shards of a new on-demand stream
)

// A stream is one incarnation of a stream name.
type stream struct {
	name    string
	arn     string
	created int64  // ms
	dir     string // "" keeps everything in memory

	// mu orders puts against reshards: a put holds the read lock until its
	// records are stored.
	mu        sync.RWMutex
	changing  string // creating, updating or deleting until ready
	ready     int64  // ms
	set       settings
	next      uint32 // index of the next shard; never used twice
	shards    []*shard
	routes    []*shard         // the open shards by hash range
	counters  []*atomic.Uint64 // one for each five shard indexes
	consumers []*consumer      // registered for fan-out, by name
	resized   []int64          // when UpdateShardCount was called in the last day, ms
	limit     int64            // bytes a shard keeps, 0 for all; see Config.ShardBytes
}

// newStream lays out a stream with that many open shards. Its shards were made
// two seconds ago, as kinesalite saw it on AWS.
func newStream(name, arn, dir string, count int, set settings, limit int64, now time.Time) *stream {
	st := &stream{name: name, arn: arn, created: now.UnixMilli(), dir: dir, set: set, limit: limit}
	for _, r := range evenRanges(count) {
		st.addShard(r, nil, now.Unix()-2, st.created)
	}
	st.route()
	return st
}

// addShard appends an open shard; the caller holds mu and calls route.
func (st *stream) addShard(r hashRange, parents []uint32, created, opened int64) *shard {
	sh := &shard{index: st.next, parents: parents, hash: r, created: created, opened: opened}
	sh.log = &shardLog{shard: sh.index, dir: st.dir, counter: st.counter(sh.index), limit: st.limit}
	st.next++
	st.shards = append(st.shards, sh)
	return sh
}

// counter is the sequence index counter of a group of five shards (kinesalite's
// finding): gaps within a shard are normal on AWS, so they are here.
func (st *stream) counter(shard uint32) *atomic.Uint64 {
	for len(st.counters) <= int(shard/5) {
		st.counters = append(st.counters, new(atomic.Uint64))
	}
	return st.counters[shard/5]
}

// route rebuilds the routing table; the caller holds mu.
func (st *stream) route() {
	st.routes = nil
	for _, sh := range st.shards {
		if sh.open() {
			st.routes = append(st.routes, sh)
		}
	}
	slices.SortFunc(st.routes, func(a, b *shard) int { return a.hash.Start.compare(b.hash.Start) })
}

// owner is the open shard of a hash key; the caller holds mu.
func (st *stream) owner(k hashKey) *shard {
	i, found := slices.BinarySearchFunc(st.routes, k, func(sh *shard, k hashKey) int { return sh.hash.Start.compare(k) })
	if !found {
		i-- // the open shards cover the space from 0
	}
	return st.routes[i]
}

// find returns a shard by index, nil when there is none; the caller holds mu.
func (st *stream) find(index uint32) *shard {
	i, found := slices.BinarySearchFunc(st.shards, index, func(sh *shard, i uint32) int { return cmp.Compare(sh.index, i) })
	if !found {
		return nil
	}
	return st.shards[i]
}

// children returns the shards made of that one; the caller holds mu.
func (st *stream) children(index uint32) []*shard {
	var found []*shard
	for _, sh := range st.shards {
		if slices.Contains(sh.parents, index) {
			found = append(found, sh)
		}
	}
	return found
}

// status is the stream's state at that time, "" when it is gone; the caller
// holds mu.
func (st *stream) status(now int64) string {
	switch {
	case now < st.ready:
		return st.changing
	case st.changing == deleting:
		return ""
	}
	return active
}

// horizon is the arrival time before which records are trimmed; the caller
// holds mu.
func (st *stream) horizon(now int64) int64 {
	return now - int64(st.set.Retention)*time.Hour.Milliseconds()
}

// sweep trims what left retention, drops the shards that left it, and reports
// whether anything changed.
func (st *stream) sweep(now int64) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	changed, horizon := false, st.horizon(now)
	kept := make([]*shard, 0, len(st.shards))
	for _, sh := range st.shards {
		if sh.log.expire(horizon) {
			changed = true
		}
		if sh.expired(horizon) {
			sh.log.close(true)
			changed = true
			continue
		}
		kept = append(kept, sh)
	}
	st.shards = kept
	return changed
}

// close closes every file; with remove it deletes them.
func (st *stream) close(remove bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if remove && st.dir != "" { // first, so that a crash here leaves no stream without its records
		removeFile(filepath.Join(st.dir, streamFile))
	}
	for _, sh := range st.shards {
		sh.log.close(remove)
	}
	if remove && st.dir != "" {
		removeFile(st.dir)
	}
}

func streamARN(region, account, name string) string {
	return fmt.Sprintf("arn:aws:kinesis:%s:%s:stream/%s", region, account, name)
}
