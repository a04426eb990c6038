package kinesis

import "slices"

// split replaces an open shard by two; the caller holds mu and has checked key.
func (st *stream) split(sh *shard, key hashKey, now int64) {
	created := childCreation(now, sh)
	sh.closed = max(now, sh.opened+1)
	sh.log.notify()
	st.addShard(hashRange{sh.hash.Start, key.prev()}, []uint32{sh.index}, created, sh.closed)
	st.addShard(hashRange{key, sh.hash.End}, []uint32{sh.index}, created, sh.closed)
	st.route()
}

// merge replaces two adjacent open shards by one; the caller holds mu.
func (st *stream) merge(a, b *shard, now int64) {
	created := childCreation(now, a, b)
	now = max(now, a.opened+1, b.opened+1)
	a.closed, b.closed = now, now
	a.log.notify()
	b.log.notify()
	st.addShard(hashRange{a.hash.Start, b.hash.End}, []uint32{a.index, b.index}, created, now)
	st.route()
}

// childCreation is a second ahead, as kinesalite saw it, and always after the
// parents', whatever the clock did: it alone makes child numbers greater.
func childCreation(now int64, parents ...*shard) int64 {
	created := now/1000 + 1
	for _, p := range parents {
		created = max(created, p.created+1)
	}
	return created
}

// resize makes the stream have n shards of even ranges, as UpdateShardCount
// does: splits at every new border, then merges of what lies between two of
// them. Shards that live for no time are real ones. The caller holds mu.
func (st *stream) resize(n int, now int64) {
	want := evenRanges(n)
	for _, r := range want[1:] {
		if sh := st.owner(r.Start); sh.hash.Start != r.Start {
			st.split(sh, r.Start, now)
		}
	}
	for _, r := range want {
		for sh := st.owner(r.Start); sh.hash.End != r.End; sh = st.owner(r.Start) {
			st.merge(sh, st.owner(sh.hash.End.next()), now)
		}
	}
}

// remember returns what undoes every reshard from here on, because the change
// could not be made durable. The caller holds mu all the time.
func (st *stream) remember() (undo func()) {
	shards, next, open, resized := len(st.shards), st.next, slices.Clone(st.routes), st.resized
	return func() {
		st.shards, st.next, st.resized = st.shards[:shards], next, resized
		for _, sh := range open {
			sh.closed = 0
		}
		st.route()
	}
}
