package dynamodb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/kcl"
)

// An expression collects the terms of one conditional update. Attributes are
// named by placeholders throughout: several of KCL's names are reserved words.
type expression struct {
	names            map[string]string
	values           kcl.Item
	where            []string
	set, add, remove []string
}

func newExpression() *expression {
	return &expression{names: map[string]string{}, values: kcl.Item{}}
}

func (e *expression) name(attribute string) string {
	e.names["#"+attribute] = attribute
	return "#" + attribute
}

func (e *expression) value(v any) string {
	placeholder := fmt.Sprintf(":%d", len(e.values))
	e.values[placeholder] = valueOf(v)
	return placeholder
}

// require adds a term to the condition; %s in it are attributes in their order,
// the last one the value if there is one.
func (e *expression) require(term string, attribute string, value ...any) {
	args := []any{e.name(attribute)}
	for _, v := range value {
		args = append(args, e.value(v))
	}
	e.where = append(e.where, fmt.Sprintf(term, args...))
}

func (e *expression) put(attribute string, value any) {
	e.set = append(e.set, e.name(attribute)+" = "+e.value(value))
}

func (e *expression) increase(attribute string, by int) {
	e.add = append(e.add, e.name(attribute)+" "+e.value(int64(by)))
}

func (e *expression) drop(attribute string) { e.remove = append(e.remove, e.name(attribute)) }

// putOrDrop writes a value, or removes the attribute when the value is its zero.
func putOrDrop[T comparable](e *expression, attribute string, value T) {
	if zero := *new(T); value == zero {
		e.drop(attribute)
	} else {
		e.put(attribute, value)
	}
}

func (e *expression) condition() string { return strings.Join(e.where, " AND ") }

func (e *expression) update() string {
	var clauses []string
	for _, c := range []struct {
		verb  string
		terms []string
	}{{"SET ", e.set}, {"ADD ", e.add}, {"REMOVE ", e.remove}} {
		if len(c.terms) > 0 {
			clauses = append(clauses, c.verb+strings.Join(c.terms, ", "))
		}
	}
	return strings.Join(clauses, " ")
}

// conditionOf says what Condition.Holds says. Numbers that only we write are
// absent in rows that were made elsewhere, and absent is 0.
func conditionOf(e *expression, c checkpoint.Condition) {
	e.require("attribute_exists(%s)", kcl.Key)
	if c.Owner != nil {
		requireText(e, kcl.Owner, *c.Owner)
	}
	requireNumber(e, kcl.Epoch, c.Epoch)
	requireNumber(e, kcl.Flush, c.Flush)
	requireNumber(e, kcl.Counter, c.Counter)
	if c.Checkpoint != nil {
		e.require("%s = %s", kcl.Checkpoint, c.Checkpoint.Sequence)
		requireNumber(e, kcl.Sub, &c.Checkpoint.Sub)
	}
	if c.NoPending {
		e.require("attribute_not_exists(%s)", kcl.PendingSeq)
	}
	switch {
	case c.PendingState == nil:
	case len(c.PendingState) == 0:
		e.require("attribute_exists(%s)", kcl.PendingSeq)
		e.require("NOT attribute_type(%s, %s)", kcl.PendingData, "B")
	default:
		e.require("%s = %s", kcl.PendingData, c.PendingState)
	}
}

func requireText(e *expression, attribute, want string) {
	if want == "" {
		e.require("attribute_not_exists(%s)", attribute)
	} else {
		e.require("%s = %s", attribute, want)
	}
}

func requireNumber(e *expression, attribute string, want *int64) {
	switch {
	case want == nil:
	case *want == 0:
		e.require("(attribute_not_exists(%[1]s) OR %[1]s = %[2]s)", attribute, *want)
	default:
		e.require("%s = %s", attribute, *want)
	}
}

// changeOf does what Change.Apply does.
func changeOf(e *expression, c checkpoint.Change) {
	e.increase(kcl.Counter, 1)
	if c.Owner != nil {
		putOrDrop(e, kcl.Owner, *c.Owner)
	}
	if c.Successor != nil {
		putOrDrop(e, kcl.Successor, *c.Successor)
	}
	if c.NextEpoch {
		e.increase(kcl.Epoch, 1)
	}
	switch {
	case c.Checkpoint != nil:
		e.put(kcl.Checkpoint, c.Checkpoint.Sequence)
		e.put(kcl.Sub, c.Checkpoint.Sub)
		e.put(kcl.Switches, int64(0))
	case c.OwnerSwitched:
		e.increase(kcl.Switches, 1)
	}
	changePending(e, c)
	if c.Flush != nil {
		e.put(kcl.Flush, *c.Flush)
	}
	if c.Commits != nil {
		e.put(kcl.Commits, *c.Commits)
	}
	if c.Children != nil {
		if children := slices.DeleteFunc(slices.Clone(c.Children), isEmpty); len(children) > 0 {
			e.put(kcl.Children, children)
		} else {
			e.drop(kcl.Children)
		}
	}
	if c.Seen != nil {
		putOrDrop(e, kcl.Seen, *c.Seen)
	}
	if c.Incarnation != nil {
		putOrDrop(e, kcl.Incarnation, *c.Incarnation)
	}
	if c.StartTime != nil {
		putOrDrop(e, kcl.StartTime, *c.StartTime)
	}
	if n := len(c.Gaps); n > 0 {
		e.increase(kcl.Gaps, n)
		e.put(kcl.LastGap, kcl.EncodeGap(c.Gaps[n-1]))
	}
}

func isEmpty[T ~string](s T) bool { return s == "" }

func changePending(e *expression, c checkpoint.Change) {
	switch {
	case c.Pending != nil:
		e.put(kcl.PendingSeq, c.Pending.Position.Sequence)
		e.put(kcl.PendingSub, c.Pending.Position.Sub)
		if len(c.Pending.State) > 0 {
			e.put(kcl.PendingData, c.Pending.State)
		} else {
			e.drop(kcl.PendingData)
		}
	case c.ClearPending:
		e.drop(kcl.PendingSeq)
		e.drop(kcl.PendingSub)
		e.drop(kcl.PendingData)
	}
}

// once makes an update one that can be repeated: the row gets the write's id,
// and a repeat that finds it there is refused.
func once(e *expression, id string) {
	e.require("(attribute_not_exists(%[1]s) OR %[1]s <> %[2]s)", kcl.Write, id)
	e.put(kcl.Write, id)
}
