package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/kcl"
	"github.com/standpipe/standpipe/internal/dynamo"
)

// Store is a checkpoint.Store in one table.
type Store struct{ *Table }

var _ checkpoint.Store = (*Store)(nil)

// Open returns the store in a table that is there and takes requests; see
// Table.Ready for the errors.
func Open(ctx context.Context, t *Table) (*Store, error) {
	if err := t.Ready(ctx); err != nil {
		return nil, err
	}
	return &Store{t}, nil
}

// Create implements checkpoint.Store.
func (s *Store) Create(ctx context.Context, l checkpoint.Lease) error {
	id := dynamo.WriteID()
	item := kcl.EncodeLease(l)
	item[kcl.Write] = kcl.S(id)
	e := newExpression()
	e.require("attribute_not_exists(%s)", kcl.Key)
	condition := e.condition()
	doubtful, err := s.table.Put(ctx, "create lease of "+string(l.Shard), &dynamodb.PutItemInput{
		Item: item, ConditionExpression: &condition, ExpressionAttributeNames: e.names,
	})
	if !dynamo.ConditionFailed(err) {
		return err
	}
	row, err := s.refused(ctx, string(l.Shard), err)
	switch {
	case errors.Is(err, checkpoint.ErrNotFound):
		return s.unknown("create lease of " + string(l.Shard)) // made and removed meanwhile
	case err != nil:
		return err
	case wrote(row, id):
		return nil
	case doubtful && l.Incarnation != "" && textOf(row, kcl.Incarnation) == l.Incarnation:
		return nil // ours, and somebody has written to it since
	}
	return checkpoint.ErrExists
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, shard standpipe.ShardID) (checkpoint.Lease, error) {
	item, err := s.get(ctx, string(shard))
	if err != nil {
		return checkpoint.Lease{}, err
	}
	return s.lease(item)
}

// Update implements checkpoint.Store. It costs one write, and a read where a
// refusal does not show the row.
func (s *Store) Update(ctx context.Context, u checkpoint.Update) (checkpoint.Lease, error) {
	id := dynamo.WriteID()
	e := newExpression()
	conditionOf(e, u.If)
	changeOf(e, u.Set)
	once(e, id)
	op := "update lease of " + string(u.Shard)
	item, doubtful, err := s.update(ctx, op, string(u.Shard), e)
	if dynamo.ConditionFailed(err) {
		if item, err = s.refused(ctx, string(u.Shard), err); err != nil {
			return checkpoint.Lease{}, err
		}
		if !wrote(item, id) {
			return checkpoint.Lease{}, s.fenced(op, item, doubtful)
		}
	}
	if err != nil {
		return checkpoint.Lease{}, err
	}
	return s.lease(item)
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, l checkpoint.Lease) error {
	e := newExpression()
	conditionOf(e, checkpoint.Condition{Counter: &l.Counter})
	op := "delete lease of " + string(l.Shard)
	doubtful, err := s.delete(ctx, op, string(l.Shard), e)
	if !dynamo.ConditionFailed(err) {
		return err
	}
	item, err := s.refused(ctx, string(l.Shard), err)
	if errors.Is(err, checkpoint.ErrNotFound) && doubtful {
		return s.unknown(op) // gone: by us or by somebody else
	}
	if err != nil {
		return err
	}
	return s.fenced(op, item, doubtful)
}

// Roster implements checkpoint.Store: one consistent Scan, as many pages as the
// table has megabytes.
func (s *Store) Roster(ctx context.Context) (r checkpoint.Roster, err error) {
	items, err := s.Scan(ctx)
	if err != nil {
		return r, err
	}
	for _, item := range items {
		switch {
		case kcl.IsWorker(item):
			w, err := kcl.DecodeWorker(item)
			if err != nil {
				return checkpoint.Roster{}, s.damaged(err)
			}
			r.Workers = append(r.Workers, w)
		case kcl.IsLease(item):
			l, err := s.lease(item)
			if err != nil {
				return checkpoint.Roster{}, err
			}
			r.Leases = append(r.Leases, l)
		}
	}
	slices.SortFunc(r.Leases, func(a, b checkpoint.Lease) int { return cmp.Compare(a.Shard, b.Shard) })
	slices.SortFunc(r.Workers, func(a, b checkpoint.Worker) int { return cmp.Compare(a.ID, b.ID) })
	return r, nil
}

// Beat implements checkpoint.Store.
func (s *Store) Beat(ctx context.Context, w checkpoint.Worker) (checkpoint.Worker, error) {
	id, key := dynamo.WriteID(), kcl.WorkerKey(w.ID)
	e := newExpression()
	columns := kcl.WorkerColumns(w)
	for _, name := range []string{kcl.Switches, kcl.Checkpoint, kcl.Sub, kcl.Worker, kcl.Leaving, kcl.Capacity, kcl.Version, kcl.Address, kcl.Started} {
		if v := columns[name]; v != nil {
			e.put(name, v)
		} else {
			e.drop(name)
		}
	}
	e.increase(kcl.Counter, 1)
	once(e, id)
	item, _, err := s.update(ctx, "heartbeat of worker "+w.ID, key, e)
	if dynamo.ConditionFailed(err) { // its only condition is that it was not applied
		item, err = s.refused(ctx, key, err)
	}
	if err != nil {
		return checkpoint.Worker{}, err
	}
	stored, err := kcl.DecodeWorker(item)
	if err != nil {
		return checkpoint.Worker{}, s.damaged(err)
	}
	return stored, nil
}

// Nudge implements checkpoint.Store. A repeat after a lost answer counts twice,
// which asks for the same.
func (s *Store) Nudge(ctx context.Context, id string) error {
	e := newExpression()
	e.require("attribute_exists(%s)", kcl.Key)
	e.increase(kcl.Nudges, 1)
	_, _, err := s.update(ctx, "nudge worker "+id, kcl.WorkerKey(id), e)
	if dynamo.ConditionFailed(err) {
		return checkpoint.ErrNotFound
	}
	return err
}

// Forget implements checkpoint.Store.
func (s *Store) Forget(ctx context.Context, id string) error {
	_, err := s.delete(ctx, "forget worker "+id, kcl.WorkerKey(id), newExpression())
	return err
}

// Close implements checkpoint.Store: it closes idle connections.
func (s *Store) Close() error {
	s.Table.Close()
	return nil
}

// fenced is the error of an update whose condition did not hold on item. After
// a doubtful attempt that is not known: the update may have been applied and
// written over, and "refused" would be a false statement.
func (s *Store) fenced(op string, item kcl.Item, doubtful bool) error {
	if doubtful {
		return s.unknown(op)
	}
	l, err := s.lease(item)
	if err != nil {
		return err
	}
	return &checkpoint.FencedError{Current: l}
}

func (s *Store) unknown(op string) error {
	return &standpipe.Error{
		Class: standpipe.Retryable, Op: fmt.Sprintf("table %s: %s", s.Name(), op),
		Err: errors.New("an answer was lost and the row has been written by somebody else since: applied or not is unknown"),
	}
}

// lease reads a row that must be a lease of ours.
func (s *Store) lease(item kcl.Item) (checkpoint.Lease, error) {
	if !kcl.Ours(item) {
		return checkpoint.Lease{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: fmt.Sprintf("table %s: read row %s", s.Name(), textOf(item, kcl.Key)),
			Err:  errors.New("it was not written by standpipe, its owner may be at work"),
			Hint: "stop the KCL application and run standpipe import-kcl --table " + s.Name() + "; or name another table in Standpipe.Checkpoint.Table",
		}
	}
	l, err := kcl.DecodeLease(item)
	if err != nil {
		return checkpoint.Lease{}, s.damaged(err)
	}
	return l, nil
}

func (s *Store) damaged(err error) error {
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: "read table " + s.Name(), Err: err,
		Hint: "a row was changed by hand or by another program; mend it, or delete it to begin its shard anew",
	}
}

func wrote(item kcl.Item, id string) bool { return textOf(item, kcl.Write) == id }

func textOf(item kcl.Item, name string) string {
	if s, ok := item[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}
