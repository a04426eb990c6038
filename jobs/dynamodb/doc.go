// Package dynamodb keeps jobs in one DynamoDB table: the job store of a fleet.
//
// It promises the contract of jobs.Store with single-item conditional writes and
// consistent reads, nothing else: no transactions, no indexes, no clocks.
//
//	collection  row                        holds
//	jobs        ID                         a job, the name of its plan, how many slices
//	job/ID      PLAN/slice/0000000017      a slice
//	job/ID      PLAN/part/DOCUMENT/0003    300 KiB of a document that is too large for its row
//
// # A plan is visible at once or not at all
//
// The rows of a plan are written first, under a random name; the job's row, which
// says that name, is written last and only if there is none. Of two that create
// one job at the same time the second meets that row and removes its own. Whoever
// dies in between leaves rows that nothing names; they go with the job (Delete).
//
// # Unknown outcomes
//
// Every write of a row leaves a random id in it and needs the revision that was
// read. A repeat after a lost answer is refused by that condition; the row then
// shows the write's own id (applied), the next revision with another's (refused),
// or a later one: applied or not is unknown, and the caller reads and judges. A
// revision never comes back, so a copy that was delayed in the network does
// nothing, with one exception: planning writes without conditions, so a copy of
// it that arrives when the job is under way makes up to 25 slices wait again.
// They are done once more, which slices have to bear anyway.
//
// # Documents
//
// Spec, Progress and Result lie in the row if all of it is at most 300 KiB (an
// item has 400 KB), else in parts, which are written before the row that names
// them and removed after the row that no longer does. A reader that finds a part
// missing reads the row again. An unchanged document is not written again, so a
// heartbeat costs one small write.
package dynamodb
