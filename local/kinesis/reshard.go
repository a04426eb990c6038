package kinesis

import "time"

func (s *Server) splitShard(c *call) (any, error) {
	var in struct {
		streamRef
		ShardToSplit       *string
		NewStartingHashKey *string
	}
	if err := decode(c.body, &in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.ShardToSplit, "shardToSplit", true, 1, 128, namePattern)
	v.text(in.NewStartingHashKey, "newStartingHashKey", true, 1, 39, hashKeyPattern)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.reshard(in.streamRef, c.now, func(st *stream) error {
		sh, err := s.openShard(st, *in.ShardToSplit)
		if err != nil {
			return err
		}
		key, ok := parseHashKey(*in.NewStartingHashKey)
		if !ok || key.compare(sh.hash.Start.next()) <= 0 || key.compare(sh.hash.End) >= 0 {
			return invalidArgument("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				*in.NewStartingHashKey, sh.name(), st.name, s.cfg.Account, sh.hash.Start, sh.hash.End)
		}
		st.split(sh, key, c.now.UnixMilli())
		if err := st.save(); err != nil {
			st.undoReshard(2, sh)
			return err
		}
		return nil
	})
}

func (s *Server) mergeShards(c *call) (any, error) {
	var in struct {
		streamRef
		ShardToMerge         *string
		AdjacentShardToMerge *string
	}
	if err := decode(c.body, &in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.ShardToMerge, "shardToMerge", true, 1, 128, namePattern)
	v.text(in.AdjacentShardToMerge, "adjacentShardToMerge", true, 1, 128, namePattern)
	if err := v.err(); err != nil {
		return nil, err
	}
	return nil, s.reshard(in.streamRef, c.now, func(st *stream) error {
		a, err := s.openShard(st, *in.ShardToMerge)
		if err != nil {
			return err
		}
		b, err := s.openShard(st, *in.AdjacentShardToMerge)
		if err != nil {
			return err
		}
		if a.hash.End == maxHashKey || a.hash.End.next() != b.hash.Start {
			return invalidArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
				a.name(), b.name(), st.name, s.cfg.Account)
		}
		st.merge(a, b, c.now.UnixMilli())
		if err := st.save(); err != nil {
			st.undoReshard(1, a, b)
			return err
		}
		return nil
	})
}

// reshard runs one split or merge with no put under way: routing changes
// between two puts. The stream is UPDATING for the configured delay, while
// puts already go to the children.
func (s *Server) reshard(ref streamRef, now time.Time, change func(*stream) error) error {
	st, err := s.find(ref, now)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if status := st.status(now.UnixMilli()); status != active {
		return notActive(st.name, s.cfg.Account, status)
	}
	if st.onDemand {
		return clientError("ValidationException", "Request is invalid. Stream %s under account %s is in On-Demand mode.", st.name, s.cfg.Account)
	}
	changing, ready := st.changing, st.ready
	st.changing, st.ready = updating, now.Add(s.cfg.CreateDelay).UnixMilli()
	if err := change(st); err != nil {
		st.changing, st.ready = changing, ready
		return err
	}
	return nil
}

// openShard finds a shard that can be split or merged; the caller holds mu.
func (s *Server) openShard(st *stream, name string) (*shard, error) {
	index, ok := parseShardName(name)
	if sh := st.find(index); ok && sh != nil && sh.open() {
		return sh, nil
	}
	return nil, notFound("Could not find shard %s in stream %s under account %s.", name, st.name, s.cfg.Account)
}
