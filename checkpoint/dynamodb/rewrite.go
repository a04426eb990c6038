package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/kcl"
	"github.com/standpipe/standpipe/internal/dynamo"
)

// Rewrite does one write of a take-over or a hand-back. It fails with class
// Fenced when the row was written by somebody else since it was read.
func (t *Table) Rewrite(ctx context.Context, r kcl.Rewrite) error {
	e, next := newExpression(), int64(0)
	if r.Counter == nil {
		e.require("attribute_not_exists(%s)", kcl.Key)
	} else {
		e.require("%s = %s", kcl.Counter, *r.Counter)
		next = *r.Counter + 1
	}
	e.put(kcl.Counter, next)
	for _, name := range slices.Sorted(maps.Keys(r.Set)) {
		e.put(name, r.Set[name])
	}
	for _, name := range r.Remove {
		if r.Set[name] == nil {
			e.drop(name)
		}
	}
	op := "rewrite row " + r.Key
	_, doubtful, err := t.update(ctx, op, r.Key, e)
	if !dynamo.ConditionFailed(err) {
		return err
	}
	if doubtful {
		// A lost answer of ours: the row is then exactly what it was to become.
		item, err := t.get(ctx, r.Key)
		if err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
			return err
		}
		if holds(item, r.Set) && reflect.DeepEqual(item[kcl.Counter], kcl.N(next)) {
			return nil
		}
	}
	return &standpipe.Error{
		Class: standpipe.Fenced, Op: fmt.Sprintf("table %s: %s", t.Name(), op), Err: errors.New("somebody wrote to it meanwhile"),
		Hint: "an application is still at work on the table: stop it, then run the command again; rows that were done stay done",
	}
}

func holds(item, set kcl.Item) bool {
	for name, v := range set {
		if !reflect.DeepEqual(item[name], v) {
			return false
		}
	}
	return true
}

// Remove deletes a row of a worker that is gone.
func (t *Table) Remove(ctx context.Context, worker string) error {
	_, err := t.delete(ctx, "forget worker "+worker, kcl.WorkerKey(worker), newExpression())
	return err
}

// WriteID is a new random id for Adoption.InPlace.
func (t *Table) WriteID() string { return dynamo.WriteID() }

// Picture reads a lease table and what a KCL 3.x fleet keeps beside it.
func (t *Table) Picture(ctx context.Context) (p kcl.Picture, err error) {
	if p.Table, err = t.Scan(ctx); err != nil {
		return p, err
	}
	if p.Coordinator, err = t.beside(kcl.CoordinatorTable(t.Name())).scanIfThere(ctx); err != nil {
		return p, err
	}
	p.Metrics, err = t.beside(kcl.MetricsTable(t.Name())).scanIfThere(ctx)
	return p, err
}

// beside is another table by the same client.
func (t *Table) beside(name string) *Table {
	return &Table{t.table.Beside(name)}
}

func (t *Table) scanIfThere(ctx context.Context) ([]kcl.Item, error) {
	items, err := t.Scan(ctx)
	if standpipe.ClassOf(err) == standpipe.NotFound {
		return nil, nil
	}
	return items, err
}
