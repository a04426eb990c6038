package jsondoc

import (
	"fmt"
	"strconv"
	"strings"
)

// A Path is a JSONPath: names, indexes, slices, unions, wildcards and .. in
// Jayway's writing. Filters and functions are not supported and refused when
// the path is parsed.
type Path struct {
	steps []step
	// definite: the path names one place. The others give a list.
	definite bool
}

// A step selects children of a value. Exactly one of its parts is set.
type step struct {
	names   []string
	indexes []int
	slice   *[2]*int
	all     bool // the wildcard
	deep    bool // the step is applied to the value and all below it
}

// stepsMax bounds a path; the deepest value has depthMax levels.
const stepsMax = depthMax

// ParsePath reads a JSONPath; a path without $ begins at the root too.
func ParsePath(text string) (*Path, error) {
	s := strings.TrimSpace(text)
	p := &Path{definite: true}
	if !strings.HasPrefix(s, "$") {
		s = "$." + s
	}
	for rest := s[1:]; rest != ""; {
		var st step
		var err error
		if st, rest, err = nextStep(rest); err != nil {
			return nil, fmt.Errorf("JSONPath %q: %w", text, err)
		}
		if p.steps = append(p.steps, st); len(p.steps) > stepsMax {
			return nil, fmt.Errorf("JSONPath: more than %d steps", stepsMax)
		}
		if st.deep || st.all || st.slice != nil || len(st.names) > 1 || len(st.indexes) > 1 {
			p.definite = false
		}
	}
	return p, nil
}

func nextStep(s string) (st step, rest string, err error) {
	if strings.HasPrefix(s, "..") {
		st.deep, s = true, s[1:]
		if strings.HasPrefix(s, ".[") {
			s = s[1:]
		}
	}
	switch {
	case strings.HasPrefix(s, ".*"):
		st.all = true
		return st, s[2:], nil
	case strings.HasPrefix(s, "."):
		n := strings.IndexAny(s[1:], ".[")
		if n < 0 {
			n = len(s) - 1
		}
		name := strings.TrimSpace(s[1 : 1+n])
		if name == "" {
			return st, "", fmt.Errorf("a name is missing at %q", s)
		}
		if strings.ContainsAny(name, "()") {
			return st, "", fmt.Errorf("%q is a function, which is not supported", name)
		}
		st.names = []string{name}
		return st, s[1+n:], nil
	case strings.HasPrefix(s, "["):
		return st.bracket(s[1:])
	}
	return st, "", fmt.Errorf("expected . or [ at %q", s)
}

// bracket reads what follows an opening bracket.
func (st step) bracket(s string) (step, string, error) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, "'") || strings.HasPrefix(s, `"`) {
		return st.quotedNames(s)
	}
	inside, rest, ok := strings.Cut(s, "]")
	inside = strings.TrimSpace(inside)
	switch {
	case !ok:
		return st, "", fmt.Errorf("] is missing")
	case inside == "*":
		st.all = true
		return st, rest, nil
	case strings.HasPrefix(inside, "?"):
		return st, "", fmt.Errorf("filters such as [%s] are not supported", inside)
	case strings.Contains(inside, ":"):
		from, to, _ := strings.Cut(inside, ":")
		low, err := bound(from)
		if err != nil {
			return st, "", err
		}
		high, err := bound(to)
		st.slice = &[2]*int{low, high}
		return st, rest, err
	}
	for part := range strings.SplitSeq(inside, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return st, "", fmt.Errorf("[%s] is neither an index nor a name in quotes", inside)
		}
		st.indexes = append(st.indexes, n)
	}
	return st, rest, nil
}

func bound(s string) (*int, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not an index", s)
	}
	return &n, nil
}

func (st step) quotedNames(s string) (step, string, error) {
	for {
		quote := s[:1]
		name, rest, ok := strings.Cut(s[1:], quote)
		if !ok {
			return st, "", fmt.Errorf("%s is missing", quote)
		}
		st.names = append(st.names, name)
		rest = strings.TrimLeft(rest, " ")
		if after, ok := strings.CutPrefix(rest, "]"); ok {
			return st, after, nil
		}
		s = strings.TrimLeft(strings.TrimPrefix(rest, ","), " ")
		if !strings.HasPrefix(s, "'") && !strings.HasPrefix(s, `"`) {
			return st, "", fmt.Errorf("] is missing")
		}
	}
}

// matchesMax and visitsMax bound what a path may find and look at on the way:
// $..*..* would find each value many times.
const (
	matchesMax = 100_000
	visitsMax  = 1_000_000
)

// Find returns what the path names. ok is false when a definite path leads
// nowhere; the others give a list, which may be empty. The error says that the
// path matches too much.
func (p *Path) Find(root any) (v any, ok bool, err error) {
	w := &walk{found: []any{root}}
	for _, st := range p.steps {
		before := w.found
		w.found = nil
		for _, v := range before {
			if !w.each(st, v) {
				return nil, false, fmt.Errorf("the JSONPath matches more than %d values, or looks at more than %d", matchesMax, visitsMax)
			}
		}
	}
	found := w.found
	if !p.definite {
		return &List{Items: found, JSON: true}, true, nil
	}
	if len(found) == 0 {
		return nil, false, nil
	}
	return found[0], true, nil
}

// A walk gathers what one step after the other finds.
type walk struct {
	found  []any
	visits int
}

// each gathers the selected children of v, those deeper too if the step says
// so. It returns false when that is too much.
func (w *walk) each(st step, v any) bool {
	w.found = append(w.found, st.children(v)...)
	if w.visits++; w.visits > visitsMax || len(w.found) > matchesMax {
		return false
	}
	if st.deep {
		for _, child := range everything.children(v) {
			if !w.each(st, child) {
				return false
			}
		}
	}
	return true
}

var everything = step{all: true}

// children are the selected ones of v, in order.
func (st step) children(v any) (all []any) {
	switch v := v.(type) {
	case *Map:
		names := st.names
		if st.all {
			names = v.keys
		}
		for _, name := range names {
			if child, ok := v.values[name]; ok {
				all = append(all, child)
			}
		}
	case *List:
		for _, i := range st.places(len(v.Items)) {
			all = append(all, v.Items[i])
		}
	}
	return all
}

// places are the selected indexes of a list of n items.
func (st step) places(n int) (at []int) {
	add := func(i int) {
		if i < 0 {
			i += n
		}
		if i >= 0 && i < n {
			at = append(at, i)
		}
	}
	for _, i := range st.indexes {
		add(i)
	}
	low, high := 0, 0
	if st.all {
		high = n
	} else if st.slice != nil {
		low, high = limit(st.slice[0], 0, n), limit(st.slice[1], n, n)
	}
	for i := low; i < high; i++ {
		add(i)
	}
	return at
}

// limit is a slice's bound within 0 to n; a negative one counts from the end.
func limit(given *int, otherwise, n int) int {
	if given == nil {
		return otherwise
	}
	i := *given
	if i < 0 {
		i += n
	}
	return min(max(i, 0), n)
}
