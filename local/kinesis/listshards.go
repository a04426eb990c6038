package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import "time"

// shardsPage is the most shards on one page of ListShards, whatever MaxResults.
const shardsPage = 1000

// A shardFilter is ShardFilter, and travels in the NextToken: clients send it
// only once.
type shardFilter struct {
	Type      *string
	ShardId   *string
	Timestamp *instant
}

// A shardsToken is the NextToken of ListShards.
type shardsToken struct {
	Stream  string
	Created int64 // of the stream, ms
	After   int64 // shard index
	Filter  *shardFilter
	Issued  int64 // ms
}

func (s *Server) listShards(c *call) (any, error) {
	var in struct {
		streamRef
		NextToken               *string
		ExclusiveStartShardId   *string
		MaxResults              *int64
		StreamCreationTimestamp *instant
		ShardFilter             *shardFilter
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	in.check(&v)
	v.text(in.NextToken, "nextToken", false, 1, 1<<20, "")
	v.text(in.ExclusiveStartShardId, "exclusiveStartShardId", false, 1, 128, namePattern)
	v.number(in.MaxResults, "maxResults", false, 1, pageMax)
	if f := in.ShardFilter; f != nil {
		v.enum(f.Type, "shardFilter.type", true, "AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP")
		v.text(f.ShardId, "shardFilter.shardId", false, 1, 128, namePattern)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	token := shardsToken{After: -1, Filter: in.ShardFilter}
	switch {
	case in.NextToken != nil && (in.StreamName != nil || in.StreamARN != nil):
		return nil, invalidArgument("NextToken and StreamName cannot be provided together.")
	case in.NextToken != nil && (in.ExclusiveStartShardId != nil || in.StreamCreationTimestamp != nil || in.ShardFilter != nil):
		return nil, invalidArgument("NextToken cannot be provided together with ExclusiveStartShardId, StreamCreationTimestamp or ShardFilter.")
	case in.NextToken != nil:
		token = shardsToken{}
		if err := unsealJSON(shardsKind, *in.NextToken, &token); err != nil {
			return nil, err
		}
		if err := checkTokenAge(token.Issued, c.now); err != nil {
			return nil, err
		}
		in.StreamName = &token.Stream
	case in.StreamName == nil && in.StreamARN == nil:
		return nil, invalidArgument("Either NextToken or StreamName should be provided.")
	}
	st, err := s.find(in.streamRef, c.now)
	if err != nil {
		return nil, err
	}
	if in.ExclusiveStartShardId != nil {
		index, ok := parseShardName(*in.ExclusiveStartShardId)
		if !ok {
			return nil, invalidArgument("Invalid ExclusiveStartShardId %s.", *in.ExclusiveStartShardId)
		}
		token.After = int64(index)
	}
	if stale := in.NextToken != nil && token.Created != st.created; stale ||
		in.StreamCreationTimestamp != nil && int64(*in.StreamCreationTimestamp)/1000 != st.created/1000 {
		return nil, streamNotFound(st.name, s.cfg.Account)
	}
	limit := shardsPage
	if in.MaxResults != nil {
		limit = min(limit, int(*in.MaxResults))
	}
	return st.list(token, limit, c.now, s.cfg.Account)
}

// list answers one page.
func (st *stream) list(token shardsToken, limit int, now time.Time, account string) (any, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if status := st.status(now.UnixMilli()); status == creating || status == deleting {
		return nil, notActive(st.name, account, status)
	}
	keep, err := st.filter(token.Filter, now.UnixMilli())
	if err != nil {
		return nil, err
	}
	out := struct {
		Shards    []shardShape
		NextToken string `json:",omitempty"`
	}{Shards: []shardShape{}}
	last := token.After
	for _, sh := range st.listed(now.UnixMilli()) {
		if int64(sh.index) <= token.After || !keep(sh) {
			continue
		}
		if len(out.Shards) == limit {
			out.NextToken = sealJSON(shardsKind, shardsToken{st.name, st.created, last, token.Filter, now.UnixMilli()})
			break
		}
		out.Shards = append(out.Shards, sh.shape())
		last = int64(sh.index)
	}
	return out, nil
}

// filter turns ShardFilter into a predicate; the caller holds mu. The horizon
// is never before the stream's creation, and a time before it is the horizon
// (API reference, ShardFilter).
func (st *stream) filter(f *shardFilter, now int64) (func(*shard) bool, error) {
	if f == nil {
		return func(*shard) bool { return true }, nil
	}
	kind, horizon := *f.Type, max(st.horizon(now), st.created)
	if (f.ShardId != nil) != (kind == "AFTER_SHARD_ID") {
		return nil, invalidArgument("ShardFilter of type %s and ShardId do not go together.", kind)
	}
	timed := kind == "AT_TIMESTAMP" || kind == "FROM_TIMESTAMP"
	if (f.Timestamp != nil) != timed {
		return nil, invalidArgument("ShardFilter of type %s and Timestamp do not go together.", kind)
	}
	at := horizon
	if timed {
		if int64(*f.Timestamp) > now {
			return nil, invalidArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d", *f.Timestamp, now)
		}
		at = max(horizon, int64(*f.Timestamp))
	}
	switch kind {
	case "AFTER_SHARD_ID":
		after, ok := parseShardName(*f.ShardId)
		if !ok {
			return nil, invalidArgument("Invalid ShardId %s in ShardFilter.", *f.ShardId)
		}
		return func(sh *shard) bool { return sh.index > after }, nil
	case "AT_LATEST":
		return (*shard).open, nil
	case "AT_TRIM_HORIZON", "AT_TIMESTAMP":
		return func(sh *shard) bool { return sh.openAt(at) }, nil
	case "FROM_TIMESTAMP":
		return func(sh *shard) bool { return sh.open() || sh.closed >= at }, nil
	}
	return func(*shard) bool { return true }, nil // FROM_TRIM_HORIZON: all that are listed
}
