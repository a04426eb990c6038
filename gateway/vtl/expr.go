package vtl

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/standpipe/standpipe/gateway/jsondoc"
)

// referenceAhead says whether a $ here begins a reference: $name, $!name,
// ${name} or $!{name}.
func (p *parser) referenceAhead() bool {
	if p.peek(0) != '$' {
		return false
	}
	i := 1
	if p.peek(i) == '!' {
		i++
	}
	if p.peek(i) == '{' {
		i++
	}
	return isLetter(p.peek(i)) || p.peek(i) == '_'
}

// reference parses what referenceAhead saw.
func (p *parser) reference() (*reference, error) {
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	start := p.pos
	r := &reference{pos: p.base + start}
	p.pos++
	if p.peek(0) == '!' {
		r.quiet = true
		p.pos++
	}
	formal := p.peek(0) == '{'
	if formal {
		p.pos++
	}
	r.name = p.name()
	for {
		part, ok, err := p.part()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		r.parts = append(r.parts, part)
	}
	if formal {
		if p.peek(0) != '}' {
			return nil, p.errorAt(p.pos, "expected } to end the reference %s, found %s", p.src[start:p.pos], p.found())
		}
		p.pos++
	}
	r.source = p.src[start:p.pos]
	p.t.refs = append(p.t.refs, r)
	return r, nil
}

// name parses letters, digits, hyphens and underscores.
func (p *parser) name() string {
	start := p.pos
	for isLetter(p.peek(0)) || isDigit(p.peek(0)) || p.peek(0) == '_' || p.peek(0) == '-' {
		p.pos++
	}
	return p.src[start:p.pos]
}

// part parses .name, .name(arguments) or [index], if one is there.
func (p *parser) part() (pt part, ok bool, err error) {
	pt.pos = p.base + p.pos
	switch {
	case p.peek(0) == '[':
		p.pos++
		index, err := p.expression()
		if err != nil {
			return pt, false, err
		}
		p.spaces()
		if p.peek(0) != ']' {
			return pt, false, p.errorAt(p.pos, "expected ] to end the index, found %s", p.found())
		}
		p.pos++
		pt.args, pt.index = []expr{index}, true
		return pt, true, nil
	case p.peek(0) == '.' && (isLetter(p.peek(1)) || p.peek(1) == '_'):
		p.pos++
		pt.name = p.name()
		if p.peek(0) != '(' {
			return pt, true, nil
		}
		p.pos++
		pt.call = true
		pt.args, err = p.list(")", "the arguments of "+pt.name)
		return pt, true, err
	}
	return pt, false, nil
}

// list parses expressions between commas up to the closing character.
func (p *parser) list(end, what string) (items []expr, err error) {
	p.spaces()
	if p.has(end) {
		p.pos++
		return nil, nil
	}
	for {
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		items = append(items, e)
		p.spaces()
		switch {
		case p.has(end):
			p.pos++
			return items, nil
		case p.peek(0) != ',':
			return nil, p.errorAt(p.pos, "expected , or %s in %s, found %s", end, what, p.found())
		}
		p.pos++
	}
}

func (p *parser) spaces() {
	for p.pos < len(p.src) && strings.IndexByte(" \t\r\n", p.src[p.pos]) >= 0 {
		p.pos++
	}
}

// word is the run of letters here, without moving.
func (p *parser) word() string {
	i := p.pos
	for i < len(p.src) && (isLetter(p.src[i]) || isDigit(p.src[i]) || p.src[i] == '_') {
		i++
	}
	return p.src[p.pos:i]
}

// The operators by rank, weakest first; a word is another spelling.
var ranks = [][]operator{
	{{"||", "||"}, {"or", "||"}},
	{{"&&", "&&"}, {"and", "&&"}},
	{{"==", "=="}, {"!=", "!="}, {"eq", "=="}, {"ne", "!="}},
	{{"<=", "<="}, {">=", ">="}, {"<", "<"}, {">", ">"}, {"le", "<="}, {"ge", ">="}, {"lt", "<"}, {"gt", ">"}},
	{{"+", "+"}, {"-", "-"}},
	{{"*", "*"}, {"/", "/"}, {"%", "%"}},
}

type operator struct{ written, means string }

func (p *parser) expression() (expr, error) { return p.binary(0) }

func (p *parser) binary(rank int) (expr, error) {
	if rank == len(ranks) {
		return p.unary()
	}
	left, err := p.binary(rank + 1)
	if err != nil {
		return nil, err
	}
	for {
		p.spaces()
		at := p.base + p.pos
		op := p.operator(rank)
		if op == "" {
			return left, nil
		}
		right, err := p.binary(rank + 1)
		if err != nil {
			return nil, err
		}
		left = &binary{at, op, left, right}
	}
}

func (p *parser) operator(rank int) string {
	for _, op := range ranks[rank] {
		if isLetter(op.written[0]) && p.word() != op.written || !p.has(op.written) {
			continue
		}
		p.pos += len(op.written)
		return op.means
	}
	return ""
}

func (p *parser) unary() (expr, error) {
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	p.spaces()
	not := 0
	if p.peek(0) == '!' {
		not = 1
	} else if p.word() == "not" {
		not = 3
	}
	if not == 0 {
		return p.primary()
	}
	p.pos += not
	e, err := p.unary()
	return negation{e}, err
}

func (p *parser) primary() (expr, error) {
	c := p.peek(0)
	switch {
	case p.referenceAhead():
		return p.reference()
	case c == '"':
		return p.doubleQuoted()
	case c == '\'':
		_, s, err := p.quoted()
		return literal{s}, err
	case isDigit(c), c == '-' && isDigit(p.peek(1)):
		return p.number()
	case c == '(':
		p.pos++
		e, err := p.expression()
		if err != nil {
			return nil, err
		}
		p.spaces()
		if p.peek(0) != ')' {
			return nil, p.errorAt(p.pos, "expected ), found %s", p.found())
		}
		p.pos++
		return e, nil
	case c == '[':
		return p.listOrRange()
	case c == '{':
		return p.mapLiteral()
	}
	switch w := p.word(); w {
	case "true", "false":
		p.pos += len(w)
		return literal{w == "true"}, nil
	case "null":
		return nil, p.errorAt(p.pos, "the language has no null; a variable that was never set is as good")
	}
	return nil, p.errorAt(p.pos, "expected a value, found %s", p.found())
}

// quoted reads a string up to its quote; a doubled quote stands for one. start
// is where its text begins.
func (p *parser) quoted() (start int, s string, err error) {
	at, quote := p.pos, p.src[p.pos:p.pos+1]
	p.pos++
	start = p.pos
	for {
		n := strings.Index(p.src[p.pos:], quote)
		if n < 0 {
			return 0, "", p.errorAt(at, "a text that begins with %s has no end", quote)
		}
		p.pos += n + 1
		if p.peek(0) != quote[0] {
			return start, strings.ReplaceAll(p.src[start:p.pos-1], quote+quote, quote), nil
		}
		p.pos++
	}
}

// doubleQuoted parses a string in which references and directives work.
func (p *parser) doubleQuoted() (expr, error) {
	start, s, err := p.quoted()
	if err != nil {
		return nil, err
	}
	inner := &parser{t: p.t, src: s, base: p.base + start, depth: p.depth}
	body, stop, err := inner.block()
	if err != nil {
		return nil, err
	}
	if stop != "" {
		return nil, inner.errorAt(inner.directiveAt, "#%s without its beginning within a text in quotes", stop)
	}
	return &interpolated{body}, nil
}

func (p *parser) number() (expr, error) {
	start := p.pos
	if p.peek(0) == '-' {
		p.pos++
	}
	digits := func() {
		for isDigit(p.peek(0)) {
			p.pos++
		}
	}
	digits()
	float := false
	if p.peek(0) == '.' && isDigit(p.peek(1)) {
		float = true
		p.pos++
		digits()
	}
	if c := p.peek(1); p.peek(0)|0x20 == 'e' && (isDigit(c) || (c == '-' || c == '+') && isDigit(p.peek(2))) {
		float = true
		p.pos += 2
		digits()
	}
	written := p.src[start:p.pos]
	if float {
		f, err := strconv.ParseFloat(written, 64)
		if err != nil {
			return nil, p.errorAt(start, "%s is no number a double can hold", written)
		}
		return literal{f}, nil
	}
	if len(written) > digitsMax {
		return nil, p.errorAt(start, "a number of more than %d digits", digitsMax)
	}
	n, _ := new(big.Int).SetString(written, 10) // only digits
	return literal{jsondoc.Integer(n)}, nil
}

func (p *parser) listOrRange() (expr, error) {
	at := p.pos
	p.pos++
	p.spaces()
	if p.peek(0) == ']' {
		p.pos++
		return &listLiteral{}, nil
	}
	first, err := p.expression()
	if err != nil {
		return nil, err
	}
	p.spaces()
	if p.has("..") {
		p.pos += 2
		last, err := p.expression()
		if err != nil {
			return nil, err
		}
		p.spaces()
		if p.peek(0) != ']' {
			return nil, p.errorAt(p.pos, "expected ] to end the range, found %s", p.found())
		}
		p.pos++
		return &rangeLiteral{p.base + at, first, last}, nil
	}
	items := []expr{first}
	if p.peek(0) == ',' {
		p.pos++
		more, err := p.list("]", "the list")
		if err != nil {
			return nil, err
		}
		return &listLiteral{append(items, more...)}, nil
	}
	if p.peek(0) != ']' {
		return nil, p.errorAt(p.pos, "expected , or ] in the list, found %s", p.found())
	}
	p.pos++
	return &listLiteral{items}, nil
}

func (p *parser) mapLiteral() (expr, error) {
	m := &mapLiteral{}
	p.pos++
	p.spaces()
	for p.peek(0) != '}' {
		key, err := p.expression()
		if err != nil {
			return nil, err
		}
		p.spaces()
		if p.peek(0) != ':' {
			return nil, p.errorAt(p.pos, "expected : after the key, found %s", p.found())
		}
		p.pos++
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		m.keys, m.values = append(m.keys, key), append(m.values, value)
		p.spaces()
		if p.peek(0) == ',' {
			p.pos++
			p.spaces()
		} else if p.peek(0) != '}' {
			return nil, p.errorAt(p.pos, "expected , or } in the map, found %s", p.found())
		}
	}
	p.pos++
	return m, nil
}
