package config

import (
	"regexp"
	"strings"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand puts the environment's values in place of ${NAME}; $${NAME} stands for
// the text ${NAME}. It works on a scalar after parsing, so a value with a colon
// or a newline stays a value. Values are not expanded again.
func (d *decoder) expand(text, path string, at place) (string, bool) {
	var out strings.Builder
	ok := true
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), ok
		}
		if escaped, is := strings.CutSuffix(before, "$"); is {
			out.WriteString(escaped + "${")
			text = after
			continue
		}
		out.WriteString(before)
		name, rest, closed := strings.Cut(after, "}")
		if !closed || !variableName.MatchString(name) {
			d.problem(at, path, "${ does not begin a variable", "write ${NAME} with letters, digits and _, or $${ for the text ${")
			return "", false
		}
		value, set := d.lookup(name)
		if !set {
			d.problem(at, path, "${"+name+"}: the variable is not set", "set "+name+" in the environment, or write the value here")
			ok = false
		}
		out.WriteString(value)
		text = rest
	}
}

func (d *decoder) lookup(name string) (string, bool) {
	if d.env == nil {
		return "", false
	}
	return d.env(name)
}
