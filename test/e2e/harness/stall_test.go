package harness

import (
	"testing"
	"time"
)

func TestOnlyStallsWithinTheTimeCount(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	second := func(n float64) time.Time { return at.Add(time.Duration(n * float64(time.Second))) }
	var s Stall
	s.note(span{second(1), second(3)})
	s.note(span{second(5), second(6)})
	s.note(span{second(7), second(7).Add(stallTick - 1)}) // what a timer is late by
	for _, c := range []struct{ from, to, want float64 }{
		{0, 10, 3}, {0, 1, 0}, {2, 10, 2}, {0, 2.5, 1.5}, {2, 2.5, 0.5}, {3, 5, 0}, {6, 10, 0},
	} {
		if got := s.Within(second(c.from), second(c.to)).Seconds(); got != c.want {
			t.Errorf("between %v and %v: %v s, want %v", c.from, c.to, got, c.want)
		}
	}
}

func TestAMeasureThatEndedMayBeEndedAgain(t *testing.T) {
	s := NewStall()
	s.Stop()
	s.Stop()
}
