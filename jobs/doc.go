// Package jobs runs work that is larger than one process's life: a replay of a
// month, a comparison of two archives. A job is cut into slices; each slice is
// idempotent work of minutes.
//
// It promises that a slice which was planned is done, or is shown as failed,
// whatever dies in between: workers, the queue, or the messages in it. taskq
// dispatches; the Store is the record. A message says "slice 17 was at
// revision 4 when I looked", nothing more: losing it costs the time until the
// next look of the reconciler, a double one costs a claim that fails.
//
// The states of a slice:
//
//	          Claim                    Finish
//	waiting ──────────► running ───────────────► done
//	   ▲  ▲               │  │ │
//	   │  │    Retry      │  │ └── Fail: the handler said that repeating cannot
//	   │  └───────────────┘  │     help, or it was tried often enough ──► failed
//	   │                     │                                             │
//	   │                     └─ its revision stood still for ClaimTimeout: │
//	   │                        anybody may Claim it, with a new token     │
//	   └────────────────────────────── Resume ─────────────────────────────┘
//
// Every arrow is a pure function from one Slice to the next; the Store replaces
// a slice only if its revision is the one that was read. Whoever loses the race
// has not happened. A running slice is kept alive by moving its revision every
// few seconds; whether it stands still is judged on the observer's own clock,
// so clocks of machines are never compared.
//
// What a handler does may happen more than once: it was done, and its worker
// died before saying so. So a handler's effects have to be idempotent (replay
// writes each object once, a comparison's result replaces itself).
package jobs
