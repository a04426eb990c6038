// Package embedded keeps jobs, and the queue that dispatches them, in one
// bbolt file: the job store of a single node.
//
// It promises that what was written is on disk when a call returns, that two
// processes never share a file, and that a message reserved by a process that
// died is reserved again after its timeout. Deleting, releasing or keeping a
// message works only for the reservation it was given out with: a late answer
// of an earlier reservation changes nothing.
package embedded
