package delivery

import (
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// openShards lists the stream's open shards with their hash ranges, in the order of those.
func (r *rig) openShards() (open []standpipe.Shard) {
	r.t.Helper()
	for token := any(nil); ; {
		in := map[string]any{"StreamName": streamName}
		if token != nil {
			in = map[string]any{"NextToken": token}
		}
		out := r.call("ListShards", in)
		for _, s := range out["Shards"].([]any) {
			m := s.(map[string]any)
			if m["SequenceNumberRange"].(map[string]any)["EndingSequenceNumber"] != nil {
				continue
			}
			hash := m["HashKeyRange"].(map[string]any)
			open = append(open, standpipe.Shard{
				ID: standpipe.ShardID(m["ShardId"].(string)), HashStart: hash["StartingHashKey"].(string), HashEnd: hash["EndingHashKey"].(string),
			})
		}
		if token = out["NextToken"]; token == nil {
			return open
		}
	}
}

// double splits every open shard in the middle, as an on-demand stream does it.
func (r *rig) double() {
	r.t.Helper()
	for _, s := range r.openShards() {
		from, _ := new(big.Int).SetString(s.HashStart, 10)
		to, _ := new(big.Int).SetString(s.HashEnd, 10)
		middle := new(big.Int).Add(from, to)
		middle.Add(middle, big.NewInt(1)).Rsh(middle, 1)
		r.split(string(s.ID), middle.String())
	}
}

// halve merges open shards in pairs.
func (r *rig) halve() {
	r.t.Helper()
	byStart := map[string]standpipe.Shard{}
	var first standpipe.Shard
	for _, s := range r.openShards() {
		byStart[s.HashStart] = s
		if s.HashStart == "0" {
			first = s
		}
	}
	next := func(s standpipe.Shard) (standpipe.Shard, bool) {
		end, _ := new(big.Int).SetString(s.HashEnd, 10)
		n, ok := byStart[end.Add(end, big.NewInt(1)).String()]
		return n, ok
	}
	for a, ok := first, true; ok; {
		b, pair := next(a)
		if !pair {
			return
		}
		r.merge(string(a.ID), string(b.ID))
		a, ok = next(b)
	}
}

func TestMergeStormsAndDoublingsUnderLoadInAFleetThatChangesLoseAndDoubleNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &order{}
		r := newRig(t, 16, shared, func(r *rig) {
			r.settings.Limits.Age = 3 * time.Second
			r.store = watched{r.store, seen}
		})
		nodes := []*node{r.start(), r.start(), r.start()}
		n := 0
		load := func() {
			for range 4 {
				r.events(n, n+40)
				n += 40
				time.Sleep(500 * time.Millisecond)
			}
		}
		for _, step := range []func(){
			r.double, // 32
			func() { nodes[0].crash(); nodes[0] = r.start() },
			r.halve, // 16
			r.halve, // 8
			func() { old := nodes[1]; nodes[1] = r.start(); load(); _ = old.end() },
			r.double,                      // 16
			func() { load(); r.double() }, // 32
			func() { nodes = append(nodes, r.start()) },
			r.halve,
		} {
			load()
			step()
			load()
		}
		r.delivered()
		r.until("only open shards are left", func() bool {
			left := 0
			for _, l := range r.leases() {
				if !l.Checkpoint.AtEnd() {
					left++
				}
			}
			return left == 16
		})
		r.until("balanced", func() bool { return r.balanced(nodes...) })
		for _, p := range nodes {
			if err := p.end(); err != nil {
				t.Error(err)
			}
		}
		r.verify()
		seen.parentsEndFirst(t, r.leases())
	})
}

// parentsEndFirst demands of every shard that all its parents had ended before
// it was taken for the first time.
func (o *order) parentsEndFirst(t *testing.T, leases []checkpoint.Lease) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	at := map[string]int{}
	for n, e := range o.events {
		if _, ok := at[e]; !ok {
			at[e] = n
		}
	}
	// Only ends that were committed with a checkpoint are seen; a fleet's ends
	// all are.
	for _, l := range leases {
		took, ok := at["take "+string(l.Shard)]
		for _, p := range l.Parents {
			if end, ended := at["end "+string(p)]; ok && (!ended || took < end) {
				t.Errorf("%s was taken before %s had ended", l.Shard, p)
			}
		}
	}
}

func TestMoreShardsThanAPageOfTheListingHoldsAreSharedByAFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1200, shared)
		a, b := r.start(), r.start()
		begun := time.Now()
		r.until("balanced", func() bool { return r.balanced(a, b) && a.held()+b.held() == 1200 })
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("1200 shards were shared after %v", took)
		}
		_, _ = a.end(), b.end()
	})
}

func TestClosedShardsWithUnreadDataAreDrainedWhileAFleetIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, shared)
		r.events(0, 100)
		a, b := r.start(), r.start()
		r.delivered()
		_, _ = a.end(), b.end()
		r.events(100, 200) // nobody is there
		r.double()
		r.events(200, 300)
		r.halve()
		r.events(300, 400)
		a = r.start()
		b = r.start()
		time.Sleep(2 * time.Second)
		c := r.start()
		_ = a.end()
		r.events(400, 500)
		r.delivered()
		_, _ = b.end(), c.end()
		r.verify()
	})
}

func TestAFinishedShardsLeaseIsRemovedOnlyWhenNothingCanBeReadOrBegunAgain(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	end := standpipe.Position{Sequence: standpipe.ShardEnd}
	old := func() checkpoint.Lease {
		return checkpoint.Lease{Shard: "parent", Checkpoint: end, Seen: now.Add(-49 * time.Hour), Children: []standpipe.ShardID{"child"}}
	}
	child := checkpoint.Lease{Shard: "child", Checkpoint: standpipe.Position{Sequence: "7"}, Parents: []standpipe.ShardID{"parent"}}
	listing := []standpipe.Shard{{ID: "child", Parents: []standpipe.ShardID{"parent"}}}
	unbegun := child
	unbegun.Checkpoint.Sequence = standpipe.TrimHorizon
	for name, c := range map[string]struct {
		change func(*checkpoint.Lease)
		child  []checkpoint.Lease
		listed []standpipe.Shard
		want   int
	}{
		"nothing speaks for it":           {nil, []checkpoint.Lease{child}, listing, 1},
		"never a record":                  {func(l *checkpoint.Lease) { l.Seen = time.Time{} }, []checkpoint.Lease{child}, listing, 1},
		"not ended":                       {func(l *checkpoint.Lease) { l.Checkpoint = child.Checkpoint }, []checkpoint.Lease{child}, listing, 0},
		"still retained, by this clock":   {func(l *checkpoint.Lease) { l.Seen = now.Add(-47 * time.Hour) }, []checkpoint.Lease{child}, listing, 0},
		"still listed":                    {nil, []checkpoint.Lease{child}, append(listing, standpipe.Shard{ID: "parent"}), 0},
		"the child has not begun":         {nil, []checkpoint.Lease{unbegun}, listing, 0},
		"the child has no lease":          {nil, nil, listing, 0},
		"a child it never heard of":       {func(l *checkpoint.Lease) { l.Children = nil }, nil, listing, 0},
		"the child is gone too":           {nil, nil, []standpipe.Shard{{ID: "other"}}, 1},
		"an empty listing proves nothing": {nil, []checkpoint.Lease{child}, nil, 0},
		"a flush is prepared":             {func(l *checkpoint.Lease) { l.Pending = &checkpoint.Pending{} }, []checkpoint.Lease{child}, listing, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := old()
			if c.change != nil {
				c.change(&l)
			}
			if got := settled(c.listed, append(c.child, l), 24*time.Hour, now); len(got) != c.want {
				t.Errorf("removes %d, want %d", len(got), c.want)
			}
		})
	}
}

func TestReshardsEveryDayLeaveNoMoreLeasesThanTheRetentionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2, shared)
		n := 0
		for day := range 14 {
			a, b := r.start(), r.start()
			r.events(n, n+20)
			n += 20
			if day%2 == 0 {
				r.double()
			} else {
				r.halve()
			}
			r.events(n, n+20)
			n += 20
			time.Sleep(2 * time.Minute)
			if k := len(a.Status()); k > 16 {
				t.Errorf("%d shards in the status on day %d", k, day)
			}
			_, _ = a.end(), b.end()
			time.Sleep(24 * time.Hour) // in days of polling nothing more would be seen
		}
		if k := len(r.leases()); k > 16 {
			t.Errorf("%d leases after 14 reshards", k)
		}
		got := map[string]int{}
		for _, body := range r.data() {
			for line := range strings.Lines(string(body)) {
				got[strings.TrimSuffix(line, "\n")]++
			}
		}
		if diff := cmp.Diff(r.want, got); diff != "" {
			t.Errorf("lines (-put +visible):\n%s", diff)
		}
	})
}
