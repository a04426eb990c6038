package produce

import (
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe/consumer"
)

// aggregateMax bounds an aggregate, in bytes: the KPL's AggregationMaxSize.
const aggregateMax = 51200

// randomRun is how many records share a random key under aggregation: what is
// packed together has to have one key.
const randomRun = 100

// KeyRuns makes a key func give each key to a run of records.
func KeyRuns(next KeyFunc) KeyFunc {
	var key string
	n := 0
	return func(data []byte) (string, error) {
		if n++; n%randomRun != 1 {
			return key, nil
		}
		var err error
		key, err = next(data)
		return key, err
	}
}

// A bundle is an entry of PutRecords and the records of the batch that are in it.
type bundle struct {
	entry   types.PutRecordsRequestEntry
	records []int
}

// pack makes KPL aggregates of the records that have the same key, in their order:
// one key is one shard, whatever the stream is split into. A record that is alone
// or too large stays as it is, as with the KPL.
func pack(batch []Record) (bundles []bundle) {
	var order []string
	runs, sizes := map[string][][]int{}, map[string]int{}
	for i, r := range batch {
		run := runs[r.Key]
		if run == nil {
			order = append(order, r.Key)
		}
		if n := len(r.Data) + len(r.Key) + 16; run == nil || sizes[r.Key]+n > aggregateMax {
			run, sizes[r.Key] = append(run, nil), 0
		}
		sizes[r.Key] += len(r.Data) + len(r.Key) + 16
		run[len(run)-1] = append(run[len(run)-1], i)
		runs[r.Key] = run
	}
	for _, key := range order {
		for _, indices := range runs[key] {
			bundles = append(bundles, bundle{types.PutRecordsRequestEntry{PartitionKey: &batch[indices[0]].Key, Data: aggregate(batch, indices)}, indices})
		}
	}
	return bundles
}

func aggregate(batch []Record, indices []int) []byte {
	if len(indices) == 1 {
		return batch[indices[0]].Data
	}
	users := make([]consumer.UserRecord, len(indices))
	for n, i := range indices {
		users[n] = consumer.UserRecord{PartitionKey: []byte(batch[i].Key), Data: batch[i].Data}
	}
	return consumer.AppendAggregate(nil, users)
}

// single is a bundle for each record.
func single(batch []Record) []bundle {
	bundles := make([]bundle, len(batch))
	for i := range batch {
		bundles[i] = bundle{types.PutRecordsRequestEntry{Data: batch[i].Data, PartitionKey: &batch[i].Key}, []int{i}}
	}
	return bundles
}
