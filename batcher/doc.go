// Package batcher decides what belongs together and when it is enough.
//
// A Set gathers the stream records of one shard that one flush will deliver:
// one Batch per prefix, bounded by bytes, records and age. It promises that
// every record it was given is in exactly one batch or counted as dropped,
// that a batch keeps the order of its records, and that the batches together
// with the dropped ordinals are the whole range without a gap.
//
// It is pure: no goroutine, no clock, no I/O. Time is an argument. The bytes
// of the lines pass by elsewhere; a Set only counts them. It is owned by one
// goroutine.
//
//	         Add, Drop                    Full, Due
//	empty ────────────► open (NextSeal) ────────────► sealed by the caller, with the reason
package batcher
