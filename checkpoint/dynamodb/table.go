package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/kcl"
	"github.com/standpipe/standpipe/internal/dynamo"
)

// use is what a lease table is. Whoever deletes one has every retained record
// delivered again, so it is protected against that.
var use = dynamo.Use{
	Keys:    []string{kcl.Key},
	Setting: "Standpipe.Checkpoint.Table",
	Create:  "standpipe run --create-table",
	Waits:   "--create-table, which waits",
	Loss:    "Every position in it is about to be lost",
	Policy:  "deploy/iam/table.json has what workers need, table-operator.json what import-kcl, export-kcl and --create-table do",
}

// A Table is one lease table and the calls on its items. It is safe for
// concurrent use.
type Table struct{ table *dynamo.Table }

// NewTable is for the table of that name in the region of settings. Nothing is
// asked yet.
func NewTable(settings aws.Config, name string) *Table {
	return &Table{dynamo.NewTable(settings, name, use)}
}

// Name is the table's name.
func (t *Table) Name() string { return t.table.Name }

// Close closes idle connections.
func (t *Table) Close() { t.table.Close() }

// Ready says nil when the table takes requests and has the key of a lease
// table. Missing, being made, being deleted, of another shape: each is one
// error that says what to do.
func (t *Table) Ready(ctx context.Context) error { return t.table.Ready(ctx) }

// Create makes the table unless it is there, and waits until it takes requests.
func (t *Table) Create(ctx context.Context) error { return t.table.Create(ctx) }

// Scan reads every item of the table consistently, page after page.
func (t *Table) Scan(ctx context.Context) (items []kcl.Item, err error) {
	in := &dynamodb.ScanInput{TableName: &t.table.Name, ConsistentRead: aws.Bool(true)}
	for {
		var out *dynamodb.ScanOutput
		_, err := t.table.Do(ctx, "scan", func(ctx context.Context) (err error) {
			out, err = t.table.API.Scan(ctx, in)
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

func keyOf(key string) kcl.Item { return kcl.Item{kcl.Key: kcl.S(key)} }

// get reads one item consistently. ErrNotFound when there is none.
func (t *Table) get(ctx context.Context, key string) (kcl.Item, error) {
	return found(t.table.Get(ctx, key, keyOf(key)))
}

func found(item kcl.Item, err error) (kcl.Item, error) {
	if err == nil && item == nil {
		return nil, checkpoint.ErrNotFound
	}
	return item, err
}

// update sends the expression and returns the item it made.
func (t *Table) update(ctx context.Context, op, key string, e *expression) (item kcl.Item, doubtful bool, err error) {
	return t.table.Update(ctx, op, &dynamodb.UpdateItemInput{
		Key: keyOf(key), UpdateExpression: aws.String(e.update()), ConditionExpression: nonEmpty(e.condition()),
		ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
		ReturnValues: types.ReturnValueAllNew,
	})
}

func (t *Table) delete(ctx context.Context, op, key string, e *expression) (doubtful bool, err error) {
	in := &dynamodb.DeleteItemInput{TableName: &t.table.Name, Key: keyOf(key)}
	if c := e.condition(); c != "" {
		in.ConditionExpression, in.ExpressionAttributeNames, in.ExpressionAttributeValues = &c, e.names, e.values
		in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	}
	return t.table.Do(ctx, op, func(ctx context.Context) error {
		_, err := t.table.API.DeleteItem(ctx, in)
		return err
	})
}

// refused is the item on which a condition failed. ErrNotFound when there is none.
func (t *Table) refused(ctx context.Context, key string, err error) (kcl.Item, error) {
	return found(t.table.Refused(ctx, key, keyOf(key), err))
}

func nonEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
