// Package dynamodb keeps leases and workers in one DynamoDB table that has the
// schema of a KCL lease table: the store of a fleet.
//
// It promises the Store contract with single-item conditional writes and
// consistent reads, nothing else: no transactions, no indexes, no streams, no
// clocks. A condition is evaluated by DynamoDB and the row that a write returns
// is the one it made (ALL_NEW).
//
// # Unknown outcomes
//
// An answer can be lost after its write was applied, and a repeat of that write
// is then refused by its own condition. So every write carries a random id into
// the row (attribute standpipeWrite), and its condition demands that the id is
// not there yet:
//
//	attempt ──ok──────────────────────────────► applied: the row returned is ours
//	   │
//	   ├──throttled, no connection────────────► was not applied: wait, repeat
//	   ├──time-out, reset, 5xx────────────────► doubtful: wait, repeat the same request
//	   │
//	   └──condition failed, the row as it is:
//	        has our id ───────────────────────► applied, by this or an earlier attempt
//	        other id, no doubtful attempt ────► refused: FencedError
//	        other id after a doubtful attempt ► unknown: applied and written over since, or
//	                                            refused; the caller reads the row and judges
//
// A request that was delayed in the network may still be applied after its
// repeat was, if its condition holds once more (ABA). Directly after the repeat
// the id stops it. Later it is the caller's conditions that do: a flush number,
// an epoch, a counter, an intent with its random part never come back. Only a
// heartbeat or a nudge can count twice, which says the same as once.
//
// DynamoDB shows the row with a failed condition (ALL_OLD); servers that do not
// are asked with a consistent read.
//
// # Rows of others
//
// Rows that carry no standpipeWrite were written by a KCL application. They are
// refused with a hint (standpipe import-kcl) instead of being taken: their owner
// may be alive. Rows of KCL 3.5 that are no leases (entityType) are passed over.
package dynamodb
