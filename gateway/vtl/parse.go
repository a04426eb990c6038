package vtl

import (
	"fmt"
	"strings"
)

// The limits of a template's text. API Gateway takes 300 KB; nesting is what a
// person could still read, twice over.
const (
	sourceMax  = 300 << 10
	nestingMax = 64
)

// Parse reads a template. The error is an *Error.
func Parse(source string) (*Template, error) {
	t := &Template{source: source}
	if len(source) > sourceMax {
		return nil, &Error{Line: 1, Column: 1, Message: fmt.Sprintf("the template has more than %d KiB, which API Gateway refuses", sourceMax>>10)}
	}
	p := &parser{t: t, src: source}
	root, stop, err := p.block()
	if err != nil {
		return nil, err
	}
	if stop != "" {
		return nil, p.errorAt(p.directiveAt, "#%s without its beginning", stop)
	}
	t.root = root
	return t, nil
}

// A parser walks a text once. A string in double quotes is a text of its own,
// with a parser of its own; base is where it begins in the template.
type parser struct {
	t     *Template
	src   string
	pos   int
	base  int
	depth int
	// directiveAt is where the directive that ended the last block stands.
	directiveAt int
	// from is where text begins that is in no node yet.
	from int
}

func (p *parser) errorAt(pos int, format string, args ...any) error {
	e := &Error{Message: fmt.Sprintf(format, args...)}
	e.Line, e.Column = position(p.t.source, p.base+pos)
	return e
}

// enter counts a level of nesting; leave it with the returned function.
func (p *parser) enter() (func(), error) {
	if p.depth++; p.depth > nestingMax {
		return nil, p.errorAt(p.pos, "nested deeper than %d levels", nestingMax)
	}
	return func() { p.depth-- }, nil
}

func (p *parser) peek(n int) byte {
	if p.pos+n < len(p.src) {
		return p.src[p.pos+n]
	}
	return 0
}

func (p *parser) has(prefix string) bool { return strings.HasPrefix(p.src[p.pos:], prefix) }

// block parses up to the directive that ends it: else, elseif, end, or nothing
// at the end of the text. The directive's name is consumed.
func (p *parser) block() (nodes block, stop string, err error) {
	leave, err := p.enter()
	if err != nil {
		return nil, "", err
	}
	defer leave()
	p.from = p.pos
	flush := func() {
		if p.from < p.pos {
			nodes = append(nodes, text(p.src[p.from:p.pos]))
		}
		p.from = p.pos
	}
	for p.pos < len(p.src) {
		n := strings.IndexAny(p.src[p.pos:], `$#\`)
		if n < 0 {
			p.pos = len(p.src)
			break
		}
		p.pos += n
		before := p.pos
		node, stop, err := p.special(flush)
		if err != nil {
			return nil, "", err
		}
		if stop != "" {
			return nodes, stop, nil
		}
		if p.pos == before {
			p.pos++ // it was text after all
			continue
		}
		if node != nil {
			nodes = append(nodes, node)
		}
		p.from = p.pos
	}
	flush()
	return nodes, "", nil
}

// special parses what begins with $, # or a backslash. When that is more than
// text it calls found, before it moves, and moves.
func (p *parser) special(found func()) (n node, stop string, err error) {
	switch p.src[p.pos] {
	case '\\':
		n, err = p.escaped(found)
		return n, "", err
	case '$':
		if !p.referenceAhead() {
			return nil, "", nil
		}
		found()
		r, err := p.reference()
		if err != nil {
			return nil, "", err
		}
		return output{r}, "", nil
	}
	switch {
	case p.has("##"):
		found()
		p.line()
		return nil, "", nil
	case p.has("#*"):
		found()
		return nil, "", p.skipTo("*#", "a comment that begins with #*")
	case p.has("#[["):
		found()
		start := p.pos + 3
		if err := p.skipTo("]]#", "a text that begins with #[["); err != nil {
			return nil, "", err
		}
		return text(p.src[start : p.pos-3]), "", nil
	}
	name, after := p.directiveAhead()
	if name == "" {
		return nil, "", nil
	}
	if name == "set" && p.indented() {
		p.from = p.pos
	}
	found()
	return p.directive(name, after)
}

// indented says that only spaces stand between here and a line that begins a
// text. Velocity drops them before a #set, and only there.
func (p *parser) indented() bool {
	begins := p.from == 0 || p.src[p.from-1] == '\n' || p.src[p.from-1] == '\r'
	return begins && strings.Trim(p.src[p.from:p.pos], " \t") == ""
}

// line skips the rest of the line and its end.
func (p *parser) line() {
	n := strings.IndexAny(p.src[p.pos:], "\r\n")
	if n < 0 {
		p.pos = len(p.src)
		return
	}
	p.pos += n
	p.newline()
}

// newline skips one end of line.
func (p *parser) newline() bool {
	switch {
	case p.has("\r\n"):
		p.pos += 2
	case p.has("\n"), p.has("\r"):
		p.pos++
	default:
		return false
	}
	return true
}

// blank skips spaces and the end of the line behind a directive, if nothing
// else is on the line.
func (p *parser) blank() {
	before := p.pos
	for p.peek(0) == ' ' || p.peek(0) == '\t' {
		p.pos++
	}
	if !p.newline() {
		p.pos = before
	}
}

func (p *parser) skipTo(end, what string) error {
	n := strings.Index(p.src[p.pos+2:], end)
	if n < 0 {
		return p.errorAt(p.pos, "%s has no %s", what, end)
	}
	p.pos += 2 + n + len(end)
	return nil
}

// escaped parses backslashes. They mean something only before a reference or
// a directive: there two stand for one, and one takes the meaning away.
func (p *parser) escaped(found func()) (node, error) {
	here, n := p.pos, 0
	for p.peek(n) == '\\' {
		n++
	}
	p.pos += n
	isReference := p.referenceAhead()
	name, after := p.directiveAhead()
	p.pos = here
	switch {
	case isReference:
		found()
		p.pos += n
		r, err := p.reference()
		return escapedReference{n, r}, err
	case name == "":
		return nil, nil
	case !known[name]:
		found()
		p.pos = after
		return text(p.src[here:after]), nil
	}
	found()
	kept := p.src[here : here+n/2]
	if n%2 == 0 {
		p.pos += n // the directive is parsed next
		return text(kept), nil
	}
	p.pos = after
	return text(kept + p.src[here+n:after]), nil
}

// known are the directives we have.
var known = map[string]bool{
	"set": true, "if": true, "elseif": true, "else": true, "end": true, "foreach": true, "break": true, "stop": true,
}

// refused are Velocity's directives that have no business in a mapping.
var refused = map[string]bool{"macro": true, "include": true, "parse": true, "evaluate": true, "define": true, "literal": true}

// directiveAhead is the name after a #, and where it ends. A word that is no
// directive is text, unless an argument list follows: then it was meant as one.
func (p *parser) directiveAhead() (name string, after int) {
	if p.peek(0) != '#' {
		return "", 0
	}
	i := p.pos + 1
	braces := i < len(p.src) && p.src[i] == '{'
	if braces {
		i++
	}
	start := i
	for i < len(p.src) && (isLetter(p.src[i]) || i > start && isDigit(p.src[i])) {
		i++
	}
	name = p.src[start:i]
	if braces {
		if i == len(p.src) || p.src[i] != '}' {
			return "", 0
		}
		i++
	}
	if name == "" {
		return "", 0
	}
	if !known[name] && !refused[name] && !strings.HasPrefix(strings.TrimLeft(p.src[i:], " \t"), "(") {
		return "", 0
	}
	return name, i
}

func (p *parser) directive(name string, after int) (node, string, error) {
	at := p.pos
	switch {
	case refused[name]:
		return nil, "", p.errorAt(at, "#%s is not supported: a mapping template has #set, #if, #elseif, #else, #foreach, #break, #stop and #end", name)
	case !known[name]:
		return nil, "", p.errorAt(at, `unknown directive #%s; for the text itself write #[[#]]#%s`, name, name)
	}
	p.pos = after
	switch name {
	case "set":
		n, err := p.set(at)
		return n, "", err
	case "if":
		n, err := p.conditional(at)
		return n, "", err
	case "foreach":
		n, err := p.foreach(at)
		return n, "", err
	case "break", "stop":
		p.blank()
		return jump(name), "", nil
	}
	p.directiveAt = at
	if name != "elseif" {
		p.blank()
	}
	return nil, name, nil
}

// open and close are the parentheses of a directive.
func (p *parser) open(name string) error {
	p.spaces()
	if p.peek(0) != '(' {
		return p.errorAt(p.pos, "#%s wants an opening parenthesis", name)
	}
	p.pos++
	return nil
}

func (p *parser) close(name string) error {
	p.spaces()
	if p.peek(0) != ')' {
		return p.errorAt(p.pos, "expected ) to end #%s(…), found %s", name, p.found())
	}
	p.pos++
	p.blank()
	return nil
}

// found names what stands at the place of an error.
func (p *parser) found() string {
	if p.pos >= len(p.src) {
		return "the end"
	}
	for _, r := range p.src[p.pos:] {
		return fmt.Sprintf("%q", r)
	}
	return ""
}

func (p *parser) set(at int) (node, error) {
	if err := p.open("set"); err != nil {
		return nil, err
	}
	p.spaces()
	if !p.referenceAhead() {
		return nil, p.errorAt(p.pos, "#set wants a variable such as $name, found %s", p.found())
	}
	target, err := p.reference()
	if err != nil {
		return nil, err
	}
	for _, part := range target.parts {
		if part.call {
			return nil, p.errorAt(at, "#set cannot assign to what a method returns")
		}
	}
	if owned[target.name] && len(target.parts) == 0 {
		return nil, p.errorAt(at, "$%s belongs to API Gateway and cannot be set", target.name)
	}
	p.spaces()
	if p.peek(0) != '=' || p.peek(1) == '=' {
		return nil, p.errorAt(p.pos, "#set wants = after the variable, found %s", p.found())
	}
	p.pos++
	value, err := p.expression()
	if err != nil {
		return nil, err
	}
	return &assignment{at: p.base + at, target: target, value: value}, p.close("set")
}

// owned are the names that API Gateway gives.
var owned = map[string]bool{"input": true, "util": true, "context": true, "stageVariables": true, "foreach": true, "velocityCount": true}

func (p *parser) conditional(at int) (node, error) {
	n := &conditional{}
	name := "if"
	for {
		var arm arm
		var err error
		if name != "else" {
			if err := p.open(name); err != nil {
				return nil, err
			}
			if arm.condition, err = p.expression(); err != nil {
				return nil, err
			}
			if err := p.close(name); err != nil {
				return nil, err
			}
		}
		var stop string
		if arm.body, stop, err = p.block(); err != nil {
			return nil, err
		}
		n.arms = append(n.arms, arm)
		switch {
		case stop == "":
			return nil, p.errorAt(at, "#if has no #end")
		case stop == "end":
			return n, nil
		case name == "else":
			return nil, p.errorAt(p.directiveAt, "#%s after #else", stop)
		}
		name = stop
	}
}

func (p *parser) foreach(at int) (node, error) {
	n := &loop{at: p.base + at}
	if err := p.open("foreach"); err != nil {
		return nil, err
	}
	p.spaces()
	if !p.referenceAhead() {
		return nil, p.errorAt(p.pos, "#foreach wants a variable such as $item, found %s", p.found())
	}
	item, err := p.reference()
	if err != nil {
		return nil, err
	}
	if len(item.parts) > 0 || owned[item.name] {
		return nil, p.errorAt(at, "#foreach wants a plain variable of its own, such as $item")
	}
	n.name = item.name
	p.spaces()
	if p.word() != "in" {
		return nil, p.errorAt(p.pos, "#foreach wants the word in after the variable, found %s", p.found())
	}
	p.pos += 2
	if n.over, err = p.expression(); err != nil {
		return nil, err
	}
	if err := p.close("foreach"); err != nil {
		return nil, err
	}
	var stop string
	if n.body, stop, err = p.block(); err != nil {
		return nil, err
	}
	switch stop {
	case "end":
		return n, nil
	case "":
		return nil, p.errorAt(at, "#foreach has no #end")
	}
	return nil, p.errorAt(p.directiveAt, "#%s within #foreach has no #if", stop)
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
