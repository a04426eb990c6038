package vtl

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/standpipe/standpipe/gateway/jsondoc"
)

// call calls a method of a value: those of Java's String, List, Map and numbers
// that templates use.
func (r *run) call(v any, name string, args []any) (any, error) {
	if name == "toString" && len(args) == 0 {
		return r.text(v)
	}
	switch v := v.(type) {
	case Object:
		return v.Call(name, args)
	case string:
		return r.stringMethod(v, name, args)
	case *jsondoc.List:
		return r.listMethod(v, name, args)
	case *jsondoc.Map:
		return r.mapMethod(v, name, args)
	}
	if name == "equals" && len(args) == 1 {
		return r.equal(v, args[0])
	}
	if f, ok := float(v); ok && len(args) == 0 {
		return numberMethod(v, f, name)
	}
	return nil, ErrNoMethod
}

func numberMethod(v any, f float64, name string) (any, error) {
	switch name {
	case "intValue", "longValue":
		if n := whole(v); n != nil {
			return jsondoc.Integer(n), nil
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, errors.New("not a number")
		}
		n, _ := big.NewFloat(math.Trunc(f)).Int(nil)
		return jsondoc.Integer(n), nil
	case "doubleValue":
		return f, nil
	}
	return nil, ErrNoMethod
}

// signature is a method's name with what its arguments are: s for a text, n for
// an integer, o for anything else.
func signature(name string, args []any) string {
	b := []byte(name + "/")
	for _, a := range args {
		switch a.(type) {
		case string:
			b = append(b, 's')
		case int64:
			b = append(b, 'n')
		default:
			b = append(b, 'o')
		}
	}
	return string(b)
}

func (r *run) stringMethod(s, name string, args []any) (any, error) {
	// A method reads its text: that is work too.
	r.bytes += len(s) / 16
	a := func(i int) string { return args[i].(string) }
	switch signature(name, args) {
	case "length/":
		return int64(units(s)), nil
	case "isEmpty/":
		return s == "", nil
	case "toLowerCase/":
		return strings.ToLower(s), nil
	case "toUpperCase/":
		return strings.ToUpper(s), nil
	case "trim/":
		return strings.TrimFunc(s, func(c rune) bool { return c <= ' ' }), nil
	case "contains/s":
		return strings.Contains(s, a(0)), nil
	case "startsWith/s":
		return strings.HasPrefix(s, a(0)), nil
	case "endsWith/s":
		return strings.HasSuffix(s, a(0)), nil
	case "equals/s":
		return s == a(0), nil
	case "equals/n", "equals/o":
		return false, nil
	case "equalsIgnoreCase/s":
		return strings.EqualFold(s, a(0)), nil
	case "compareTo/s":
		return int64(cmp.Compare(s, a(0))), nil
	case "concat/s":
		return s + a(0), nil
	case "indexOf/s":
		return place(s, strings.Index(s, a(0))), nil
	case "lastIndexOf/s":
		return place(s, strings.LastIndex(s, a(0))), nil
	case "charAt/n":
		n := args[0].(int64)
		return substring(s, n, n+1)
	case "substring/n":
		return substring(s, args[0].(int64), int64(units(s)))
	case "substring/nn":
		return substring(s, args[0].(int64), args[1].(int64))
	case "replace/ss":
		return r.replace(s, a(0), a(1))
	case "matches/s", "split/s", "replaceAll/ss", "replaceFirst/ss":
		return r.pattern(s, name, args)
	}
	return nil, ErrNoMethod
}

// replace looks at the size of the result before it is made.
func (r *run) replace(s, old, with string) (any, error) {
	if n := strings.Count(s, old); len(with) > 0 && n > r.limits.Output/len(with) {
		return nil, r.charge(r.limits.Output + 1)
	}
	return strings.ReplaceAll(s, old, with), nil
}

const (
	// patternMax bounds a regular expression's text.
	patternMax = 1000
	// patternCost is what a byte that is matched costs, beside one that is copied.
	patternCost = 32
)

var group = regexp.MustCompile(`\\(.)|\$(\d)`)

// pattern is the methods with a regular expression, in Go's syntax, which is
// Java's but for look-around, back references and possessive repeats.
func (r *run) pattern(s, name string, args []any) (any, error) {
	written := args[0].(string)
	if len(written) > patternMax {
		return nil, fmt.Errorf("a regular expression of more than %d bytes", patternMax)
	}
	if name == "matches" {
		written = "^(?:" + written + ")$"
	}
	re, err := regexp.Compile(written)
	if e, bad := errors.AsType[*syntax.Error](err); bad {
		return nil, fmt.Errorf("regular expression: %s", e.Code) // without the text, which may be a caller's
	}
	if err := r.charge(patternCost * len(s)); err != nil {
		return nil, err
	}
	switch name {
	case "matches":
		return re.MatchString(s), nil
	case "split":
		return split(re, s), nil
	}
	// Java writes $1 where Go wants ${1}, and a backslash takes a meaning away.
	with := group.ReplaceAllStringFunc(args[1].(string), func(m string) string {
		if m[0] == '\\' {
			return strings.ReplaceAll(m[1:], "$", "$$")
		}
		return "${" + m[1:] + "}"
	})
	if name == "replaceFirst" {
		at := re.FindStringSubmatchIndex(s)
		if at == nil {
			return s, nil
		}
		return string(re.ExpandString([]byte(s[:at[0]]), with, s, at)) + s[at[1]:], nil
	}
	var b []byte
	last := 0
	for _, at := range re.FindAllStringSubmatchIndex(s, -1) {
		b = append(b, s[last:at[0]]...)
		b = re.ExpandString(b, with, s, at)
		last = at[1]
		if len(b) > r.limits.Output {
			return nil, r.charge(len(b))
		}
	}
	return string(append(b, s[last:]...)), nil
}

// split drops empty parts at the end, as Java does.
func split(re *regexp.Regexp, s string) *jsondoc.List {
	parts := re.Split(s, -1)
	for len(parts) > 1 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	l := &jsondoc.List{}
	for _, p := range parts {
		l.Items = append(l.Items, p)
	}
	return l
}

// Java counts UTF-16 units.
func units(s string) int {
	n := 0
	for _, c := range s {
		n += utf16.RuneLen(c)
	}
	return n
}

// place turns a byte offset into one in units; -1 stays.
func place(s string, at int) any {
	if at < 0 {
		return int64(-1)
	}
	return int64(units(s[:at]))
}

// substring cuts at units. A cut within a pair leaves a question mark, as Java
// writes it.
func substring(s string, from, to int64) (any, error) {
	n := int64(units(s))
	if from < 0 || to > n || from > to {
		return nil, fmt.Errorf("from %d to %d is outside of a text of %d characters", from, to, n)
	}
	if int(n) == len(s) {
		return s[from:to], nil
	}
	cut := utf16.Decode(utf16.Encode([]rune(s))[from:to])
	return strings.ReplaceAll(string(cut), string(utf8.RuneError), "?"), nil
}

func (r *run) listMethod(l *jsondoc.List, name string, args []any) (any, error) {
	switch signature(name, args) {
	case "size/":
		return int64(len(l.Items)), nil
	case "isEmpty/":
		return len(l.Items) == 0, nil
	case "get/n":
		if args[0].(int64) < 0 {
			return nil, fmt.Errorf("index %d is outside of a list of %d items", args[0], len(l.Items))
		}
		return r.item(l, args[0])
	case "set/nn", "set/ns", "set/no":
		before, err := r.item(l, args[0])
		if err != nil {
			return nil, err
		}
		return before, r.put(l, args[0], args[1])
	}
	switch {
	case len(args) != 1:
		return nil, ErrNoMethod
	case name == "add":
		if len(l.Items) >= listMax {
			return nil, fmt.Errorf("a list of more than %d items", listMax)
		}
		l.Items = append(l.Items, args[0])
		return true, nil
	case name == "remove":
		return r.removeItem(l, args[0])
	case name == "contains", name == "indexOf":
		at, err := r.find(l.Items, args[0])
		if name == "contains" {
			return at >= 0, err
		}
		return int64(at), err
	case name == "addAll":
		more := items(args[0])
		if len(l.Items)+len(more) > listMax {
			return nil, fmt.Errorf("a list of more than %d items", listMax)
		}
		l.Items = append(l.Items, more...)
		return len(more) > 0, nil
	}
	return nil, ErrNoMethod
}

// listMax bounds what a template can gather in memory.
const listMax = 100_000

func (r *run) removeItem(l *jsondoc.List, which any) (any, error) {
	if _, isIndex := which.(int64); isIndex {
		i, err := index(l, which)
		if err != nil {
			return nil, err
		}
		before := l.Items[i]
		l.Items = slices.Delete(l.Items, i, i+1)
		return before, nil
	}
	at, err := r.find(l.Items, which)
	if at >= 0 {
		l.Items = slices.Delete(l.Items, at, at+1)
	}
	return at >= 0, err
}

// find is the place of the first equal item, or -1.
func (r *run) find(all []any, v any) (int, error) {
	for i, item := range all {
		if err := r.step(); err != nil {
			return -1, err
		}
		same, err := r.equal(item, v)
		if err != nil {
			return -1, err
		}
		if same {
			return i, nil
		}
	}
	return -1, nil
}

func (r *run) mapMethod(m *jsondoc.Map, name string, args []any) (any, error) {
	r.steps += m.Len() / 8
	switch len(args) {
	case 0:
		return mapView(m, name)
	case 1, 2:
		if name == "putAll" {
			more, ok := args[0].(*jsondoc.Map)
			if !ok || len(args) != 1 {
				return nil, ErrNoMethod
			}
			for _, k := range more.Keys() {
				v, _ := more.Get(k)
				m.Put(k, v)
			}
			return nil, nil
		}
		key, err := r.text(args[0])
		if err != nil {
			return nil, err
		}
		value, there := m.Get(key)
		switch name + "/" + strconv.Itoa(len(args)) {
		case "get/1":
			return value, nil
		case "containsKey/1":
			return there, nil
		case "remove/1":
			return m.Remove(key), nil
		case "put/2":
			return m.Put(key, args[1]), nil
		case "getOrDefault/2":
			if !there {
				value = args[1]
			}
			return value, nil
		case "containsValue/1":
			at, err := r.find(items(m), args[0])
			return at >= 0, err
		}
	}
	return nil, ErrNoMethod
}

func mapView(m *jsondoc.Map, name string) (any, error) {
	view := &jsondoc.List{}
	switch name {
	case "size":
		return int64(m.Len()), nil
	case "isEmpty":
		return m.Len() == 0, nil
	case "keySet":
		for _, k := range m.Keys() {
			view.Items = append(view.Items, k)
		}
	case "values":
		view.Items = items(m)
	case "entrySet":
		for _, k := range m.Keys() {
			v, _ := m.Get(k)
			view.Items = append(view.Items, jsondoc.MapOf("key", k, "value", v))
		}
	case "getKey", "getValue": // of an entry
		v, _ := m.Get(strings.ToLower(strings.TrimPrefix(name, "get")))
		return v, nil
	default:
		return nil, ErrNoMethod
	}
	return view, nil
}
