// Package sim is a world for real code to be wrong in: a network between a few
// clients and a few servers, driven by a seed.
//
// Every call of a client becomes a request that waits in the network until the
// driver delivers it: late, after others, twice, or never; the reply can be
// lost; the client can die at any moment between two calls. The servers are
// the real in-memory store and sink and a scripted shard; they run on the
// driver's goroutine, so between two steps of the driver everything is at rest
// and invariants can be checked.
//
// It promises that the same seed gives the same run, as long as each client
// has one goroutine. All code runs in a testing/synctest bubble: time is
// virtual, the driver acts only when every client is blocked, and pending
// requests are ordered by client, name and number and never by arrival.
package sim
