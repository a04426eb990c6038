package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/safeyaml"
)

// fileBytesMax is far above any real file (2 KB) and bounds what the YAML parser
// is fed: its time grows faster than its input.
const fileBytesMax = 64 << 10

// nestingMax is three times the depth of the deepest field.
const nestingMax = 16

// Validators are the rules that other packages own. A nil function checks
// nothing. The zero value is ready to use.
type Validators struct {
	// Prefix returns what is wrong with the two prefixes, one message each. A
	// message that names ErrorOutputPrefix is shown there, any other at Prefix.
	Prefix func(prefix, errorPrefix string) []string
	// TimeZone returns what is wrong with a CustomTimeZone.
	TimeZone func(name string) error
}

// Load reads the file at path without Validators, see Validators.Load.
func Load(path string) (*Config, error) { return Validators{}.Load(path) }

// Parse reads a document without Validators, see Validators.Parse.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	return Validators{}.Parse(name, data, env)
}

// Load reads the file at path and takes ${NAME} from the process's environment.
// The error is Problems, or a *standpipe.Error when the file cannot be read.
func (v Validators) Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: "read configuration " + path,
			Hint: "name the file of the delivery stream, such as standpipe.yaml", Err: err,
		}
	}
	return v.Parse(path, data, os.LookupEnv)
}

// readFile reads one byte more than Parse takes at most, so that Parse says so.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, fileBytesMax+1))
}

// Parse reads a document; name is what problems call it, env looks ${NAME} up
// and may be nil. A non-nil error is always Problems, and the Config then nil.
// Parse keeps nothing of data and may be called concurrently.
func (v Validators) Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d := &decoder{
		file: name, env: env, places: places{"": {1, 1}},
		lines: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"),
	}
	c := Default()
	if root, ok := d.tree(data); ok {
		d.mapping(root, reflect.ValueOf(c).Elem(), "")
		c.places = d.places
		check := checker{decoder: d, c: c}
		check.all(v)
	}
	if len(d.problems) > 0 {
		return nil, sorted(d.problems)
	}
	c.Warnings = sorted(d.warnings)
	return c, nil
}

// tree parses data into the one mapping that a document is. When it is not one,
// the problem is noted and ok is false.
func (d *decoder) tree(data []byte) (root *ast.MappingNode, ok bool) {
	if !d.readable(data) {
		return nil, false
	}
	file, err := safeyaml.Parse(string(data), nestingMax)
	if err != nil {
		d.syntax(err)
		return nil, false
	}
	if len(file.Docs) > 1 {
		at := place{1, 1}
		if start := file.Docs[1].Start; start != nil {
			at = placeOf(start)
		}
		d.problem(at, "", "a second document begins here", "keep one delivery stream per file and remove what follows")
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		d.problem(place{1, 1}, "", "the file says nothing", "begin with DeliveryStreamName: and the stream's name")
		return nil, false
	}
	root, ok = asMapping(file.Docs[0].Body)
	if !ok {
		d.problem(placeOf(file.Docs[0].Body.GetToken()), "", "the document is "+kindOf(file.Docs[0].Body)+", not a mapping",
			"begin with DeliveryStreamName: and the stream's name")
	}
	return root, ok
}

// readable refuses what the YAML parser should not see.
func (d *decoder) readable(data []byte) bool {
	if len(data) > fileBytesMax {
		d.lines = nil
		d.problem(place{1, 1}, "", fmt.Sprintf("the file has more than %d KiB", fileBytesMax>>10), "name the file of one delivery stream")
		return false
	}
	if utf8.Valid(data) {
		for i, line := range d.lines {
			if at := strings.IndexFunc(line, unprintable); at >= 0 {
				d.problem(place{i + 1, utf8.RuneCountInString(line[:at]) + 1}, "", "a control character", "remove it")
			}
		}
		return len(d.problems) == 0
	}
	for i, line := range d.lines {
		if !utf8.ValidString(line) {
			d.lines[i] = ""
			d.problem(place{i + 1, 1}, "", "the line is not UTF-8 text", "save the file as UTF-8")
		}
	}
	return false
}

func unprintable(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == '\ufeff' }

// syntax notes what the YAML parser said, at the place it said it.
func (d *decoder) syntax(err error) {
	at, message := place{1, 1}, err.Error()
	if ye, ok := errors.AsType[yaml.Error](err); ok {
		message = ye.GetMessage()
		if t := ye.GetToken(); t != nil {
			at = placeOf(t)
		}
	}
	fix := "correct the YAML at or before this place"
	if line := d.line(at.line); strings.Contains(line, "${") || strings.Contains(line, "!{") {
		fix = "put text that contains { or } in quotes"
	} else if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
		fix = "indent with spaces, YAML takes no tabs"
	}
	d.problem(at, "", "not YAML: "+message, fix)
}

func placeOf(t *token.Token) place {
	line, column := safeyaml.Place(t)
	return place{line, column}
}
