// Package replay delivers bounded ranges again, beside the live reader.
//
// It promises that doing it twice changes nothing, that it can be killed at any
// moment and started again, by several workers at once too, and that it never
// touches a live lease.
//
// There are two kinds, and each is a job: a plan of slices and a handler over
// one slice. A slice is data; whoever dispatches them may run one twice or on
// another machine.
//
//	into the original prefix   Restorer.Do (some manifests of one chain)
//	    for each object: there and whole ─► left alone
//	                     not there ───────► its records read again, its lines held
//	                                        to the manifest, published under its key
//	    No state: what is whole is done.
//
//	into another prefix        Deliverer.Do (a range of one shard)
//	    the live shard loop and protocol, with a chain of manifests and a sink of
//	    its own. Its lease is the slice's progress in the job store, see state.
//
// A restore that has ended is followed by a new one when it is asked for again:
// objects can be lost twice. A prefix is delivered into once, for good.
//
// What retention has taken is named, not passed over in silence.
package replay
