// Package produce sends lines to a Kinesis stream or to a URL.
//
//	source ─► tag, newline, key, size ─► batch ─► send ─┬─ stored
//	                     │                  ▲           ├─ refused ─► rejected
//	                     └─► rejected       └── wait ◄──┘ try again: only what failed
//
// It promises that every record read ends as exactly one of stored or rejected
// with its file and line, unless the run ends with an error; that one bad
// record never stops the others; and that with one batch in flight records
// leave in the order of the input, but for those the stream itself put back.
// It can't promise that a record is stored once: an answer that got lost is
// asked for again, and Kinesis has no way to tell.
package produce
