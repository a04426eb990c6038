package delivery

import (
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

func leaseOf(owner string, epoch, flush int64, at string, pending string) checkpoint.Lease {
	l := checkpoint.Lease{Owner: owner, Epoch: epoch, Flush: flush, Checkpoint: standpipe.Position{Sequence: at}}
	if pending != "" {
		l.Pending = &checkpoint.Pending{State: []byte(pending)}
	}
	return l
}

func TestAnUnknownPrepareIsJudgedByOwnerEpochAndTheWholeIntent(t *testing.T) {
	mine := leaseOf("me", 3, 7, "100", "")
	for name, c := range map[string]struct {
		row  checkpoint.Lease
		want answer
	}{
		"ours is there":                       {leaseOf("me", 3, 8, "100", "ours"), applied},
		"not there yet":                       {leaseOf("me", 3, 7, "100", ""), notApplied},
		"another intent of our name":          {leaseOf("me", 3, 8, "100", "other"), lost},
		"another owner":                       {leaseOf("you", 3, 7, "100", ""), lost},
		"another owner with our very intent":  {leaseOf("you", 3, 8, "100", "ours"), lost},
		"our name in a later epoch":           {leaseOf("me", 4, 7, "100", ""), lost},
		"our intent in a later epoch":         {leaseOf("me", 4, 8, "100", "ours"), lost},
		"burnt: prepared and rolled back":     {leaseOf("me", 3, 8, "100", ""), lost},
		"the checkpoint moved under us":       {leaseOf("me", 3, 7, "200", ""), lost},
		"prepared and committed, not by us":   {leaseOf("me", 3, 8, "200", ""), lost},
		"nobody owns it: an operator's touch": {leaseOf("", 3, 7, "100", ""), lost},
	} {
		if got := judgePrepare(c.row, mine, []byte("ours")); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAnUnknownCommitIsJudgedByWhatItLeadsTo(t *testing.T) {
	mine := leaseOf("me", 3, 8, "100", "ours")
	done := func(l checkpoint.Lease) bool { return l.Pending == nil && l.Checkpoint.Sequence == "200" }
	for name, c := range map[string]struct {
		row  checkpoint.Lease
		want answer
	}{
		"committed":           {leaseOf("me", 3, 8, "200", ""), applied},
		"not yet":             {leaseOf("me", 3, 8, "100", "ours"), notApplied},
		"another owner's":     {leaseOf("you", 4, 8, "200", ""), lost},
		"our name, new epoch": {leaseOf("me", 4, 8, "100", "ours"), lost},
		"rolled back instead": {leaseOf("me", 3, 8, "100", ""), lost},
		"repaired instead":    {leaseOf("me", 3, 8, "100", "repaired"), lost},
	} {
		if got := judgeSettled(c.row, mine, done); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestAFlushIsRolledBackOnlyWhenNothingOfItIsVisible(t *testing.T) {
	for _, c := range []struct {
		fates []fate
		want  verdict
	}{
		{[]fate{visible}, commit},
		{[]fate{visible, visible, visible}, commit},
		{[]fate{dead}, rollback},
		{[]fate{dead, dead}, rollback},
		{[]fate{visible, dead}, repair},
		{[]fate{dead, dead, visible}, repair},
	} {
		if got := judgeFates(c.fates); got != c.want {
			t.Errorf("%v: %d, want %d", c.fates, got, c.want)
		}
	}
}

func TestAbsenceIsJudgedByAgeThenByPolicy(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for _, c := range []struct {
		policy Absence
		age    time.Duration
		want   fate
		ok     bool
	}{
		{Absence{week, Halt}, week - 1, visible, false},
		{Absence{week, Halt}, week, dead, true}, // the bucket's rule has aborted it
		{Absence{week, ""}, time.Hour, visible, false},
		{Absence{week, AssumePublished}, time.Hour, visible, true},
		{Absence{week, AssumePublished}, week, dead, true},
		{Absence{week, Republish}, 0, dead, true},
		// Without a rule nothing is aborted by age: only the policy can tell.
		{Absence{0, Halt}, 10 * week, visible, false},
		{Absence{0, AssumePublished}, 10 * week, visible, true},
		{Absence{}, 0, visible, false},
	} {
		got, ok := c.policy.judge(c.age)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%+v at age %v: %d, %v, want %d, %v", c.policy, c.age, got, ok, c.want, c.ok)
		}
	}
}
