// Package replay delivers bounded ranges again, beside the live reader.
//
// It promises that doing it twice changes nothing, that it can be killed at any
// moment and started again, and that it never touches a live lease.
//
// There are two kinds, and each is a plan of slices and a function over one
// slice. A slice is data: whoever dispatches slices, here one after the other or
// elsewhere by a queue, may run one twice or on another machine.
//
//	into the original prefix   Restore(slice of manifests)
//	    for each object: there and whole ─► left alone
//	                     not there ───────► its records read again, its lines held
//	                                        to the manifest, published under its key
//	    No state: what is whole is done.
//
//	into another prefix        Deliver(slice of one shard)
//	    the live shard loop and protocol, with a lease, a chain of manifests and
//	    a sink of its own. State: the lease.
//
// What retention has taken is named, not passed over in silence.
package replay
