package harness

import (
	"testing"
	"time"
)

func TestTheSameSeedGivesTheSameSchedule(t *testing.T) {
	a, b := Schedule(7, 3, 3*time.Minute, 5*time.Second), Schedule(7, 3, 3*time.Minute, 5*time.Second)
	if Describe(a) != Describe(b) {
		t.Fatalf("%s\n%s", Describe(a), Describe(b))
	}
	if Describe(a) == Describe(Schedule(8, 3, 3*time.Minute, 5*time.Second)) {
		t.Fatal("another seed gave the same schedule")
	}
}

// Three minutes of three workers are enough for the whole deck, whatever the
// seed: a kind of fault that no short run meets is not tested.
func TestAShortScheduleHasEveryKindOfAct(t *testing.T) {
	const lease = 5 * time.Second
	for seed := range uint64(200) {
		kinds, faults := map[string]int{}, map[string]int{}
		for _, list := range Schedule(seed, 3, 3*time.Minute, lease) {
			var at time.Duration
			for _, act := range list {
				kinds[act.Kind]++
				if act.Kind == KindFault {
					faults[act.name+" on "+act.Link]++
				}
				if act.Kind == KindPause && act.Lasts <= lease {
					t.Fatalf("seed %d: a pause of %v does not outlast a lease", seed, act.Lasts)
				}
				at += act.Calm + act.Lasts
			}
			if at > 3*time.Minute {
				t.Fatalf("seed %d: the acts of a worker last %v", seed, at)
			}
		}
		for _, kind := range []string{KindKill, KindKillAt, KindPause, KindTerm} {
			if kinds[kind] == 0 {
				t.Errorf("seed %d: no %s", seed, kind)
			}
		}
		if len(faults) < 12 {
			t.Errorf("seed %d: only %d of 14 faults: %v", seed, len(faults), faults)
		}
	}
}
