package gateway

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A Level says how much an execution log tells.
type Level string

// The levels, in API Gateway's words.
const (
	LevelOff   Level = ""
	LevelError Level = "ERROR"
	LevelInfo  Level = "INFO"
)

// timestamps of log lines, as CloudWatch shows them.
const logTime = "2006-01-02T15:04:05.000Z"

// A logWriter writes whole texts: the lines of one request stay together.
type logWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *logWriter) write(s string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.w, s)
	return err
}

// An executionLog is what API Gateway writes into the log group
// API-Gateway-Execution-Logs: one request's lines, in its order and wording.
// A nil one writes nothing.
type executionLog struct {
	id    string
	level Level
	trace bool // data trace: headers and bodies too
	now   func() time.Time
	lines strings.Builder
}

// traceMax is where API Gateway cuts a line.
const traceMax = 1024

// info notes an event.
func (l *executionLog) info(format string, args ...any) {
	if l != nil && l.level == LevelInfo {
		l.line(fmt.Sprintf(format, args...))
	}
}

// failed notes what ends a request badly.
func (l *executionLog) failed(format string, args ...any) {
	if l != nil {
		l.line(fmt.Sprintf(format, args...))
	}
}

// data notes what a request carries, only under data trace.
func (l *executionLog) data(what, text string) {
	if l == nil || !l.trace || l.level != LevelInfo {
		return
	}
	if len(text) > traceMax {
		text = strings.ToValidUTF8(text[:traceMax], "") + " [TRUNCATED]"
	}
	l.line(what + text)
}

// line writes one line: a caller cannot begin another with what it sends.
func (l *executionLog) line(s string) {
	s = strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s)
	fmt.Fprintf(&l.lines, "%s (%s) %s\n", l.now().UTC().Format(logTime), l.id, printable(s))
}

// secret headers are never written.
var secret = map[string]bool{"Authorization": true, "Cookie": true, "Set-Cookie": true, "X-Api-Key": true, "X-Amz-Security-Token": true}

// pairs prints headers or parameters as Java prints a map.
func pairs[M ~map[string][]string](m M) string {
	var all []string
	for _, name := range sortedKeys(m) {
		value := strings.Join(m[name], ",")
		if secret[http.CanonicalHeaderKey(name)] {
			value = "****"
		}
		all = append(all, name+"="+value)
	}
	return "{" + strings.Join(all, ", ") + "}"
}

func single(m map[string]string) string {
	all := map[string][]string{}
	for k, v := range m {
		all[k] = []string{v}
	}
	return pairs(all)
}

// DefaultAccessFormat is API Gateway's JSON example, shortened.
const DefaultAccessFormat = `{"requestId":"$context.requestId","ip":"$context.identity.sourceIp","requestTime":"$context.requestTime",` +
	`"httpMethod":"$context.httpMethod","resourcePath":"$context.resourcePath","status":"$context.status","protocol":"$context.protocol",` +
	`"responseLength":"$context.responseLength","responseLatency":"$context.responseLatency","integrationLatency":"$context.integrationLatency"}`

// accessNames are the variables that only an access log has.
var accessNames = nameSet("status responseLength responseLatency integrationLatency integration.latency integration.integrationStatus integrationStatus error.message")

var accessVariable = regexp.MustCompile(`\$context\.([A-Za-z]+(?:\.[A-Za-z]+)*)`)

// An AccessFormat is a line with $context variables.
type AccessFormat struct{ line string }

// ParseAccessFormat checks a format: every variable is known, and one of them
// is the request's id, as API Gateway demands.
func ParseAccessFormat(line string) (*AccessFormat, error) {
	if !strings.Contains(line, "$context.requestId") && !strings.Contains(line, "$context.extendedRequestId") {
		return nil, fmt.Errorf("an access log format needs $context.requestId or $context.extendedRequestId")
	}
	for _, m := range accessVariable.FindAllStringSubmatch(line, -1) {
		if !contextNames[m[1]] && !accessNames[m[1]] {
			return nil, fmt.Errorf("$context.%s is not a variable of the access log", m[1])
		}
	}
	return &AccessFormat{strings.NewReplacer("\n", "", "\r", "").Replace(line)}, nil
}

// quoted makes a value harmless within the quotes of a JSON or CLF format.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`)

// render is one line; what has no value is a hyphen.
func (f *AccessFormat) render(value func(name string) string) string {
	return accessVariable.ReplaceAllStringFunc(f.line, func(m string) string {
		if v := value(strings.TrimPrefix(m, "$context.")); v != "" {
			return printable(quoted.Replace(v))
		}
		return "-"
	}) + "\n"
}
