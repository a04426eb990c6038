// Command bench measures whole processes: `standpipe run` and the program most
// people would write instead (package plain), each over TLS against a stub of
// Kinesis and S3 in another process. `go run ./test/bench -h` lists what can
// be varied; docs/performance.md has figures and what they mean.
//
// Its promises:
//
//   - The figure is processor time, user and system, of the whole life of the
//     process under test, from start to exit after SIGTERM. Wall time means
//     nothing on a shared machine.
//   - Programs alternate within a round, so that a noisy minute meets all.
//   - A run counts only if everything read was written: standpipe's manifests
//     must add up to the lines that were served, and with -check so must the
//     lines found in the objects of either program.
//
// With -idle N it measures one worker on N shards without records instead:
// calls a second to Kinesis and to the checkpoint table, processor time and
// memory over a minute.
package main
