// Package dynamo makes calls to one DynamoDB table: with deadlines, repeats,
// and errors that say what to do.
//
// It promises to tell whether a write that failed may have been applied all the
// same (Table.Do), and nothing about what is in the table: that is the business
// of checkpoint/dynamodb and jobs/dynamodb, which share it. It imports of ours
// only the root and packages like itself, so that both may.
package dynamo
