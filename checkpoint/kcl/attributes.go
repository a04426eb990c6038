package kcl

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// An Item is a row as DynamoDB's API has it.
type Item = map[string]types.AttributeValue

// KCL's attributes. The first five are never absent in a row that KCL accepts.
const (
	Key         = "leaseKey"
	Counter     = "leaseCounter"
	Switches    = "ownerSwitchesSinceCheckpoint"
	Checkpoint  = "checkpoint"
	Sub         = "checkpointSubSequenceNumber"
	Owner       = "leaseOwner" // absent when free
	Parents     = "parentShardId"
	Children    = "childShardIds"
	HashStart   = "startingHashKey"
	HashEnd     = "endingHashKey"
	PendingSeq  = "pendingCheckpoint"
	PendingSub  = "pendingCheckpointSubSequenceNumber"
	PendingData = "pendingCheckpointState"
	// HandOffOwner is the old owner during a graceful hand-off of 3.x.
	HandOffOwner = "checkpointOwner"
	Entity       = "entityType" // 3.5; absent means LEASE
	StreamName   = "streamName" // multi-stream: account:stream:epoch
	ShardID      = "shardId"    // multi-stream: the bare shard id
)

// Our attributes.
const (
	Epoch         = "standpipeEpoch"
	Flush         = "standpipeFlush"
	Commits       = "standpipeCommits"
	Incarnation   = "standpipeIncarnation"
	StreamCreated = "standpipeStreamCreated"
	StartTime     = "standpipeStartTime"
	Seen          = "standpipeSeen"
	Successor     = "standpipeSuccessor"
	Gaps          = "standpipeGaps"
	LastGap       = "standpipeLastGap" // JSON
	// Write is the random id of the last write. It marks a row as ours, and it
	// is how a write is recognised whose answer was lost.
	Write = "standpipeWrite"

	Worker   = "standpipeWorker" // the worker's id; only worker rows have it
	Nudges   = "standpipeNudges"
	Leaving  = "standpipeLeaving"
	Capacity = "standpipeCapacity"
	Version  = "standpipeVersion"
	Address  = "standpipeAddress"
	Started  = "standpipeStarted"
)

// OwnLeaseAttributes are what standpipe adds to a lease of KCL.
var OwnLeaseAttributes = []string{Epoch, Flush, Commits, Incarnation, StreamCreated, StartTime, Seen, Successor, Gaps, LastGap, Write}

// S, N and B make attribute values.
func S(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

// N makes a number.
func N(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// B makes a binary value.
func B(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

// SS makes a set of strings, ordered so that equal sets are equal requests.
func SS[T ~string](values []T) types.AttributeValue {
	set := make([]string, 0, len(values))
	for _, v := range values {
		set = append(set, string(v))
	}
	slices.Sort(set)
	return &types.AttributeValueMemberSS{Value: slices.Compact(set)}
}

// Time makes a time, in UTC with nanoseconds.
func Time(t time.Time) types.AttributeValue { return S(t.UTC().Format(time.RFC3339Nano)) }

// text, number, set and moment read an attribute; absent is the zero value.
func text(item Item, name string) (string, error) {
	switch v := item[name].(type) {
	case nil:
		return "", nil
	case *types.AttributeValueMemberS:
		return v.Value, nil
	}
	return "", wrongType(name, "S")
}

func number(item Item, name string) (int64, error) {
	switch v := item[name].(type) {
	case nil:
		return 0, nil
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("attribute %s is %q, want a whole number", name, v.Value)
		}
		return n, nil
	}
	return 0, wrongType(name, "N")
}

func set[T ~string](item Item, name string) ([]T, error) {
	switch v := item[name].(type) {
	case nil:
		return nil, nil
	case *types.AttributeValueMemberSS:
		all := make([]T, 0, len(v.Value))
		for _, s := range v.Value {
			all = append(all, T(s))
		}
		slices.Sort(all)
		return all, nil
	}
	return nil, wrongType(name, "SS")
}

func moment(item Item, name string) (time.Time, error) {
	s, err := text(item, name)
	if err != nil || s == "" {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("attribute %s is %q, want a time", name, s)
	}
	return t, nil
}

func wrongType(name, want string) error {
	return fmt.Errorf("attribute %s is not of type %s", name, want)
}

// A reader reads attributes and keeps the first error, so that a decoder is a list.
type reader struct {
	item Item
	err  error
}

func read[T any](r *reader, get func(Item, string) (T, error), name string) T {
	v, err := get(r.item, name)
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}
