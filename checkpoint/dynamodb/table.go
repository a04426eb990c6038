package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/kcl"
	"github.com/standpipe/standpipe/internal/backoff"
)

// A Table is one table and the calls on its items. It is safe for concurrent use.
type Table struct {
	name string
	api  *dynamodb.Client
	call *caller
}

// NewTable is for the table of that name in the region of settings. Nothing is
// asked yet.
func NewTable(settings aws.Config, name string) *Table {
	return &Table{name: name, api: newClient(settings), call: newCaller(name)}
}

// Name is the table's name.
func (t *Table) Name() string { return t.name }

// Close closes idle connections.
func (t *Table) Close() {
	if c, ok := t.api.Options().HTTPClient.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Ready says nil when the table takes requests and has the key of a lease
// table. Missing, being made, being deleted, of another shape: each is one
// error that says what to do.
func (t *Table) Ready(ctx context.Context) error {
	d, err := t.describe(ctx)
	if err != nil {
		return err
	}
	if err := t.shape(d); err != nil {
		return err
	}
	op := "use table " + t.name
	switch d.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
		return nil
	case types.TableStatusCreating:
		return &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: errors.New("it is being created"), Hint: "start again in a minute, or with --create-table, which waits"}
	case types.TableStatusDeleting:
		return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("it is being deleted"), Hint: "is Standpipe.Checkpoint.Table right? Every position in it is about to be lost"}
	}
	return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: fmt.Errorf("it is %s", d.TableStatus), Hint: "look at the table's encryption key and status in the AWS console"}
}

// shape refuses a table that is no lease table.
func (t *Table) shape(d *types.TableDescription) error {
	if len(d.KeySchema) == 1 && aws.ToString(d.KeySchema[0].AttributeName) == kcl.Key {
		return nil
	}
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: "use table " + t.name, Err: fmt.Errorf("its key is not the single attribute %s", kcl.Key),
		Hint: "that is another program's table: name one of its own in Standpipe.Checkpoint.Table",
	}
}

func (t *Table) describe(ctx context.Context) (d *types.TableDescription, err error) {
	_, err = t.call.do(ctx, "describe", func(ctx context.Context) error {
		out, err := t.api.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.name})
		if err == nil {
			d = out.Table
		}
		return err
	})
	return d, err
}

// createTimeout bounds the wait for a new table; AWS takes some ten seconds.
const createTimeout = 3 * time.Minute

// Create makes the table unless it is there, and waits until it takes requests.
//
// It is paid per request, for a fleet's load is small and follows its shards. It
// cannot be deleted before that protection is taken off, for whoever deletes it
// has every retained record delivered again. Point-in-time recovery is off: a
// restored table points before what was delivered, and nothing good can be done
// with it. The tag says who made it.
func (t *Table) Create(ctx context.Context) error {
	if _, err := t.describe(ctx); standpipe.ClassOf(err) != standpipe.NotFound {
		if err != nil {
			return err
		}
		return t.active(ctx)
	}
	_, err := t.call.do(ctx, "create", func(ctx context.Context) error {
		_, err := t.api.CreateTable(ctx, &dynamodb.CreateTableInput{
			TableName:                 &t.name,
			AttributeDefinitions:      []types.AttributeDefinition{{AttributeName: aws.String(kcl.Key), AttributeType: types.ScalarAttributeTypeS}},
			KeySchema:                 []types.KeySchemaElement{{AttributeName: aws.String(kcl.Key), KeyType: types.KeyTypeHash}},
			BillingMode:               types.BillingModePayPerRequest,
			DeletionProtectionEnabled: aws.Bool(true),
			Tags:                      []types.Tag{{Key: aws.String("created-by"), Value: aws.String("standpipe")}},
		})
		if _, ok := errors.AsType[*types.ResourceInUseException](err); ok {
			return nil // made by a lost attempt, or by another worker of the fleet
		}
		return err
	})
	if err != nil {
		return err
	}
	return t.active(ctx)
}

// active waits until the table takes requests.
func (t *Table) active(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	for {
		err := t.Ready(ctx)
		if class := standpipe.ClassOf(err); err == nil || class != standpipe.Retryable && class != standpipe.NotFound {
			return err
		}
		if backoff.Sleep(bounded, 500*time.Millisecond) != nil {
			return err
		}
	}
}

// Scan reads every item of the table consistently, page after page.
func (t *Table) Scan(ctx context.Context) (items []kcl.Item, err error) {
	in := &dynamodb.ScanInput{TableName: &t.name, ConsistentRead: aws.Bool(true)}
	for {
		var out *dynamodb.ScanOutput
		_, err := t.call.do(ctx, "scan", func(ctx context.Context) (err error) {
			out, err = t.api.Scan(ctx, in)
			return err
		})
		if err != nil {
			return nil, err
		}
		items = append(items, out.Items...)
		if len(out.LastEvaluatedKey) == 0 {
			return items, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// get reads one item consistently. ErrNotFound when there is none.
func (t *Table) get(ctx context.Context, key string) (item kcl.Item, err error) {
	_, err = t.call.do(ctx, "read "+key, func(ctx context.Context) error {
		out, err := t.api.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.name, Key: kcl.Item{kcl.Key: kcl.S(key)}, ConsistentRead: aws.Bool(true)})
		if err == nil {
			item = out.Item
		}
		return err
	})
	if err == nil && item == nil {
		return nil, checkpoint.ErrNotFound
	}
	return item, err
}

// update sends the expression and returns the item it made.
func (t *Table) update(ctx context.Context, op, key string, e *expression) (item kcl.Item, doubtful bool, err error) {
	in := &dynamodb.UpdateItemInput{
		TableName: &t.name, Key: kcl.Item{kcl.Key: kcl.S(key)},
		UpdateExpression: aws.String(e.update()), ConditionExpression: nonEmpty(e.condition()),
		ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	doubtful, err = t.call.do(ctx, op, func(ctx context.Context) error {
		out, err := t.api.UpdateItem(ctx, in)
		if err == nil {
			item = out.Attributes
		}
		return err
	})
	return item, doubtful, err
}

func (t *Table) delete(ctx context.Context, op, key string, e *expression) (doubtful bool, err error) {
	in := &dynamodb.DeleteItemInput{TableName: &t.name, Key: kcl.Item{kcl.Key: kcl.S(key)}}
	if c := e.condition(); c != "" {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = &c, e.names, e.values
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	return t.call.do(ctx, op, func(ctx context.Context) error {
		_, err := t.api.DeleteItem(ctx, in)
		return err
	})
}

// refused is the item on which a condition failed: what the refusal shows, else
// what a consistent read does. ErrNotFound when there is none.
func (t *Table) refused(ctx context.Context, key string, err error) (kcl.Item, error) {
	if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok && len(e.Item) > 0 {
		return e.Item, nil
	}
	return t.get(ctx, key)
}

// writeID names one write: 80 random bits.
func (t *Table) writeID() string { return strings.ToLower(rand.Text()[:16]) }

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
