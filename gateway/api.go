package gateway

import (
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/gateway/vtl"
)

// An API is what an OpenAPI file says, ready to be served.
type API struct {
	Title  string
	Routes []*Route

	file  string
	lines []string
}

// A Route is one method of one path.
type Route struct {
	Method string // POST, or ANY
	Path   string // /v1/{id}, as in the file
	// Statuses are the method's responses; on AWS an integration response needs one.
	Statuses    []int
	Integration *Integration

	at       place
	segments []string
}

// An Integration is how a route reaches Kinesis.
type Integration struct {
	Action      string // PutRecord or PutRecords
	Region      string
	Credentials string
	Parameters  []Parameter
	Templates   map[string]*Template // by media type
	Passthrough Passthrough
	Responses   []*Response // in the file's order
	Timeout     time.Duration

	at, uriAt place
}

// Passthrough says what happens to a body whose type has no template.
type Passthrough string

// The behaviours, in API Gateway's words.
const (
	WhenNoMatch     Passthrough = "WHEN_NO_MATCH"
	WhenNoTemplates Passthrough = "WHEN_NO_TEMPLATES"
	Never           Passthrough = "NEVER"
)

// A Parameter sets a header or query parameter from a static text or from what
// came.
type Parameter struct {
	// Kind and Name are what is set: header and Content-Type.
	Kind, Name string
	// Source is the expression of the file: 'text' in quotes, or
	// method.request.header.X, integration.response.header.X and so on.
	Source string

	at place
}

// A Response is chosen by the status of Kinesis.
type Response struct {
	// Pattern is a regular expression for the whole status; nil is the default.
	Pattern    *regexp.Regexp
	Status     int
	Templates  map[string]*Template
	Parameters []Parameter

	at place
}

// A Template is one of the file's templates.
type Template struct {
	Text string

	parsed *vtl.Template
	file   string
	at     place
	// block says that the text stands in the file line by line, each line after
	// inset characters; otherwise it is one quoted text.
	block bool
	inset int
}

// place turns a place within the template into one of the file.
func (t *Template) place(line, column int) place {
	if !t.block {
		return t.at
	}
	return place{t.at.line + line - 1, t.inset + column}
}

// Load reads the file at path. The error is Problems, or a *standpipe.Error
// when the file cannot be read.
func Load(path string) (*API, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "read the API " + path, Err: err,
			Hint: "name an OpenAPI file, such as deploy/openapi.yaml",
		}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err != nil {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "read the API " + path, Err: err}
	}
	return Parse(path, data)
}

// match returns the route for a method and a path without its stage, with the
// path's parameters. A fixed segment wins over a parameter, a parameter over a
// greedy one, a named method over ANY.
func (a *API) match(method, path string) (best *Route, params map[string]string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	bestScore := -1
	for _, r := range a.Routes {
		if r.Method != method && r.Method != anyMethod {
			continue
		}
		score, found, ok := r.score(segments)
		score *= 2
		if r.Method == method {
			score++
		}
		if ok && score > bestScore {
			best, params, bestScore = r, found, score
		}
	}
	return best, params
}

const anyMethod = "ANY"

// score says how exactly a path fits.
func (r *Route) score(segments []string) (score int, params map[string]string, ok bool) {
	params = map[string]string{}
	for i, want := range r.segments {
		name, isParam := strings.CutPrefix(want, "{")
		name = strings.TrimSuffix(name, "}")
		greedy := strings.HasSuffix(name, "+")
		switch {
		case i >= len(segments):
			return 0, nil, false
		case greedy:
			params[strings.TrimSuffix(name, "+")] = strings.Join(segments[i:], "/")
			for range segments[i:] {
				score *= 3 // as far as a path of the same length gets
			}
			return score, params, segments[i] != ""
		case isParam && segments[i] != "":
			params[name] = segments[i]
			score = score*3 + 1
		case segments[i] == want:
			score = score*3 + 2
		default:
			return 0, nil, false
		}
	}
	return score, params, len(segments) == len(r.segments)
}
