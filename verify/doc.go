// Package verify judges an archive by its own proof: every shard's chain of
// manifests, and the objects that the manifests name.
//
// It promises to find, and to tell apart, what can have happened to an archive
// since it was written, and never to take what it could not read for whole.
//
//	manifests ──► Check, Follows ──► gap, overlap, proof
//	    │ names of objects, sorted on disk
//	    ▼
//	listing ────► merge ──┬─ named, not there ────► missing
//	                      ├─ named and there ─────► size, bytes, lines: altered, lines, unreadable
//	                      └─ there, not named ────► doubled (the lines of a named one), foreign, unsettled
//
// Memory does not grow with the archive. Names are sorted in runs of a few MiB
// in temporary files, the listing comes sorted, and both pass by once. What is
// kept is one manifest for each shard's chain and the findings, at most
// FindingsMax of them.
//
// A size that differs is no damage by itself: an object that was compressed
// anew holds the same lines. Nor is an object that is younger than its manifest:
// it may have been restored. So it is read, and the lines decide.
//
// It reads; it never writes into the archive.
package verify
