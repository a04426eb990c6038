package standpipe

import "time"

// A Gap is a range of a shard that was gone before it could be read: what is
// said of it in manifests, leases and status.
type Gap struct {
	// After is the last position that is known to be done.
	After Position `json:"after"`
	// Before is the first sequence number found after it, empty when the shard
	// ended without one.
	Before string `json:"before,omitempty"`
	// Certain is false when records may have been trimmed or the shard may
	// just have been idle: the position aged out and nothing tells which.
	Certain bool `json:"certain"`
	// Cause is a reason of package consumer: "trimmed", "shard_gone".
	Cause string `json:"cause,omitempty"`
	// Found is when it was noticed, by the clock of the worker that did.
	Found time.Time `json:"found,omitzero"`
}
