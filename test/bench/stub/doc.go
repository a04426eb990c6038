// Command stub is Kinesis and S3 as a benchmark needs them: HTTPS in a process
// of its own, answers that are canned, uploads that are counted and dropped.
//
// It promises to take little from the cores it shares with what is measured,
// and to notice a client that cheats: checksums of uploads are verified, and
// with keep=1 everything written is decompressed and its lines counted.
//
// It prints one line of JSON with its addresses, then waits to be killed. A run
// begins with GET /reset?shards=4&pages=48&… on the control address, see
// stream.go, and GET /progress tells how far it has come. It knows only the
// calls that an archiver makes, and says in /progress which others were made
// and how much was read more than once:
//
//	Kinesis  DescribeStreamSummary, ListShards, GetShardIterator, GetRecords
//	S3       Create-, Complete- and AbortMultipartUpload, UploadPart, PutObject,
//	         GetObject and HeadObject of small objects
package main
