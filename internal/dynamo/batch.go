package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/backoff"
)

// Limits of one BatchWriteItem: DynamoDB's are 25 items and 16 MB; 1 MiB is what
// a slow line sends within the limit of an attempt.
const (
	batchItems = 25
	batchBytes = 1 << 20
)

// batchPatience is how long a batch of which nothing is taken is repeated.
const batchPatience = time.Minute

// A Write puts an item, or deletes the item of that key when Delete is set. Size
// is about how many bytes it has.
type Write struct {
	Item   Item
	Delete bool
	Size   int
}

func (w Write) request() types.WriteRequest {
	if w.Delete {
		return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: w.Item}}
	}
	return types.WriteRequest{PutRequest: &types.PutRequest{Item: w.Item}}
}

// Batch does the writes, in any order and without conditions, in as few requests
// as DynamoDB allows. What it did not take is sent again. After an error some are
// done, and a copy that got stuck in the network may still be.
func (t *Table) Batch(ctx context.Context, op string, writes []Write) error {
	for len(writes) > 0 {
		n, size := 0, 0
		var requests []types.WriteRequest
		for n < len(writes) && n < batchItems && (n == 0 || size+writes[n].Size <= batchBytes) {
			size += writes[n].Size
			requests = append(requests, writes[n].request())
			n++
		}
		if err := t.batch(ctx, op, requests); err != nil {
			return err
		}
		writes = writes[n:]
	}
	return nil
}

// batch repeats one request until nothing of it is left.
func (t *Table) batch(ctx context.Context, op string, requests []types.WriteRequest) error {
	taken := time.Now()
	for failures := 1; len(requests) > 0; failures++ {
		in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{t.Name: requests}}
		var out *dynamodb.BatchWriteItemOutput
		_, err := t.Do(ctx, op, func(ctx context.Context) (err error) {
			out, err = t.API.BatchWriteItem(ctx, in)
			return err
		})
		if err != nil {
			return err
		}
		left := out.UnprocessedItems[t.Name]
		if len(left) == 0 {
			return nil
		}
		if len(left) < len(requests) {
			taken, failures = time.Now(), 1
		}
		if time.Since(taken) > batchPatience {
			return &standpipe.Error{
				Class: standpipe.Throttled, Op: fmt.Sprintf("table %s: %s", t.Name, op),
				Err:  fmt.Errorf("DynamoDB took none of %d items for %v", len(left), batchPatience),
				Hint: "raise the table's write capacity, or let it be paid per request",
			}
		}
		requests = left
		if err := backoff.Sleep(ctx, t.delay(failures)); err != nil {
			return fmt.Errorf("table %s: %s: %w", t.Name, op, err)
		}
	}
	return nil
}

// Query visits the items that in finds, consistently and in the order of their
// sort key.
func (t *Table) Query(ctx context.Context, op string, in *dynamodb.QueryInput, visit func(Item) error) error {
	in.TableName, in.ConsistentRead = &t.Name, aws.Bool(true)
	for {
		var out *dynamodb.QueryOutput
		_, err := t.Do(ctx, op, func(ctx context.Context) (err error) {
			out, err = t.API.Query(ctx, in)
			return err
		})
		if err != nil {
			return err
		}
		for _, item := range out.Items {
			if err := visit(item); err != nil {
				return err
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}
