// Package delivery carries records from shards to objects, each record into
// exactly one visible object.
//
// A record's journey is one straight line, and every step of it is a function
// of shard in shard.go:
//
//	reserve → fetch → decode → split → route → batch → encode → stage → prepare → publish → commit
//
// # States of a shard
//
//	waiting (a parent is unfinished) ─► opening ─► [recovering] ─► delivering ─┬─ shard end ─► ended     (checkpoint SHARD_END)
//	                                       ▲                                   ├─ shutdown ──► draining ─► released
//	                                       │ after a rest                      ├─ fenced ────► lost      (no further write)
//	                                       └──────────────── failed ◄──────────┘
//
// # States of a flush
//
//	open ── seal ──► staged ── PREPARE ──► prepared ── all visible ──► manifest ── COMMIT ──► committed
//	                   │                     │  ▲ └─ none visible, none can be ─► rolled back, read again
//	                   └ lease lost:         │  └─ some visible: repaired ─┘
//	                     left to age out     └ crash, lease lost: the next owner settles it
//
// # The promise, and what it rests on
//
//   - PREPARE is one conditional write; at most one intent can follow a checkpoint.
//   - An object becomes visible only by publishing an upload that a prepared
//     intent names (R1), and an intent leaves the lease only when all of its
//     objects are visible, or none is and none ever can be (R2, R3).
//   - An intent is known by its whole content, random part included (R4).
//   - A worker never discards what a PREPARE of its own may have named (R5).
//   - PREPARE is conditional on owner, epoch, flush number and base (R6).
//   - Which record is in which object is decided once, at STAGE (R7).
//
// None of this depends on clocks, on the encoder's output being the same
// twice, or on Kinesis still having the records. The simulation in this
// package runs this very code and breaks each rule once to see it matter.
//
// Memory is taken from one Budget before a page is read, so an outage of the
// sink or the store holds shards and never drops data.
package delivery
