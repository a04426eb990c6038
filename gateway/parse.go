package gateway

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/standpipe/standpipe/gateway/vtl"
)

// integrationField is what makes an operation a route.
const integrationField = "x-amazon-apigateway-integration"

// The names of OpenAPI that document an API and change nothing here.
var (
	documentOnly  = []string{"tags", "externalDocs", "components", "servers"}
	pathOnly      = []string{"summary", "description", "parameters", "servers"}
	operationOnly = []string{"operationId", "summary", "description", "tags", "externalDocs", "parameters", "requestBody", "deprecated"}
)

// Parse reads an OpenAPI document, YAML or JSON; name is what problems call it.
// A non-nil error is always Problems, and the API then nil.
func Parse(name string, data []byte) (*API, error) {
	r := &reader{file: name}
	a := &API{file: name}
	if root, ok := r.tree(data); ok {
		r.document(root, a)
	}
	if len(r.problems) > 0 {
		return nil, sorted(r.problems)
	}
	a.lines = r.lines
	return a, nil
}

func (r *reader) document(root *ast.MappingNode, a *API) {
	version, paths := false, false
	for _, f := range r.fields(root, "") {
		switch {
		case f.name == "openapi":
			version = true
			if v, ok := r.text(f); ok && !strings.HasPrefix(v, "3.0.") {
				r.problem(placeOf(f.value.GetToken()), f.path, `write "3.0.1"`, "version %q; API Gateway imports 3.0", v)
			}
		case f.name == "swagger":
			version = true
			r.problem(f.at, f.path, `begin with openapi: "3.0.1"`, "Swagger 2.0 is not supported")
		case f.name == "info":
			for _, i := range r.fields(f.value, f.path) {
				if i.name == "title" {
					a.Title, _ = r.text(i)
				}
			}
		case f.name == "paths":
			paths = true
			for _, p := range r.fields(f.value, f.path) {
				r.path(p, a)
			}
		case slices.Contains(documentOnly, f.name):
		default:
			r.unsupported(f)
		}
	}
	if !version {
		r.problem(place{1, 1}, "openapi", `begin with openapi: "3.0.1"`, "missing")
	}
	if (!paths || len(a.Routes) == 0) && len(r.problems) == 0 {
		r.problem(place{1, 1}, "paths", "add a path with a method that has "+integrationField, "the API has no route")
	}
}

func (r *reader) unsupported(f field) {
	r.problem(f.at, f.path, "remove it, or see docs/gateway.md for what is supported", "not supported by this gateway")
}

// methods of API Gateway.
var methods = []string{"get", "put", "post", "delete", "patch", "head", "options", "x-amazon-apigateway-any-method"}

var segment = regexp.MustCompile(`^([A-Za-z0-9._~:$-]+|\{[A-Za-z0-9._$-]+\+?\})$`)

func (r *reader) path(f field, a *API) {
	segments := strings.Split(strings.TrimPrefix(f.name, "/"), "/")
	bad := !strings.HasPrefix(f.name, "/")
	for i, s := range segments {
		bad = bad || f.name != "/" && !segment.MatchString(s) || strings.HasSuffix(s, "+}") && i < len(segments)-1
	}
	if bad {
		r.problem(f.at, f.path, "write it like /v1 or /v1/{id} or /{proxy+}", "not a resource path of API Gateway")
	}
	for _, m := range r.fields(f.value, f.path) {
		switch {
		case slices.Contains(methods, m.name):
			route := &Route{Method: strings.ToUpper(m.name), Path: f.name, at: m.at, segments: segments}
			if strings.HasPrefix(m.name, "x-") {
				route.Method = anyMethod
			}
			if r.operation(m, route) {
				a.Routes = append(a.Routes, route)
			}
		case slices.Contains(pathOnly, m.name):
		default:
			r.unsupported(m)
		}
	}
}

// operation reads a method; false when it has no integration.
func (r *reader) operation(m field, route *Route) bool {
	before := len(r.problems)
	for _, f := range r.fields(m.value, m.path) {
		switch {
		case f.name == integrationField:
			route.Integration = r.integration(f)
		case f.name == "responses":
			for _, s := range r.fields(f.value, f.path) {
				if n, err := strconv.Atoi(s.name); err == nil {
					route.Statuses = append(route.Statuses, n)
				}
			}
		case slices.Contains(operationOnly, f.name):
		default:
			r.unsupported(f)
		}
	}
	if route.Integration == nil && len(r.problems) == before {
		r.problem(m.at, m.path, "add "+integrationField, "the method has no integration")
	}
	return route.Integration != nil
}

// The integration's limits, of API Gateway.
const (
	timeoutMin = 50 * time.Millisecond
	timeoutMax = 29 * time.Second
)

func (r *reader) integration(f field) *Integration {
	in := &Integration{Passthrough: WhenNoMatch, Timeout: timeoutMax, Templates: map[string]*Template{}, at: f.at, uriAt: f.at}
	var given []string
	for _, p := range r.fields(f.value, f.path) {
		given = append(given, p.name)
		switch p.name {
		case "type":
			r.oneOf(p, "calls of AWS services are what this gateway does: write aws", "aws", "AWS")
		case "httpMethod":
			r.oneOf(p, "Kinesis is called with POST", "POST")
		case "connectionType":
			r.oneOf(p, "write INTERNET or remove it", "INTERNET")
		case "uri":
			r.uri(p, in)
		case "credentials":
			in.Credentials, _ = r.text(p)
		case "timeoutInMillis":
			in.Timeout = r.timeout(p)
		case "passthroughBehavior":
			s, _ := r.text(p)
			in.Passthrough = Passthrough(strings.ToUpper(s))
			if !slices.Contains([]Passthrough{WhenNoMatch, WhenNoTemplates, Never}, in.Passthrough) {
				r.problem(placeOf(p.value.GetToken()), p.path, "write when_no_match, when_no_templates or never", "%q is no behaviour", s)
			}
		case "requestParameters":
			in.Parameters = r.parameters(p, "integration.request.", requestSources, "header")
		case "requestTemplates":
			in.Templates = r.templates(p)
		case "responses":
			for _, s := range r.fields(p.value, p.path) {
				in.Responses = append(in.Responses, r.response(s))
			}
		default:
			r.unsupported(p)
		}
	}
	for _, name := range []string{"type", "httpMethod", "uri"} {
		if !slices.Contains(given, name) {
			r.problem(f.at, f.path+"."+name, "add it", "missing")
		}
	}
	return in
}

func (r *reader) oneOf(f field, fix string, values ...string) {
	if s, ok := r.text(f); ok && !slices.Contains(values, s) {
		r.problem(placeOf(f.value.GetToken()), f.path, fix, "%q is not supported", s)
	}
}

var actionURI = regexp.MustCompile(`^arn:aws[a-z-]*:apigateway:([a-z0-9-]+):kinesis:action/([A-Za-z]+)$`)

func (r *reader) uri(f field, in *Integration) {
	s, ok := r.text(f)
	if !ok {
		return
	}
	in.uriAt = placeOf(f.value.GetToken())
	m := actionURI.FindStringSubmatch(s)
	if m == nil || m[2] != "PutRecord" && m[2] != "PutRecords" {
		r.problem(in.uriAt, f.path, "write arn:aws:apigateway:REGION:kinesis:action/PutRecord, or PutRecords", "%q is not supported", s)
		return
	}
	in.Region, in.Action = m[1], m[2]
}

func (r *reader) timeout(f field) time.Duration {
	s, _ := r.text(f)
	n, err := strconv.Atoi(s)
	if d := time.Duration(n) * time.Millisecond; err == nil && d >= timeoutMin && d <= timeoutMax {
		return d
	}
	r.problem(placeOf(f.value.GetToken()), f.path, "write 50 to 29000", "%q is no time-out of API Gateway", s)
	return timeoutMax
}

// Where a parameter's value may come from.
var (
	requestSources  = regexp.MustCompile(`^('[^']*'|method\.request\.(header|querystring|path)\.[A-Za-z0-9._$-]+|context\.[A-Za-z.]+|stageVariables\.[A-Za-z0-9_]+)$`)
	responseSources = regexp.MustCompile(`^('[^']*'|integration\.response\.header\.[A-Za-z0-9._$-]+|context\.[A-Za-z.]+|stageVariables\.[A-Za-z0-9_]+)$`)
)

func (r *reader) parameters(f field, prefix string, sources *regexp.Regexp, kinds ...string) (all []Parameter) {
	for _, p := range r.fields(f.value, f.path) {
		kind, name, _ := strings.Cut(strings.TrimPrefix(p.name, prefix), ".")
		if !strings.HasPrefix(p.name, prefix) || !slices.Contains(kinds, kind) || name == "" {
			r.problem(p.at, p.path, "write "+prefix+kinds[0]+".NAME", "not supported here")
			continue
		}
		source, ok := r.text(p)
		if ok && !sources.MatchString(source) {
			r.problem(placeOf(p.value.GetToken()), p.path, "write a static value in single quotes within double quotes, as \"'value'\"", "%q is no source of a value", source)
			continue
		}
		if name, ok := strings.CutPrefix(source, "context."); ok && !contextNames[name] {
			r.problem(placeOf(p.value.GetToken()), p.path, "see docs/gateway.md for those that are", "$context.%s is not supported", name)
		}
		all = append(all, Parameter{Kind: kind, Name: name, Source: source, at: p.at})
	}
	return all
}

func (r *reader) response(f field) *Response {
	res := &Response{Status: 200, at: f.at, Templates: map[string]*Template{}}
	if f.name != "default" {
		re, err := regexp.Compile("^(?:" + f.name + ")$")
		if err != nil {
			r.problem(f.at, f.path, `write a status such as 4\d{2}, or default`, "not a regular expression")
		}
		res.Pattern = re
	}
	status := false
	for _, p := range r.fields(f.value, f.path) {
		switch p.name {
		case "statusCode":
			status = true
			s, _ := r.text(p)
			n, err := strconv.Atoi(s)
			if err != nil || n < 200 || n > 599 {
				r.problem(placeOf(p.value.GetToken()), p.path, "write 200 to 599", "%q is no status of an answer", s)
			}
			res.Status = n
		case "responseTemplates":
			res.Templates = r.templates(p)
		case "responseParameters":
			res.Parameters = r.parameters(p, "method.response.", responseSources, "header")
		default:
			r.unsupported(p)
		}
	}
	if !status {
		r.problem(f.at, f.path+".statusCode", "add it", "missing")
	}
	return res
}

func (r *reader) templates(f field) map[string]*Template {
	all := map[string]*Template{}
	for _, p := range r.fields(f.value, f.path) {
		source, ok := r.text(p)
		if !ok {
			continue
		}
		t := &Template{Text: source, file: r.file}
		t.at, t.block, t.inset = textAt(p, r.lines)
		var err error
		if t.parsed, err = vtl.Parse(source); err != nil {
			e, _ := errors.AsType[*vtl.Error](err) // Parse has no other
			r.problem(t.place(e.Line, e.Column), p.path, "see docs/gateway.md for what templates can say", "template: %s", e.Message)
			continue
		}
		r.uses(t, p.path)
		all[strings.ToLower(p.name)] = t
	}
	return all
}

// uses notes what a template calls that cannot be there.
func (r *reader) uses(t *Template, path string) {
	for _, u := range t.parsed.Uses() {
		at := t.place(u.Line, u.Column)
		field := strings.Join(u.Path, ".")
		first, _, _ := strings.Cut(field, ".")
		switch u.Name {
		case "context":
			if !contextNames[field] && !anyContext(field) {
				r.problem(at, path, "see docs/gateway.md for those that are", "template: $context.%s is not supported", field)
			}
		case "util":
			if _, ok := utilMethods[first]; !ok {
				r.problem(at, path, "see docs/gateway.md for those that are", "template: $util.%s is not supported", first)
			}
		case "input":
			if !slices.Contains([]string{"body", "json", "path", "params"}, first) {
				r.problem(at, path, "write $input.body, json, path or params", "template: $input.%s is not supported", first)
			}
			if _, err := jsonPathOf(u); err != nil {
				r.problem(at, path, "name the field, as $.user.id", "template: %s", err)
			}
		}
	}
}

// anyContext are the parts of $context whose fields are free.
func anyContext(field string) bool {
	for _, p := range []string{"responseOverride.header.", "responseOverride.header", "requestOverride.header.", "authorizer."} {
		if field == p || strings.HasSuffix(p, ".") && strings.HasPrefix(field, p) {
			return true
		}
	}
	return false
}

// stageVariables are those the templates and parameters name.
func (a *API) stageVariables() []string {
	var names []string
	add := func(t *Template) {
		for _, u := range t.parsed.Uses() {
			if u.Name == "stageVariables" && len(u.Path) > 0 {
				names = append(names, u.Path[0])
			}
		}
	}
	for _, route := range a.Routes {
		for _, t := range route.Integration.Templates {
			add(t)
		}
		for _, p := range route.Integration.Parameters {
			if name, ok := strings.CutPrefix(p.Source, "stageVariables."); ok {
				names = append(names, name)
			}
		}
		for _, res := range route.Integration.Responses {
			for _, t := range res.Templates {
				add(t)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Require checks what is only known at the start: a stage variable that the API
// names and nobody gave.
func (a *API) Require(variables map[string]string) error {
	for _, name := range a.stageVariables() {
		if _, given := variables[name]; !given {
			return fmt.Errorf("the API names the stage variable %s, which was not given", name)
		}
	}
	return nil
}
