package harness

import (
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// Moments yields n random waits up to longest, from a seed that is printed
// and can be given again in STANDPIPE_E2E_SEED. A third of them are short, a
// tenth of the rest: the first moments of a start, when it recovers, deserve
// more than their share.
func Moments(t testing.TB, n int, longest time.Duration) []time.Duration {
	t.Helper()
	seed := randomSeed(t)
	if s := os.Getenv("STANDPIPE_E2E_SEED"); s != "" {
		if _, err := fmt.Sscanf(s, "%d", &seed); err != nil {
			t.Fatalf("STANDPIPE_E2E_SEED=%q is not a number: %v", s, err)
		}
	}
	t.Logf("random moments: STANDPIPE_E2E_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	moments := make([]time.Duration, n)
	for i := range moments {
		limit := longest
		if random.IntN(3) == 0 {
			limit /= 10
		}
		moments[i] = time.Duration(random.Int64N(int64(limit)))
	}
	return moments
}

func randomSeed(t testing.TB) uint64 {
	t.Helper()
	var b [8]byte
	if _, err := crand.Read(b[:]); err != nil {
		t.Fatalf("draw a seed: %v", err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

// KillAt starts the process, kills it after each of the moments and starts it
// again; a process that ends before it is killed is an error, because nothing
// but kill -9 was done to it. after, called with the number of kills so far,
// looks at what the dead one left.
func KillAt(t testing.TB, moments []time.Duration, start func() *Process, after func(kills int) error) error {
	t.Helper()
	for i, wait := range moments {
		p := start()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			p.Crash()
		case <-p.Done():
			timer.Stop()
			return fmt.Errorf("start %d of %d ended by itself with exit code %d:\n%s", i+1, len(moments), p.ExitCode(), p.Output())
		}
		if err := after(i + 1); err != nil {
			return fmt.Errorf("after kill %d of %d, %v into its life: %w", i+1, len(moments), wait, err)
		}
	}
	return nil
}
