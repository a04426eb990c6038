package jobs

import (
	"testing"
	"time"
)

func TestWhatStandsStillIsDispatchedAndWhatMovesIsNot(t *testing.T) {
	const claim = 10 * time.Second
	start := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	s := Slice{Job: "j", State: Waiting, Revision: 1}
	claimed := s.Claim("w", "t")
	claimed.Revision = 2
	moved := claimed
	moved.Revision = 3
	resting := moved.Retry("no", 5*time.Second)
	resting.Revision = 4
	done := resting.Finish(nil)

	o := newObserver(claim)
	for _, step := range []struct {
		after time.Duration
		slice Slice
		due   bool
		why   string
	}{
		{0, s, true, "it waits"},
		{time.Second, s, false, "it was just dispatched"},
		{claim, s, true, "the message may be lost"},
		{claim, claimed, false, "somebody has just claimed it"},
		{2 * claim, moved, false, "its worker lives"},
		{3*claim - time.Second, moved, false, "not yet a whole timeout"},
		{3 * claim, moved, true, "it stood still for the timeout"},
		{3 * claim, resting, false, "it rests from its failure"},
		{3*claim + 5*time.Second, resting, true, "it has rested"},
		{9 * claim, done, false, "nothing is left to do"},
	} {
		due := o.due("j", []Slice{step.slice}, false, start.Add(step.after))
		if (len(due) == 1) != step.due {
			t.Errorf("after %s: dispatched %v, because %s", step.after, due, step.why)
		}
	}
	if len(o.seen["j"]) != 0 {
		t.Error("a finished slice is still remembered")
	}
	o.forget(nil)
	if len(o.seen) != 0 {
		t.Error("a finished job is still remembered")
	}
}

// 500 slices and one worker for hours: the messages must not pile up.
func TestAFullQueueIsNotFilledFurther(t *testing.T) {
	const claim = 10 * time.Second
	start := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	s := []Slice{{Job: "j", State: Waiting, Revision: 1}}
	o := newObserver(claim)
	dispatched := 0
	for after := time.Duration(0); after < time.Hour; after += time.Second {
		dispatched += len(o.due("j", s, true, start.Add(after)))
	}
	if want := int(time.Hour / (20 * claim)); dispatched != want {
		t.Errorf("%d messages in an hour, want %d: seldom, but never none", dispatched, want)
	}
	if due := o.due("j", s, false, start.Add(time.Hour)); len(due) != 1 {
		t.Error("an emptied queue is not filled again at once")
	}
}
