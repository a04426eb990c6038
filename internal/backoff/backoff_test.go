package backoff_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/standpipe/standpipe/internal/backoff"
)

func TestDelaysGrowStayBoundedAndRepeatWithTheSeed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := backoff.Policy{Min: time.Duration(rapid.Int64Range(1, 1e9).Draw(t, "min"))}
		p.Max = p.Min * time.Duration(rapid.Int64Range(1, 1000).Draw(t, "factor"))
		seed, n := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 1000).Draw(t, "failures")
		d := p.Delay(n, rand.New(rand.NewPCG(seed, 1)))
		if d != p.Delay(n, rand.New(rand.NewPCG(seed, 1))) {
			t.Fatal("the same seed gave another delay")
		}
		if d < p.Min/2 || d > p.Max {
			t.Fatalf("delay %v after %d failures is outside %v to %v", d, n, p.Min/2, p.Max)
		}
		if n > 20 && d < p.Max/2 {
			t.Fatalf("delay %v after %d failures has not grown to %v", d, n, p.Max)
		}
	})
}

func TestSleepEndsWithItsContextAndTellsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("lease lost")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		begun := time.Now()
		if err := backoff.Sleep(ctx, time.Hour); !errors.Is(err, cause) {
			t.Fatalf("got %v, want the cause", err)
		}
		if waited := time.Since(begun); waited != time.Second {
			t.Fatalf("slept %v after the context had ended", waited-time.Second)
		}
		if err := backoff.Sleep(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSeedsDiffer(t *testing.T) {
	if a, b := backoff.Seed(), backoff.Seed(); a == b {
		t.Errorf("two seeds are %d", a)
	}
}
