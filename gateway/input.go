package gateway

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode/utf16"

	"github.com/standpipe/standpipe/gateway/jsondoc"
	"github.com/standpipe/standpipe/gateway/vtl"
)

// A bodyError says that a body is not JSON where a template wants JSON: the
// caller's fault, not the template's.
type bodyError struct{ err error }

func (e *bodyError) Error() string {
	return "Could not parse request body into json: " + e.err.Error()
}
func (e *bodyError) Unwrap() error { return e.err }

// input is $input: the body and the parameters of a request, or the body of
// what Kinesis answered.
type input struct {
	body   string
	params *jsondoc.Map // path, querystring and header, each a map; nil in a response

	read bool
	doc  any
	rest string
	err  error
}

var (
	_ vtl.Object = (*input)(nil)
	_ vtl.Object = util{}
)

// Get implements vtl.Object.
func (in *input) Get(name string) any {
	if name == "body" {
		return in.text()
	}
	return nil
}

// text is the body; an empty one is {}, as at API Gateway.
func (in *input) text() string {
	if strings.TrimSpace(in.body) == "" {
		return "{}"
	}
	return in.body
}

// Call implements vtl.Object.
func (in *input) Call(name string, args []any) (any, error) {
	first, isText := "", len(args) == 0
	if len(args) == 1 {
		first, isText = args[0].(string)
	}
	switch {
	case !isText:
		return nil, vtl.ErrNoMethod
	case name == "params" && len(args) == 0:
		return in.params, nil
	case name == "params":
		return in.param(first), nil
	case (name == "json" || name == "path") && len(args) == 1:
		v, err := in.find(first)
		if err != nil || name == "path" {
			return v, err
		}
		return jsondoc.JSON(v, 4*BodyMax)
	}
	return nil, vtl.ErrNoMethod
}

// param looks in the path, the query string and the headers, in that order. A
// header is found in whatever case it was sent.
func (in *input) param(name string) string {
	if in.params == nil {
		return ""
	}
	for _, kind := range []string{"path", "querystring", "header"} {
		m, _ := in.params.Get(kind)
		for _, n := range []string{name, headerName(name)} {
			if v, ok := m.(*jsondoc.Map).Get(n); ok && (n == name || kind == "header") {
				return v.(string)
			}
		}
	}
	return ""
}

// find evaluates a JSONPath. Where it leads nowhere the value is empty.
func (in *input) find(path string) (any, error) {
	p, err := jsondoc.ParsePath(path)
	if err != nil {
		return nil, err
	}
	if err := in.parse(); err != nil {
		return nil, err
	}
	v, ok, err := p.Find(in.doc)
	if !ok && err == nil {
		return "", nil
	}
	return v, err
}

// parse reads the body once.
func (in *input) parse() error {
	if in.read {
		return in.err
	}
	in.read = true
	in.doc, in.rest, in.err = jsondoc.Read(in.text())
	if in.err == nil && in.doc == nil {
		in.err = errors.New("null is no document")
	}
	if in.err != nil {
		in.err = &bodyError{in.err}
	}
	return in.err
}

// jsonPathOf checks a path that is written in the template itself.
func jsonPathOf(u vtl.Use) (*jsondoc.Path, error) {
	if len(u.Path) == 0 || u.Path[0] != "json" && u.Path[0] != "path" || !u.HasArgument {
		return nil, nil
	}
	return jsondoc.ParsePath(u.Argument)
}

// util is $util.
type util struct{}

// Get implements vtl.Object.
func (util) Get(string) any { return nil }

// Call implements vtl.Object.
func (util) Call(name string, args []any) (any, error) {
	method, ok := utilMethods[name]
	if !ok || len(args) != 1 {
		return nil, vtl.ErrNoMethod
	}
	s, err := jsondoc.Text(args[0], 4*BodyMax)
	if err != nil {
		return nil, err
	}
	return method(s)
}

// utilMethods are those that API Gateway documents.
var utilMethods = map[string]func(string) (any, error){
	"base64Encode":     func(s string) (any, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil },
	"base64Decode":     decode64,
	"urlEncode":        func(s string) (any, error) { return urlEncode(s), nil },
	"urlDecode":        urlDecode,
	"escapeJavaScript": func(s string) (any, error) { return escapeJavaScript(s), nil },
	"parseJson":        parseJSON,
}

func decode64(s string) (any, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("base64Decode: %w", err)
	}
	return strings.ToValidUTF8(string(b), "\ufffd"), nil
}

// urlEncode is Java's URLEncoder, which leaves the star alone and not the tilde.
func urlEncode(s string) string {
	s = strings.ReplaceAll(url.QueryEscape(s), "%2A", "*")
	return strings.ReplaceAll(s, "~", "%7E")
}

func urlDecode(s string) (any, error) {
	d, err := url.QueryUnescape(s)
	if err != nil {
		return nil, fmt.Errorf("urlDecode: %w", err)
	}
	return strings.ToValidUTF8(d, "\ufffd"), nil
}

func parseJSON(s string) (any, error) {
	v, _, err := jsondoc.Read(s)
	if err != nil {
		return nil, fmt.Errorf("parseJson: %w", err)
	}
	return v, nil
}

// escapeJavaScript is that of commons-lang: quotes, backslash and slash get a
// backslash, everything outside of ASCII is \uXXXX.
func escapeJavaScript(s string) string {
	short := map[rune]string{'\b': `\b`, '\n': `\n`, '\t': `\t`, '\f': `\f`, '\r': `\r`}
	var b strings.Builder
	b.Grow(len(s))
	for _, c := range s {
		switch {
		case c == '\'' || c == '"' || c == '\\' || c == '/':
			b.WriteByte('\\')
			b.WriteRune(c)
		case short[c] != "":
			b.WriteString(short[c])
		case c >= ' ' && c < 0x7f:
			b.WriteRune(c)
		default:
			for _, unit := range utf16.Encode([]rune{c}) {
				fmt.Fprintf(&b, `\u%04X`, unit)
			}
		}
	}
	return b.String()
}
