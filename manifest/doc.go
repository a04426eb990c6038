// Package manifest holds the proof of what was delivered: one manifest for each
// committed flush of a shard, where it lies, and what must be true of it.
//
// It promises that whoever follows a chain by number, 1, 2, 3…, meets every
// record of the shard after its start in exactly one manifest, and that each
// manifest can be judged alone (Check) and against the one before it
// (Follows), without the stream and without the configuration:
//
//	chain   _standpipe/commits/<stream>-<incarnation>/<shard>/
//	          000000000001.json   (start, a]   objects, counts, hash
//	          000000000002.json   (a, b]       Previous of 2 = Last of 1
//	          …                   (y, end]     Children: where to go on
//
// It is pure: no I/O, no clock. Who reads and writes manifests is delivery's,
// verify's and replay's matter.
package manifest
