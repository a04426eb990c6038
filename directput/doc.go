// Package directput is Firehose's own ingest API (Direct PUT, in Firehose's
// words) in front of a Kinesis stream: a producer of Firehose needs a new
// endpoint and nothing else.
//
//	PutRecord, PutRecordBatch ─► validate ─► PutRecords ─┬─ stored ──► RecordId
//	                                  ▲                  ├─ throttled ─► again, only these, until patience ends
//	                                  └──────────────────┘              then ServiceUnavailableException
//	                                                     └─ unknown ──► InternalFailure, never again from here
//
// It promises that a RecordId means that Kinesis has the record, byte for byte,
// and that nothing it can't say that of is answered as if it could: a lost
// answer becomes an InternalFailure, upon which a producer sends the record
// again. So a record can come twice, as it can with Firehose; the two are two
// records of the stream.
//
// Of the API it has what producers call: PutRecord, PutRecordBatch,
// DescribeDeliveryStream and ListDeliveryStreams, in AWS JSON 1.1. Delivery
// streams come from configuration, so there is nothing to create or change. Any
// credentials are accepted and signatures are not looked at: the network has to
// decide who may come.
//
// The package knows no lease, no bucket and no flag. The types on the wire are
// those of the API model (API version 2015-08-04); the words of errors are
// those producers have reported from AWS.
package directput
