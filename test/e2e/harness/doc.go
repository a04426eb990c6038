// Package harness runs the real standpipe binary against real servers and
// judges what it left behind. It promises to judge from outside: it knows the
// command line, the Kinesis and S3 APIs and the layout of an archive, and
// imports nothing of ours but the words of the domain.
//
//	process.go    a child process: own process group, captured output, signals
//	kinesis.go    kinesalite and kinesis-local, third-party Kinesis servers
//	s3.go         versitygw, a third-party S3 server
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
//	tripwire.go   a proxy that tells when a write passes
//	kill.go       kill -9 at random moments, repeatable by seed
//
// Every function that waits has a limit and says what it waited for.
package harness
