package main

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func TestGarbageIsInProportionToWhatACollectionTraces(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		live, traced uint64
		want         int
	}{
		{0, 0, 100},
		{10 * mb, 5 * mb, 100},
		{96 * mb, 6 * mb, 25},
		{240 * mb, 12 * mb, 10},
		{240 * mb, 60 * mb, 25},
		{50 * mb, 45 * mb, 90},
		{20 * mb, 30 * mb, 100}, // the two are not of one moment
		{16 << 30, 60 * mb, 1},  // at 0 the collector would never pause
	} {
		if got := gcPercent(c.live, c.traced); got != c.want {
			t.Errorf("%d MiB, %d of them traced: %d %%, want %d", c.live/mb, c.traced/mb, got, c.want)
		}
	}
}

func TestBlocksOfOpenObjectsLeaveNoRoomForAsMuchGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	blocks := make([][]byte, 2000)
	for n := range blocks {
		blocks[n] = make([]byte, 64<<10)
	}
	runtime.GC()
	percent := allowGarbage(100)
	live, traced := heap()
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	// Stacks and globals count for the goal, too.
	if most := live + max(traced, garbageFloor) + 16<<20; percent >= 100 || goal[0].Value.Uint64() > most {
		t.Errorf("GOGC is %d, the heap may grow to %d bytes, want %d", percent, goal[0].Value.Uint64(), most)
	}
	runtime.KeepAlive(blocks)
}

func TestTheCollectorIsLeftAsItWas(t *testing.T) {
	for _, env := range []string{"", "80"} {
		t.Setenv("GOGC", env)
		before := debug.SetGCPercent(77)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		saveMemory(ctx)
		if now := debug.SetGCPercent(before); now != 77 {
			t.Errorf("GOGC=%s in the environment: left at %d", env, now)
		}
	}
}
