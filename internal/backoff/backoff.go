// Package backoff says how long to wait before trying again.
//
// It promises waits that grow, are spread by a seeded source that its caller
// owns (so that a simulation repeats), and end when the context does.
package backoff

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"time"
)

// A Policy bounds the waits. The first is about Min; each further one doubles
// up to Max. Every wait is drawn from the upper half of its bound, so many
// callers that failed together do not return together.
type Policy struct {
	Min, Max time.Duration
}

// Delay is the wait after the given number of failures, counted from 1.
func (p Policy) Delay(failures int, r *mathrand.Rand) time.Duration {
	d := p.Max
	if shift := failures - 1; shift < 32 && p.Min<<shift > 0 && p.Min<<shift < p.Max {
		d = p.Min << shift
	}
	half := d / 2
	return half + time.Duration(r.Int64N(int64(half)+1))
}

// Sleep waits for d. It returns early, with the cause, when ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Seed is for a source whose owner was given no seed. It is drawn from the
// operating system: workers that start together must not wait alike.
func Seed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return binary.LittleEndian.Uint64(b[:])
}
