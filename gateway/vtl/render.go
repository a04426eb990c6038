package vtl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/standpipe/standpipe/gateway/jsondoc"
)

// Limits bound one render. A zero field means the default.
type Limits struct {
	// Steps are nodes rendered and expressions evaluated.
	Steps int
	// Bytes are all bytes of texts made on the way, the output included.
	Bytes int
	// Output is the largest result, in bytes.
	Output int
	// Rounds are those of one #foreach; API Gateway has 1,000.
	Rounds int
}

// DefaultLimits let a body of API Gateway's 10 MiB through a template that
// copies it a dozen times, and end an endless one in a fraction of a second.
func DefaultLimits() Limits {
	return Limits{Steps: 250_000, Bytes: 256 << 20, Output: 32 << 20, Rounds: 1000}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ v, d *int }{{&l.Steps, &d.Steps}, {&l.Bytes, &d.Bytes}, {&l.Output, &d.Output}, {&l.Rounds, &d.Rounds}} {
		if *f.v == 0 {
			*f.v = *f.d
		}
	}
	return l
}

// An Object is what the host gives as a variable with methods, such as $input.
// Its methods may be called by one render at a time.
type Object interface {
	// Get returns a property; nil means that there is none.
	Get(name string) any
	// Call calls a method. The error is ErrNoMethod, or says what is wrong.
	Call(name string, args []any) (any, error)
}

// ErrNoMethod says that a value has no method of that name and number of arguments.
var ErrNoMethod = errors.New("no such method")

// Render renders the template with the variables, which it changes: a template
// can set them. It ends early, with the cause, when ctx does. The error is an
// *Error otherwise.
func (t *Template) Render(ctx context.Context, vars map[string]any, limits Limits) (string, error) {
	if vars == nil {
		vars = map[string]any{}
	}
	r := &run{ctx: ctx, t: t, vars: vars, limits: limits.orDefault()}
	r.out = &r.main
	if err := t.root.render(r); err != nil && !errors.Is(err, errStop) && !errors.Is(err, errBreak) {
		return "", err
	}
	return r.main.String(), nil
}

// A run is one render.
type run struct {
	ctx    context.Context
	t      *Template
	vars   map[string]any
	limits Limits
	steps  int
	bytes  int
	at     int // of the reference under way, for errors that know no better
	main   strings.Builder
	out    *strings.Builder
}

// errBreak and errStop travel up to what they end: a loop or the whole render.
var (
	errBreak = errors.New("break")
	errStop  = errors.New("stop")
)

func (r *run) errorAt(pos int, err error) error {
	if _, placed := errors.AsType[*Error](err); placed {
		return err
	}
	e := &Error{Message: err.Error(), Err: err}
	e.Line, e.Column = position(r.t.source, pos)
	return e
}

// step counts one step, and looks at the context now and then.
func (r *run) step() error {
	if r.steps++; r.steps > r.limits.Steps {
		return r.errorAt(r.at, fmt.Errorf("the template takes more than %d steps", r.limits.Steps))
	}
	if r.steps%256 == 0 && r.ctx.Err() != nil {
		return r.errorAt(r.at, context.Cause(r.ctx))
	}
	return nil
}

// charge counts bytes of a text that was made.
func (r *run) charge(n int) error {
	if r.bytes += n; r.bytes > r.limits.Bytes || n > r.limits.Output {
		return r.errorAt(r.at, fmt.Errorf("the template makes more than %d bytes of text, or one text of more than %d", r.limits.Bytes, r.limits.Output))
	}
	return nil
}

func (r *run) write(s string) error {
	if r.out.Len()+len(s) > r.limits.Output {
		return r.errorAt(r.at, fmt.Errorf("the output has more than %d bytes", r.limits.Output))
	}
	r.out.WriteString(s)
	return r.charge(len(s))
}

// text is a value as it is printed.
func (r *run) text(v any) (string, error) {
	s, err := jsondoc.Text(v, r.limits.Output)
	if err != nil {
		return "", r.errorAt(r.at, err)
	}
	if _, already := v.(string); already {
		return s, nil
	}
	return s, r.charge(len(s))
}

func (b block) render(r *run) error {
	for _, n := range b {
		if err := r.step(); err != nil {
			return err
		}
		if err := n.render(r); err != nil {
			return err
		}
	}
	return nil
}

func (t text) render(r *run) error { return r.write(string(t)) }

func (o output) render(r *run) error {
	v, err := o.eval(r)
	if err != nil {
		return err
	}
	return o.print(r, v)
}

func (f *reference) print(r *run, v any) error {
	switch {
	case v == nil && f.quiet:
		return nil
	case v == nil:
		return r.write(f.source)
	}
	s, err := r.text(v)
	if err != nil {
		return err
	}
	return r.write(s)
}

func (e escapedReference) render(r *run) error {
	v, err := e.eval(r)
	if err != nil {
		return err
	}
	if v == nil { // nothing to escape
		return r.write(strings.Repeat(`\`, e.backslashes) + e.source)
	}
	if err := r.write(strings.Repeat(`\`, e.backslashes/2)); err != nil {
		return err
	}
	if e.backslashes%2 == 1 {
		return r.write(e.source)
	}
	return e.print(r, v)
}

func (a *assignment) render(r *run) error {
	v, err := a.value.eval(r)
	if err != nil || v == nil { // Velocity leaves the variable as it was
		return err
	}
	parts := a.target.parts
	if len(parts) == 0 {
		r.vars[a.target.name] = v
		return nil
	}
	owner := &reference{pos: a.target.pos, name: a.target.name, parts: parts[:len(parts)-1]}
	holder, err := owner.eval(r)
	if err != nil {
		return err
	}
	last := parts[len(parts)-1]
	var key any = last.name
	if last.index {
		if key, err = last.args[0].eval(r); err != nil {
			return err
		}
	}
	if err := r.put(holder, key, v); err != nil {
		return r.errorAt(a.at, fmt.Errorf("cannot set %s: %w", a.target.source, err))
	}
	return nil
}

func (r *run) put(holder, key, v any) error {
	switch h := holder.(type) {
	case *jsondoc.Map:
		name, err := r.text(key)
		if err != nil {
			return err
		}
		h.Put(name, v)
		return nil
	case *jsondoc.List:
		i, err := index(h, key)
		if err != nil {
			return err
		}
		h.Items[i] = v
		return nil
	case nil:
		return errors.New("what it belongs to has no value")
	}
	return fmt.Errorf("%s has no fields", kind(holder))
}

func (c *conditional) render(r *run) error {
	for _, a := range c.arms {
		if a.condition != nil {
			v, err := a.condition.eval(r)
			if err != nil {
				return err
			}
			if !truth(v) {
				continue
			}
		}
		return a.body.render(r)
	}
	return nil
}

// truth is Velocity 1.7's: only null and false are false.
func truth(v any) bool {
	if b, ok := v.(bool); ok {
		return b
	}
	return v != nil
}

func (j jump) render(*run) error {
	if j == "break" {
		return errBreak
	}
	return errStop
}

func (l *loop) render(r *run) error {
	over, err := l.over.eval(r)
	if err != nil {
		return err
	}
	items := items(over)
	if len(items) > r.limits.Rounds {
		return r.errorAt(l.at, fmt.Errorf("#foreach over %d items; API Gateway allows %d", len(items), r.limits.Rounds))
	}
	outer := r.vars["foreach"]
	defer r.restore(l.name, "foreach", "velocityCount")()
	for i, item := range items {
		r.vars[l.name] = item
		r.vars["velocityCount"] = int64(i + 1)
		r.vars["foreach"] = jsondoc.MapOf("index", int64(i), "count", int64(i+1), "hasNext", i+1 < len(items),
			"first", i == 0, "last", i+1 == len(items), "parent", outer)
		switch err := l.body.render(r); {
		case errors.Is(err, errBreak):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// items are what a loop goes over: nothing for a value that has no items.
func items(v any) []any {
	switch v := v.(type) {
	case *jsondoc.List:
		return append([]any(nil), v.Items...) // the body may change the list
	case *jsondoc.Map:
		var all []any
		for _, k := range v.Keys() {
			value, _ := v.Get(k)
			all = append(all, value)
		}
		return all
	}
	return nil
}

// restore remembers variables; the returned function puts them back.
func (r *run) restore(names ...string) func() {
	before := map[string]any{}
	for _, n := range names {
		if v, there := r.vars[n]; there {
			before[n] = v
		}
	}
	return func() {
		for _, n := range names {
			if v, there := before[n]; there {
				r.vars[n] = v
			} else {
				delete(r.vars, n)
			}
		}
	}
}
