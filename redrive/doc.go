// Package redrive puts the records of error-output objects, standpipe's and
// Firehose's, back: into a stream, or as lines into a prefix. Each once.
//
// It promises that a record which could be read is in the destination once when
// its slice is done, whatever died in between, and that what could not be read
// is counted and named by object and line.
//
// A prefix is easy: one output object for each source object, its content a
// function of the source's. Writing it twice changes nothing.
//
// A stream takes the same record as often as it is sent, and has no undo. So
// the range of a batch is on record before it is sent, and each record has a
// partition key that says where it came from:
//
//	            save the range             every result is known
//	(read) ───────────────────► sending ─────────────────────────► done
//	                             │    ▲
//	     no answer, a failure    │    │  only what is missing is sent
//	     that may have stored it,│    │
//	     or the process died     ▼    │
//	                  settle, then read the stream
//	                  since the save for the keys
//
// The limits of that: the stream must keep partition keys (record distribution
// AUTO does not) and the range's time must lie within retention, else the slice
// fails and says so; this machine's clock may be wrong by at most five minutes;
// and a request that is stored later than Settle after its sender gave up would
// be stored twice.
//
// Which objects are planned: those that no earlier slice of the same job family
// (the same source and destination) has, by key and ETag.
package redrive
