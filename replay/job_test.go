package replay_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/replay"
)

var question = replay.Spec{Stream: "arn of 2026", Archive: "s3://lake", Asked: "from 24h"}

// plan is what a chain of n manifests of each of two shards becomes.
func plan(t *testing.T, n, size int) []replay.Slice {
	t.Helper()
	var keys []string
	for shard := range 2 {
		for k := range n {
			keys = append(keys, fmt.Sprintf("_standpipe/commits/orders-0123456789abcdef/%s/%012d.json", shardName(shard), k+1))
		}
	}
	var all []replay.Slice
	_, err := replay.Plan(t.Context(), nil, replay.Range{Manifests: keys}, size, func(s replay.Slice) error {
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func openJobs(t *testing.T) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestThePlanIsBoundedByItsSlicesNotItsManifests(t *testing.T) {
	_, all, err := question.Restoration("j", plan(t, 50_000, 100), now)
	if err != nil || len(all) != 1000 {
		t.Fatalf("%d slices, %v", len(all), err)
	}
	size := 0
	for _, s := range all {
		size += len(s.Spec) + len(s.Name) + 300 // the struct itself
	}
	if per := size / 100; per > 6<<10 { // for a thousand manifests
		t.Errorf("%d bytes for 1,000 manifests", per)
	}
	if _, _, err := question.Restoration("j", plan(t, 5_001, 1), now); err == nil {
		t.Error("a plan without bounds")
	}
}

func TestSlicesOfAJobTakeTurnsByShard(t *testing.T) {
	_, all, err := question.Restoration("j", plan(t, 300, 100), now)
	if err != nil {
		t.Fatal(err)
	}
	var shards []standpipe.ShardID
	for n, s := range all {
		var one replay.Slice
		if err := json.Unmarshal(s.Spec, &one); err != nil || s.Number != n || one.Len() != 100 {
			t.Errorf("slice %+v: %v", s, err)
		}
		shards = append(shards, one.Shard())
	}
	if a, b := shardName(0), shardName(1); !slices.Equal(shards, []standpipe.ShardID{a, b, a, b, a, b}) {
		t.Errorf("%v", shards)
	}
}

// end finishes every slice of a job.
func end(t *testing.T, store jobs.Store, id string) {
	t.Helper()
	all, err := store.Slices(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if _, err := store.Put(t.Context(), s.Claim("w", "t").Finish(nil)); err != nil {
			t.Fatal(err)
		}
	}
}

// An unfinished restore is gone on with, whenever it is asked for again; one
// that has ended is followed by a new one, for objects can be lost twice.
func TestARestoreGoesOnUntilItHasEndedAndThenBeginsAnew(t *testing.T) {
	store := openJobs(t)
	begin := func(want string) string {
		t.Helper()
		_, found, next, err := question.Ongoing(t.Context(), store)
		if err != nil || found || next != question.Family()+want {
			t.Fatalf("found %v, next %s, %v", found, next, err)
		}
		j, all, err := question.Restoration(next, plan(t, 3, 2), now)
		if err == nil {
			err = store.Create(t.Context(), j, all)
		}
		if err != nil {
			t.Fatal(err)
		}
		later := question
		later.From = replay.Point{Time: now.Add(time.Hour)}
		if j, found, _, err := later.Ongoing(t.Context(), store); err != nil || !found || j.ID != next {
			t.Fatalf("the job is not found again: %v, %v", found, err)
		}
		return next
	}
	first := begin("1")
	for name, change := range map[string]func(*replay.Spec){
		"words":   func(s *replay.Spec) { s.Asked = "from 25h" },
		"shards":  func(s *replay.Spec) { s.Shards = []standpipe.ShardID{shardName(0)} },
		"deep":    func(s *replay.Spec) { s.Deep = true },
		"replace": func(s *replay.Spec) { s.Replace = true },
		"stream":  func(s *replay.Spec) { s.Stream += " anew" },
		"archive": func(s *replay.Spec) { s.Archive += "2" },
	} {
		other := question
		change(&other)
		if _, found, _, err := other.Ongoing(t.Context(), store); err != nil || found || other.Asks(question) {
			t.Errorf("other %s: found %v, %v", name, found, err)
		}
	}
	end(t, store, first)
	second := begin("2")
	if _, err := jobs.Cancel(t.Context(), store, second); err != nil {
		t.Fatal(err)
	}
	begin("3")
	if err := store.Delete(t.Context(), first); err != nil { // numbers are never given out twice
		t.Fatal(err)
	}
	end(t, store, question.Family()+"3")
	begin("4")
}

func TestAPrefixHasOneJobWhateverIsAsked(t *testing.T) {
	into := question
	into.Prefix = "again/"
	other := into
	other.Asked, other.Deep = "from 1h", true
	if into.DeliverID() != other.DeliverID() || into.Asks(other) {
		t.Errorf("%s, %s", into.DeliverID(), other.DeliverID())
	}
	r := replay.ShardRange{Shard: standpipe.Shard{ID: shardName(3)}, From: consumer.Start{Position: standpipe.Position{Sequence: "7"}, At: true}}
	j, all, err := into.Delivery([]replay.ShardRange{r}, now)
	if err != nil || j.ID != into.DeliverID() || len(all) != 1 || all[0].Name != string(shardName(3)) {
		t.Fatalf("%+v %+v %v", j, all, err)
	}
	var back replay.ShardRange
	if err := json.Unmarshal(all[0].Spec, &back); err != nil || back.From != r.From || back.Shard.ID != r.Shard.ID {
		t.Errorf("%+v, %v", back, err)
	}
	if spec, err := replay.SpecOf(j); err != nil || !spec.Asks(into) {
		t.Errorf("%+v, %v", spec, err)
	}
}
