// Package tail shows the records of a stream as they come.
//
// It promises that what is printed of one shard is in the shard's order and
// printed once, that a child's records never come before its parents' (as far
// as both are followed), and that a page of one shard is never mixed with
// another's. Between shards there is no order. It reads at a pace that leaves a
// shard most of its capacity for the readers that matter, keeps no position,
// and holds at most a few pages in memory, however many shards there are.
//
// One goroutine follows one shard:
//
//	waiting (a parent is being read) ──► reading ──┬─► ended    no more records; its children begin
//	                                               └─► left     past --to, or caught up with --no-follow
package tail
