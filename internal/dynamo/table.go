package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/backoff"
)

// An Item is a row, or a row's key.
type Item = map[string]types.AttributeValue

// A Use is what a table is for, in the words of its errors.
type Use struct {
	// Keys are its key attributes, all of them text: partition, perhaps sort.
	Keys []string
	// Setting is where its name is written: Standpipe.Checkpoint.Table.
	Setting string
	// Create is what makes it: standpipe run --create-table.
	Create string
	// Waits is how to wait for a table that is being made: --create-table, which waits.
	Waits string
	// Loss says what is lost with it.
	Loss string
	// Policy says which policy allows what.
	Policy string
}

// A Table is one table and the calls on its items. It is safe for concurrent use.
type Table struct {
	Name string
	Use  Use
	API  *dynamodb.Client
	// Attempt is the limit of one attempt.
	Attempt time.Duration

	mu  sync.Mutex
	rnd *mathrand.Rand // guarded by mu: jitter
}

// NewTable is for the table of that name in the region of settings. Nothing is
// asked yet.
func NewTable(settings aws.Config, name string, use Use) *Table {
	return newTable(newClient(settings), name, use)
}

func newTable(api *dynamodb.Client, name string, use Use) *Table {
	return &Table{Name: name, Use: use, API: api, Attempt: attemptTimeout, rnd: mathrand.New(mathrand.NewPCG(backoff.Seed(), 0))}
}

// Beside is another table by the same client.
func (t *Table) Beside(name string) *Table { return newTable(t.API, name, t.Use) }

// Close closes idle connections.
func (t *Table) Close() {
	if c, ok := t.API.Options().HTTPClient.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Ready says nil when the table takes requests and has the keys of its use.
// Missing, being made, being deleted, of another shape: each is one error that
// says what to do.
func (t *Table) Ready(ctx context.Context) error {
	d, err := t.describe(ctx)
	if err != nil {
		return err
	}
	if err := t.shape(d); err != nil {
		return err
	}
	op := "use table " + t.Name
	switch d.TableStatus {
	case types.TableStatusActive, types.TableStatusUpdating:
		return nil
	case types.TableStatusCreating:
		return &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: errors.New("it is being created"), Hint: "start again in a minute, or with " + t.Use.Waits}
	case types.TableStatusDeleting:
		return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("it is being deleted"), Hint: fmt.Sprintf("is %s right? %s", t.Use.Setting, t.Use.Loss)}
	}
	return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: fmt.Errorf("it is %s", d.TableStatus), Hint: "look at the table's encryption key and status in the AWS console"}
}

// shape refuses a table with other keys.
func (t *Table) shape(d *types.TableDescription) error {
	var keys []string
	for _, k := range d.KeySchema {
		keys = append(keys, aws.ToString(k.AttributeName))
	}
	if slices.Equal(keys, t.Use.Keys) {
		return nil
	}
	want := "the single attribute " + t.Use.Keys[0]
	if len(t.Use.Keys) > 1 {
		want = strings.Join(t.Use.Keys, " and ")
	}
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: "use table " + t.Name, Err: fmt.Errorf("its key is not %s", want),
		Hint: "that is another program's table: name one of its own in " + t.Use.Setting,
	}
}

func (t *Table) describe(ctx context.Context) (d *types.TableDescription, err error) {
	_, err = t.Do(ctx, "describe", func(ctx context.Context) error {
		out, err := t.API.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name})
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
// It is paid per request, for such loads are small and come in bursts. It cannot
// be deleted before that protection is taken off. Point-in-time recovery is off:
// a restored table says what was true once, and nothing good can be done with it.
// The tag says who made it.
func (t *Table) Create(ctx context.Context) error {
	if _, err := t.describe(ctx); standpipe.ClassOf(err) != standpipe.NotFound {
		if err != nil {
			return err
		}
		return t.active(ctx)
	}
	in := &dynamodb.CreateTableInput{
		TableName:                 &t.Name,
		BillingMode:               types.BillingModePayPerRequest,
		DeletionProtectionEnabled: aws.Bool(true),
		Tags:                      []types.Tag{{Key: aws.String("created-by"), Value: aws.String("standpipe")}},
	}
	for i, name := range t.Use.Keys {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: &name, KeyType: []types.KeyType{types.KeyTypeHash, types.KeyTypeRange}[i]})
	}
	_, err := t.Do(ctx, "create", func(ctx context.Context) error {
		_, err := t.API.CreateTable(ctx, in)
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

// Get reads one item consistently. Nil when there is none.
func (t *Table) Get(ctx context.Context, what string, key Item) (item Item, err error) {
	_, err = t.Do(ctx, "read "+what, func(ctx context.Context) error {
		out, err := t.API.GetItem(ctx, &dynamodb.GetItemInput{TableName: &t.Name, Key: key, ConsistentRead: aws.Bool(true)})
		if err == nil {
			item = out.Item
		}
		return err
	})
	return item, err
}

// Update sends an update and returns the attributes that in asks for.
func (t *Table) Update(ctx context.Context, op string, in *dynamodb.UpdateItemInput) (item Item, doubtful bool, err error) {
	in.TableName = &t.Name
	in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	doubtful, err = t.Do(ctx, op, func(ctx context.Context) error {
		out, err := t.API.UpdateItem(ctx, in)
		if err == nil {
			item = out.Attributes
		}
		return err
	})
	return item, doubtful, err
}

// Put sends a whole item.
func (t *Table) Put(ctx context.Context, op string, in *dynamodb.PutItemInput) (doubtful bool, err error) {
	in.TableName = &t.Name
	in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	return t.Do(ctx, op, func(ctx context.Context) error {
		_, err := t.API.PutItem(ctx, in)
		return err
	})
}

// Refused is the item on which a condition failed: what the refusal shows, else
// what a consistent read does. Nil when there is none.
func (t *Table) Refused(ctx context.Context, what string, key Item, err error) (Item, error) {
	if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok && len(e.Item) > 0 {
		return e.Item, nil
	}
	return t.Get(ctx, what, key)
}

// WriteID names one write: 80 random bits.
func WriteID() string { return strings.ToLower(rand.Text()[:16]) }
