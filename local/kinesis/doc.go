// Package kinesis is a Kinesis-compatible server in one http.Handler: the
// "stream" of standpipe's one-command start, and the bed its tests lie on.
//
// It promises that an SDK, the KCL or a producer can't tell it from Amazon
// Kinesis Data Streams for the operations it has, which are all but those of
// Channels: JSON 1.1 and CBOR on the wire, over HTTP/1.1 and HTTP/2, sequence
// numbers in the real layout, hash routing, iterators that expire, shards that
// end with their children named, fan-out with its framing and its rule of five
// seconds, errors with the real names and texts. An operation it does not have
// answers UnknownOperationException; it never pretends.
//
// What it leaves out on purpose: signatures are accepted unseen unless
// Config.Keys says otherwise; encryption, metrics and policies are stored and
// told, no more; quotas on control calls. docs/kinesis-server.md has the list.
//
// A stream's life, by the (virtual) clock only; no goroutine moves it:
//
//	CREATING ──delay──▶ ACTIVE ──split, merge──▶ UPDATING ──delay──▶ ACTIVE
//	                      └──delete──▶ DELETING ──delay──▶ gone
//
// A shard's life:
//
//	open ──split, merge──▶ closed (readable, listed) ──retention──▶ expired (gone)
//
// A subscription's life; it runs on its request's goroutine:
//
//	initial-response ──▶ sending ──5 min, client leaves, server stops──▶ ended
//	                        ├──shard read to its end: children──▶ ended
//	                        └──taken over, consumer or stream deleted: exception──▶ ended
//
// Locks are taken in one order: server, stream, shard log. A put holds its
// stream's read lock from routing to the last write; a reshard takes the write
// lock. So each record is in the parent before any record is in a child.
//
// With Config.Dir each answer to a put is given after write(2), so a killed
// process loses nothing it acknowledged; a power cut may, because there is no
// fsync. The package starts no goroutines.
package kinesis
