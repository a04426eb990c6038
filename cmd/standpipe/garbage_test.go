package main

import (
	"context"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
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
	} {
		if got := gcPercent(c.live, c.traced); got != c.want {
			t.Errorf("%d MiB, %d of them traced: %d %%, want %d", c.live/mb, c.traced/mb, got, c.want)
		}
	}
}

func TestBlocksOfOpenObjectsLeaveNoRoomForAsMuchGarbage(t *testing.T) {
	t.Setenv("GOGC", "")
	blocks := make([][]byte, 2000)
	for n := range blocks {
		blocks[n] = make([]byte, 64<<10)
	}
	runtime.GC()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { saveMemory(ctx); close(ended) }()
	read := func() (goal, percent uint64) {
		s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64(), s[1].Value.Uint64()
	}
	deadline := time.Now().Add(10 * time.Second)
	for goal, percent := read(); ; goal, percent = read() {
		live, traced := heap()
		if most := live + max(traced, garbageFloor) + 16<<20; percent < 100 && goal <= most {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("GOGC is %d, the heap may grow to %d bytes, want %d", percent, goal, most)
		}
		time.Sleep(time.Millisecond)
	}
	runtime.KeepAlive(blocks)
	stop()
	<-ended
	if _, percent := read(); percent != 100 {
		t.Errorf("GOGC is left at %d", percent)
	}
}
