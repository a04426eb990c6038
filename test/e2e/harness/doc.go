// Package harness runs the real standpipe binary against real servers and
// judges what it left behind. It promises to judge from outside: it knows the
// command line, the Kinesis and S3 APIs and the layout of an archive, and
// imports nothing of ours but the words of the domain.
//
//	process.go    a child process: own process group, captured output, signals
//	kinesis.go    kinesalite and kinesis-local, third-party Kinesis servers, and ours
//	s3.go         versitygw, a third-party S3 server
//	dynamodb.go   dynalite, a third-party DynamoDB server
//	redis.go      redis-server, which is emptied and restarted
//	clients.go    the SDK's clients for them
//	produce.go    lines into a stream
//	hashkey.go    halves and neighbours of hash key ranges
//	stream.go     streams, shards, and what a shard holds
//	archive.go    what is visible in a bucket
//	decode.go     objects into bytes, strictly
//	input.go      real input, as lines and as records
//	lines.go      multisets of lines and their differences
//	manifest.go   the chain of manifests of a shard
//	standpipe.go  the binary: local and run
//	wire.go       an HTTP proxy, and what a call is
//	tripwire.go   a wire that holds single calls
//	row.go        what a call does to a lease
//	link.go       the network between one client and one server, which can fail
//	reads.go      a wire that sees who reads which shard when
//	tally.go      a count of what was written
//	kill.go       kill -9 at random moments, repeatable by seed
//	team.go       processes that do one job together, and when each is killed
//	worker.go     one worker of a fleet: process, networks, wires
//	schedule.go   what is done to a fleet, repeatable by seed
//	load.go       numbered lines into a stream, at a rate
//	ledger.go     what a load was told by the stream, line by line
//	audit.go      an archive against a ledger
//	stall.go      how long the machine stood still
//
// Every function that waits has a limit and says what it waited for.
package harness
