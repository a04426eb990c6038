package kinesis

//lint:file-ignore ST1003 members bear the API's names, which are their JSON

import (
	"sync"
	"time"
)

// shardLimitDefault is a new account's quota in the largest regions (developer
// guide, "Quotas and limits").
const shardLimitDefault = 20000

// commitmentLife is how long a billing commitment can't be ended (API
// reference, UpdateAccountSettings).
const commitmentLife = 24 * time.Hour

// An account holds what belongs to no stream. It is forgotten at the end.
type account struct {
	mu      sync.Mutex
	started int64 // ms of the billing commitment; 0 before the first
	ended   int64 // ms; 0 while it runs
}

// openShards counts the open shards of all streams and the on-demand streams;
// the caller holds no stream's lock.
func (s *Server) openShards(now time.Time) (shards, onDemand int) {
	for _, st := range s.all(now) {
		st.mu.RLock()
		shards += len(st.routes)
		if st.set.OnDemand {
			onDemand++
		}
		st.mu.RUnlock()
	}
	return shards, onDemand
}

// room refuses what would make more open shards than the account may have.
func (s *Server) room(more int, now time.Time) error {
	n, _ := s.openShards(now)
	if n+more <= s.cfg.ShardLimit {
		return nil
	}
	return limitExceeded("This request would exceed the shard limit for the account %s in %s. Current shard count for the account: %d. Limit: %d. Number of additional shards that would have resulted from this request: %d. Refer to the AWS Service Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.",
		s.cfg.Account, s.cfg.Region, n, s.cfg.ShardLimit, more)
}

func (s *Server) describeLimits(c *call) (any, error) {
	var in struct{}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	shards, onDemand := s.openShards(c.now)
	return struct {
		ShardLimit               int
		OpenShardCount           int
		OnDemandStreamCount      int
		OnDemandStreamCountLimit int
	}{s.cfg.ShardLimit, shards, onDemand, s.cfg.ShardLimit / onDemandParts}, nil
}

type commitment struct {
	Status               string
	StartedAt            *instant `json:",omitempty"`
	EndedAt              *instant `json:",omitempty"`
	EarliestAllowedEndAt *instant `json:",omitempty"`
}

type accountSettings struct{ MinimumThroughputBillingCommitment commitment }

// settings is what there is of them; the caller holds mu.
func (a *account) settings() accountSettings {
	if a.started == 0 {
		return accountSettings{commitment{Status: "DISABLED"}}
	}
	at := func(ms int64) *instant { t := instant(ms); return &t }
	if a.ended != 0 {
		return accountSettings{commitment{Status: "DISABLED", StartedAt: at(a.started), EndedAt: at(a.ended)}}
	}
	return accountSettings{commitment{Status: "ENABLED", StartedAt: at(a.started), EarliestAllowedEndAt: at(a.started + commitmentLife.Milliseconds())}}
}

func (s *Server) describeAccountSettings(c *call) (any, error) {
	var in struct{}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	s.account.mu.Lock()
	defer s.account.mu.Unlock()
	return s.account.settings(), nil
}

func (s *Server) updateAccountSettings(c *call) (any, error) {
	var in struct {
		MinimumThroughputBillingCommitment *struct{ Status *string }
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	var v violations
	if m := in.MinimumThroughputBillingCommitment; m == nil {
		v.add(nil, "minimumThroughputBillingCommitment", "not be null")
	} else {
		v.enum(m.Status, "minimumThroughputBillingCommitment.status", true, "ENABLED", "DISABLED")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	a := &s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	running := a.started != 0 && a.ended == 0
	switch enable := *in.MinimumThroughputBillingCommitment.Status == "ENABLED"; {
	case enable && !running:
		a.started, a.ended = c.now.UnixMilli(), 0
	case !enable && running:
		a.ended = c.now.UnixMilli()
	}
	return a.settings(), nil
}
