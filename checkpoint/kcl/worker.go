package kcl

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// workerPrefix begins the key of a worker's row. A slash is in no shard id
// ([a-zA-Z0-9_.-]+) and in no multi-stream key.
const workerPrefix = "standpipe/worker/"

// WorkerKey is the key of a worker's row.
func WorkerKey(id string) string { return workerPrefix + id }

// WorkerColumns is what a heartbeat writes beside the counter. To a KCL
// application the row is a lease that has ended: it carries the attributes
// whose absence would make a 2.x fleet give up the whole table. (An entityType
// would not hide it: 3.5 reads unknown ones as LEASE.)
func WorkerColumns(w checkpoint.Worker) Item {
	item := Item{
		Switches: N(0), Checkpoint: S(standpipe.ShardEnd), Sub: N(0),
		Worker: S(w.ID), Leaving: &types.AttributeValueMemberBOOL{Value: w.Leaving}, Capacity: N(int64(w.Capacity)),
	}
	if w.Version != "" {
		item[Version] = S(w.Version)
	}
	if w.Address != "" {
		item[Address] = S(w.Address)
	}
	if !w.Started.IsZero() {
		item[Started] = Time(w.Started)
	}
	return item
}

// IsWorker says that the item is a worker's row.
func IsWorker(item Item) bool { return item[Worker] != nil }

// DecodeWorker reads a worker's row.
func DecodeWorker(item Item) (checkpoint.Worker, error) {
	r := &reader{item: item}
	w := checkpoint.Worker{
		ID: read(r, text, Worker), Counter: read(r, number, Counter), Nudges: read(r, number, Nudges),
		Capacity: int(read(r, number, Capacity)), Version: read(r, text, Version), Address: read(r, text, Address),
		Started: read(r, moment, Started),
	}
	if b, ok := item[Leaving].(*types.AttributeValueMemberBOOL); ok {
		w.Leaving = b.Value
	}
	if r.err != nil {
		return checkpoint.Worker{}, fmt.Errorf("worker %q: %w", w.ID, r.err)
	}
	return w, nil
}
