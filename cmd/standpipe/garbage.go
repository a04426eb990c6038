package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbageFloor is how many bytes of garbage may gather before a collection,
	// however little it has to trace. Pools lose what they hold with each one.
	garbageFloor = 24 << 20
	// garbageEvery is how often the heap is looked at.
	garbageEvery = time.Second
)

// gcPercent is GOGC for a heap of live bytes, of which traced may hold pointers.
// Go's own 100 lets as much garbage gather as there are live bytes, because a
// collection costs what it traces. Here most of the heap is blocks of open
// objects, in which there is nothing to trace: as much garbage as that is room
// for nothing. It is never 0, with which one collection follows the other.
func gcPercent(live, traced uint64) int {
	return int(min(max(100*max(traced, garbageFloor)/max(live, 1), 1), 100))
}

// saveMemory keeps garbage in proportion to the work of collecting it, until ctx
// ends. GOGC in the environment wins.
func saveMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	tick := time.NewTicker(garbageEvery)
	defer tick.Stop()
	for percent := 100; ; {
		percent = allowGarbage(percent)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// allowGarbage sets GOGC, which is at percent, by what the last collection left.
func allowGarbage(percent int) int {
	next := gcPercent(heap())
	if next != percent {
		debug.SetGCPercent(next)
	}
	return next
}

// heap is what the last collection left, and how much of it is traced.
func heap() (live, traced uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}
