// Package checkpoint keeps, for every shard, who may deliver it and how far it
// has been delivered: the lease. Beside the leases it keeps the workers that
// share them.
//
// It promises that a lease changes only by single-item conditional writes: an
// Update names what must be true of the stored lease and what to change, and
// the store does both as one step or neither. Whoever loses a race learns it
// from the refused condition, never from a clock.
//
// Three stores live here: package memory for tests and simulations, package
// embedded (one bbolt file) for one node, package dynamodb for a fleet. The
// suite in package checkpointtest is what makes something a Store.
//
// The life of a lease, as seen by its condition columns:
//
//	          Take                Prepare                Commit
//	(free) ─────────► owned ──────────────────► pending ─────────► owned, checkpoint = last
//	   ▲                │ epoch+1    flush+1        │
//	   │     Release    │                           │ Rollback → owned, checkpoint unchanged,
//	   └────────────────┘                           │            flush number burnt
//	  (Successor, if named, comes first)            │
//	                                                │ Replace  → pending, repaired intent
//
// A lease whose checkpoint is SHARD_END is complete: its children may start.
// The columns are those of a KCL lease table plus our own; a KCL application
// that finds the checkpoint can continue from it at any moment.
package checkpoint
