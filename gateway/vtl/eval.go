package vtl

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"

	"github.com/standpipe/standpipe/gateway/jsondoc"
)

func (l literal) eval(r *run) (any, error) { return l.value, r.step() }

func (s *interpolated) eval(r *run) (any, error) {
	outer, inner := r.out, &strings.Builder{}
	r.out = inner
	err := s.body.render(r)
	r.out = outer
	return inner.String(), err
}

func (l *listLiteral) eval(r *run) (any, error) {
	list := &jsondoc.List{}
	for _, e := range l.items {
		v, err := e.eval(r)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, v)
	}
	return list, r.step()
}

func (l *rangeLiteral) eval(r *run) (any, error) {
	ends := [2]int64{}
	for i, e := range []expr{l.first, l.last} {
		v, err := e.eval(r)
		if err != nil {
			return nil, err
		}
		n, ok := v.(int64)
		if !ok {
			return nil, r.errorAt(l.at, fmt.Errorf("a range wants two integers, not %s", kind(v)))
		}
		ends[i] = n
	}
	first, last := ends[0], ends[1]
	step := int64(1)
	if last < first {
		step = -1
	}
	span := new(big.Int).Sub(big.NewInt(last), big.NewInt(first))
	if !span.IsInt64() || span.Int64() >= int64(r.limits.Rounds) || span.Int64() <= -int64(r.limits.Rounds) {
		return nil, r.errorAt(l.at, fmt.Errorf("a range of more than %d numbers", r.limits.Rounds))
	}
	list := &jsondoc.List{}
	for n := first; ; n += step {
		list.Items = append(list.Items, n)
		if n == last {
			break
		}
	}
	r.steps += len(list.Items)
	return list, r.step()
}

func (m *mapLiteral) eval(r *run) (any, error) {
	out := &jsondoc.Map{}
	for i := range m.keys {
		k, err := m.keys[i].eval(r)
		if err != nil {
			return nil, err
		}
		key, err := r.text(k)
		if err != nil {
			return nil, err
		}
		v, err := m.values[i].eval(r)
		if err != nil {
			return nil, err
		}
		out.Put(key, v)
	}
	return out, r.step()
}

func (n negation) eval(r *run) (any, error) {
	v, err := n.of.eval(r)
	return !truth(v), err
}

func (f *reference) eval(r *run) (any, error) {
	if err := r.step(); err != nil {
		return nil, err
	}
	outer := r.at
	r.at = f.pos
	defer func() { r.at = outer }()
	v := r.vars[f.name]
	for _, p := range f.parts {
		if v == nil {
			return nil, nil
		}
		var err error
		if v, err = r.follow(v, p); err != nil {
			return nil, r.errorAt(p.pos, err)
		}
	}
	return v, nil
}

// follow takes one step from a value.
func (r *run) follow(v any, p part) (any, error) {
	if !p.call && !p.index {
		return property(v, p.name), nil
	}
	args := make([]any, len(p.args))
	for i, e := range p.args {
		var err error
		if args[i], err = e.eval(r); err != nil {
			return nil, err
		}
	}
	if p.index {
		return r.item(v, args[0])
	}
	if err := r.step(); err != nil {
		return nil, err
	}
	result, err := r.call(v, p.name, args)
	if errors.Is(err, ErrNoMethod) {
		return nil, fmt.Errorf("%s has no method %s with %d arguments that is supported here", kind(v), p.name, len(args))
	}
	if err != nil {
		return nil, err
	}
	if s, ok := result.(string); ok {
		return s, r.charge(len(s))
	}
	return result, nil
}

// property is $v.name, or nil.
func property(v any, name string) any {
	switch v := v.(type) {
	case *jsondoc.Map:
		value, _ := v.Get(name)
		return value
	case Object:
		return v.Get(name)
	}
	return nil
}

// item is $v[key].
func (r *run) item(v, key any) (any, error) {
	switch v := v.(type) {
	case *jsondoc.Map:
		name, err := r.text(key)
		if err != nil {
			return nil, err
		}
		value, _ := v.Get(name)
		return value, nil
	case *jsondoc.List:
		i, err := index(v, key)
		if err != nil {
			return nil, err
		}
		return v.Items[i], nil
	}
	return nil, fmt.Errorf("%s has no items", kind(v))
}

// index is a place in a list; a negative one counts from the end.
func index(l *jsondoc.List, key any) (int, error) {
	n, ok := key.(int64)
	if !ok {
		return 0, fmt.Errorf("%s is no index of a list", kind(key))
	}
	i := n
	if i < 0 {
		i += int64(len(l.Items))
	}
	if i < 0 || i >= int64(len(l.Items)) {
		return 0, fmt.Errorf("index %d is outside of a list of %d items", n, len(l.Items))
	}
	return int(i), nil
}

// kind names a value in a message.
func kind(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "a text"
	case bool:
		return "a truth value"
	case *jsondoc.Map:
		return "a map"
	case *jsondoc.List:
		return "a list"
	case Object:
		return "this variable"
	}
	return "a number"
}

func (b *binary) eval(r *run) (any, error) {
	left, err := b.left.eval(r)
	if err != nil {
		return nil, err
	}
	switch b.op {
	case "&&":
		if !truth(left) {
			return false, nil
		}
		right, err := b.right.eval(r)
		return truth(right), err
	case "||":
		if truth(left) {
			return true, nil
		}
		right, err := b.right.eval(r)
		return truth(right), err
	}
	right, err := b.right.eval(r)
	if err != nil {
		return nil, err
	}
	if err := r.step(); err != nil {
		return nil, err
	}
	switch b.op {
	case "==", "!=":
		same, err := r.equal(left, right)
		return same == (b.op == "=="), err
	case "<", "<=", ">", ">=":
		return compare(b.op, left, right), nil
	case "+":
		if isText(left) || isText(right) {
			return b.join(r, left, right)
		}
	}
	v, err := arithmetic(b.op, left, right)
	if err != nil {
		return nil, r.errorAt(b.at, err)
	}
	return v, nil
}

func isText(v any) bool { _, ok := v.(string); return ok }

// join is + with a text: a reference without a value stands for itself.
func (b *binary) join(r *run, left, right any) (any, error) {
	texts := [2]string{}
	for i, side := range []struct {
		v any
		e expr
	}{{left, b.left}, {right, b.right}} {
		ref, isRef := side.e.(*reference)
		if side.v == nil && isRef {
			texts[i] = ref.source
			continue
		}
		s, err := r.text(side.v)
		if err != nil {
			return nil, err
		}
		texts[i] = s
	}
	if err := r.charge(len(texts[0]) + len(texts[1])); err != nil {
		return nil, err
	}
	return texts[0] + texts[1], nil
}

// equal compares numbers by value and everything else by its text, as Velocity
// does with values of different classes.
func (r *run) equal(a, b any) (bool, error) {
	if a == nil || b == nil {
		return a == b, nil
	}
	if c, ok := order(a, b); ok {
		return c == 0, nil
	}
	left, err := r.text(a)
	if err != nil {
		return false, err
	}
	right, err := r.text(b)
	return left == right, err
}

// compare is false for what are not two numbers.
func compare(op string, a, b any) bool {
	c, ok := order(a, b)
	if !ok {
		return false
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// order compares two numbers; ok is false for anything else, NaN too.
func order(a, b any) (c int, ok bool) {
	x, y := whole(a), whole(b)
	if x != nil && y != nil {
		return x.Cmp(y), true
	}
	f, ok1 := float(a)
	g, ok2 := float(b)
	switch {
	case !ok1 || !ok2 || math.IsNaN(f) || math.IsNaN(g):
		return 0, false
	case f < g:
		return -1, true
	case f > g:
		return 1, true
	}
	return 0, true
}

// whole is the integer a value is, or nil.
func whole(v any) *big.Int {
	switch v := v.(type) {
	case int64:
		return big.NewInt(v)
	case *big.Int:
		return v
	}
	return nil
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case jsondoc.Decimal:
		f, _, err := big.ParseFloat(string(v), 10, 53, big.ToNearestEven)
		if err != nil {
			return 0, false
		}
		n, _ := f.Float64()
		return n, true
	}
	if n := whole(v); n != nil {
		f, _ := new(big.Float).SetInt(n).Float64()
		return f, true
	}
	return 0, false
}

// digitsMax bounds the integers of a template.
const digitsMax = 1000

// arithmetic has no value for what are not two numbers and for a division by
// zero.
func arithmetic(op string, a, b any) (any, error) {
	x, y := whole(a), whole(b)
	if x == nil || y == nil {
		return floats(op, a, b), nil
	}
	n := new(big.Int)
	switch op {
	case "+":
		n.Add(x, y)
	case "-":
		n.Sub(x, y)
	case "*":
		n.Mul(x, y)
	case "/", "%":
		if y.Sign() == 0 {
			return nil, nil
		}
		if op == "/" {
			n.Quo(x, y)
		} else {
			n.Rem(x, y)
		}
	}
	if n.BitLen() > digitsMax*4 {
		return nil, fmt.Errorf("a number of more than %d digits", digitsMax)
	}
	return jsondoc.Integer(n), nil
}

func floats(op string, a, b any) any {
	f, ok1 := float(a)
	g, ok2 := float(b)
	if !ok1 || !ok2 {
		return nil
	}
	switch op {
	case "+":
		return f + g
	case "-":
		return f - g
	case "*":
		return f * g
	}
	if g == 0 {
		return nil
	}
	if op == "/" {
		return f / g
	}
	return math.Mod(f, g)
}
