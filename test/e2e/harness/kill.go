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

// A Moment is when to kill: after Wait, or, if Write is not 0, by the Write-th
// writing request to S3, before the server saw it or, Answered, after it did
// what was asked; Wait and a second on top is then the limit.
type Moment struct {
	Wait     time.Duration
	Write    int
	Answered bool
}

// Moments yields n random moments up to longest, from a seed that is printed
// and can be given again in STANDPIPE_E2E_SEED. Every second one waits for a
// writing request. A third are short, a tenth of the rest: the first moments
// of a start, when it recovers, deserve more than their share.
func Moments(t testing.TB, n int, longest time.Duration) []Moment {
	t.Helper()
	random := rand.New(rand.NewPCG(Seed(t), 0))
	moments := make([]Moment, n)
	for i := range moments {
		limit := longest
		if random.IntN(3) == 0 {
			limit /= 10
		}
		moments[i].Wait = time.Duration(random.Int64N(int64(limit)))
		if i%2 == 1 {
			moments[i].Write, moments[i].Answered = 1+random.IntN(12), random.IntN(2) == 0
		}
	}
	return moments
}

// Seed is the one in STANDPIPE_E2E_SEED, or a new one; it is printed.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := randomSeed(t)
	if s := os.Getenv("STANDPIPE_E2E_SEED"); s != "" {
		if _, err := fmt.Sscanf(s, "%d", &seed); err != nil {
			t.Fatalf("STANDPIPE_E2E_SEED=%q is not a number: %v", s, err)
		}
	}
	t.Logf("random moments: STANDPIPE_E2E_SEED=%d", seed)
	return seed
}

func randomSeed(t testing.TB) uint64 {
	t.Helper()
	var b [8]byte
	if _, err := crand.Read(b[:]); err != nil {
		t.Fatalf("draw a seed: %v", err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

// KillAt starts the process, kills it at each of the moments and starts it
// again; a process that ends before it is killed is an error, because nothing
// but kill -9 was done to it. after, called with the number of kills so far,
// looks at what the dead one left. Without a wire every moment is one of time.
func KillAt(t testing.TB, wire *Tripwire, moments []Moment, start func() *Process, after func(kills int) error) error {
	t.Helper()
	byWrite := 0
	for i, m := range moments {
		var tripped <-chan struct{}
		if wire != nil {
			tripped = wire.Arm(m.Write, m.Answered)
			if m.Write > 0 {
				m.Wait += time.Second
			}
		}
		p := start()
		timer := time.NewTimer(m.Wait)
		select {
		case <-timer.C:
		case <-tripped:
			byWrite++
		case <-p.Done():
			return fmt.Errorf("start %d of %d ended by itself with exit code %d:\n%s", i+1, len(moments), p.ExitCode(), p.Output())
		}
		timer.Stop()
		p.Crash()
		if wire != nil {
			wire.Arm(0, false)
		}
		if err := after(i + 1); err != nil {
			return fmt.Errorf("after kill %d of %d, %+v: %w", i+1, len(moments), m, err)
		}
	}
	t.Logf("%d kills, %d of them in the middle of a writing request", len(moments), byWrite)
	return nil
}
