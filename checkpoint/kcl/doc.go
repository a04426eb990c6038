// Package kcl knows the lease table of the Kinesis Client Library: how a lease
// and a worker are written as items of it, what the rows of KCL 1.x, 2.x and
// 3.x mean, when somebody else is still at work on a table, and what it takes
// to take one over and to hand it back.
//
// It promises that every lease it writes is one that a KCL application can
// continue from: the four attributes KCL cannot do without are always there,
// free leases have no owner, positions and sentinels are KCL's own. What KCL
// has no word for is in attributes that begin with "standpipe", which KCL
// leaves alone (its writes are attribute by attribute).
//
// Everything here is a function of its arguments: items in, items and decisions
// out, the time as an argument. Package dynamodb does the calls.
//
// Sources: DynamoDBLeaseSerializer, DynamoDBMultiStreamLeaseSerializer and
// EntityType of awslabs/amazon-kinesis-client, 1.x to 3.5.
package kcl
