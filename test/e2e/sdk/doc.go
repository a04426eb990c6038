// Package sdk holds the promises of `standpipe kinesis` to programs that other
// people wrote: the AWS SDKs for Go, JavaScript, Python and Java, and the
// Kinesis Client Library. Each runs the same session against the real binary:
// create, put, reshard, read to the end of each shard, fan-out.
//
// STANDPIPE_SDK_KINESIS=https://kinesis.<region>.amazonaws.com runs the sessions
// of the SDKs against that endpoint instead, with the settings of the
// environment: against AWS itself they cost a few cents.
package sdk
