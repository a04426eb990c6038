package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"slices"
	"time"
)

// resizesMax is how often UpdateShardCount may be called in a day (API reference).
const resizesMax = 10

func (s *Server) splitShard(c *call) (any, error) {
	var in struct {
		streamRef
		ShardToSplit       *string
		NewStartingHashKey *string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.ShardToSplit, "shardToSplit", true, 1, 128, namePattern)
	v.text(in.NewStartingHashKey, "newStartingHashKey", true, 1, 39, hashKeyPattern)
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.room(1, c.now); err != nil {
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
		return nil
	})
}

func (s *Server) mergeShards(c *call) (any, error) {
	var in struct {
		streamRef
		ShardToMerge         *string
		AdjacentShardToMerge *string
	}
	if err := c.decode(&in); err != nil {
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
		return nil
	})
}

func (s *Server) updateShardCount(c *call) (any, error) {
	var in struct {
		streamRef
		TargetShardCount *int64
		ScalingType      *string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.number(in.TargetShardCount, "targetShardCount", true, 1, 1_000_000)
	v.enum(in.ScalingType, "scalingType", true, "UNIFORM_SCALING")
	if err := v.err(); err != nil {
		return nil, err
	}
	target := int(*in.TargetShardCount)
	more, err := s.growth(in.streamRef, target, c.now)
	if err != nil {
		return nil, err
	}
	if err := s.room(more, c.now); err != nil {
		return nil, err
	}
	var out struct {
		StreamName        string
		StreamARN         string
		CurrentShardCount int
		TargetShardCount  int
	}
	return &out, s.reshard(in.streamRef, c.now, func(st *stream) error {
		now, open := c.now.UnixMilli(), len(st.routes)
		if err := s.mayResize(st, open, target, now); err != nil {
			return err
		}
		out.StreamName, out.StreamARN = st.name, st.arn
		out.CurrentShardCount, out.TargetShardCount = open, target
		st.resized = append(slices.Clone(st.resized), now)
		st.resize(target, now)
		return nil
	})
}

// growth is how many more shards the stream would have.
func (s *Server) growth(ref streamRef, target int, now time.Time) (int, error) {
	st, err := s.find(ref, now)
	if err != nil {
		return 0, err
	}
	st.mu.RLock()
	defer st.mu.RUnlock()
	return max(0, target-len(st.routes)), nil
}

// mayResize refuses what UpdateShardCount may not do. The caller holds mu.
func (s *Server) mayResize(st *stream, open, target int, now int64) error {
	st.resized = slices.DeleteFunc(slices.Clone(st.resized), func(t int64) bool { return t <= now-24*time.Hour.Milliseconds() })
	switch {
	case target > 2*open:
		return limitExceeded("UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: %d, Target shard count: %d", open, target)
	case 2*target < open:
		return limitExceeded("UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: %d, Target shard count: %d", open, target)
	case target > ShardsMax:
		return limitExceeded("UpdateShardCount cannot scale a stream to more than %d shards. Current open shard count: %d, Target shard count: %d", ShardsMax, open, target)
	case len(st.resized) >= resizesMax:
		return limitExceeded("UpdateShardCount cannot be called more than %d times in a rolling 24 hour period on stream %s under account %s.", resizesMax, st.name, s.cfg.Account)
	}
	return nil
}

// reshard runs one change of shards with no put under way: routing changes
// between two puts. It is there whole or, when it can't be saved, not at all. The
// stream is UPDATING for the configured delay, while puts already go to the
// children.
func (s *Server) reshard(ref streamRef, now time.Time, change func(*stream) error) error {
	return s.whileActive(ref, now, func(st *stream) error {
		if st.set.OnDemand {
			return clientError("ValidationException", "Request is invalid. Stream %s under account %s is in On-Demand mode.", st.name, s.cfg.Account)
		}
		undo := st.remember()
		err := change(st)
		if err == nil {
			err = st.saveUntil(now.Add(s.cfg.CreateDelay))
		}
		if err != nil {
			undo()
		}
		return err
	})
}

// openShard finds a shard that can be split or merged; the caller holds mu.
func (s *Server) openShard(st *stream, name string) (*shard, error) {
	index, ok := parseShardName(name)
	if sh := st.find(index); ok && sh != nil && sh.open() {
		return sh, nil
	}
	return nil, notFound("Could not find shard %s in stream %s under account %s.", name, st.name, s.cfg.Account)
}
