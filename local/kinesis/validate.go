package kinesis

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf16"
)

var (
	streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)
	arnPattern = regexp.MustCompile(`^arn:aws.*:kinesis:([^:]*):(\d{12}):stream/([a-zA-Z0-9_.-]{1,128})$`)
)

const (
	namePattern     = "[a-zA-Z0-9_.-]+"
	streamARNRule   = `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`
	sequencePattern = `0|([1-9]\d{0,128})`
	hashKeyPattern  = `0|([1-9]\d{0,38})`
	resourceRule    = `arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+`
	consumerRule    = `^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+`
)

// shownMax bounds how much of a value a message repeats: a request has up to
// 15 MiB of them.
const shownMax = 2048

// violations collects what is wrong with a request, in the service's words. At
// most ten are told.
type violations []string

func (v *violations) add(value any, member, constraint string) {
	shown := "null"
	switch x := value.(type) {
	case nil:
	case *string:
		if x != nil {
			shown = "'" + (*x)[:min(len(*x), shownMax)] + "'"
		}
	default:
		shown = fmt.Sprintf("'%v'", x)
	}
	*v = append(*v, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: Member must %s", shown, member, constraint))
}

// err is nil when nothing is wrong.
func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	told, s := v[:min(len(v), 10)], "s"
	if len(told) == 1 {
		s = ""
	}
	return clientError("ValidationException", "%d validation error%s detected: %s", len(told), s, strings.Join(told, "; "))
}

// text checks a string member: not null if required, length in UTF-16 units as
// Java counts, and a pattern unless that is empty.
func (v *violations) text(s *string, member string, required bool, lo, hi int, pattern string) {
	if s == nil {
		if required {
			v.add(nil, member, "not be null")
		}
		return
	}
	n := utf16Len(*s)
	if n < lo {
		v.add(s, member, fmt.Sprintf("have length greater than or equal to %d", lo))
	}
	if n > hi {
		v.add(s, member, fmt.Sprintf("have length less than or equal to %d", hi))
	}
	if pattern != "" && !matches(pattern, *s) {
		v.add(s, member, "satisfy regular expression pattern: "+pattern)
	}
}

func utf16Len(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

var compiled = map[string]*regexp.Regexp{
	namePattern:     regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`),
	streamARNRule:   regexp.MustCompile(`^arn:aws.*:kinesis:.*:\d{12}:stream/\S+$`),
	sequencePattern: regexp.MustCompile(`^(0|([1-9]\d{0,128}))$`),
	hashKeyPattern:  regexp.MustCompile(`^(0|([1-9]\d{0,38}))$`),
	resourceRule:    regexp.MustCompile(`^arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+$`),
	consumerRule:    regexp.MustCompile(consumerRule + `$`),
}

func matches(pattern, s string) bool { return compiled[pattern].MatchString(s) }

// number checks an integer member.
func (v *violations) number(n *int64, member string, required bool, lo, hi int64) {
	switch {
	case n == nil && required:
		v.add(nil, member, "not be null")
	case n == nil:
	case *n < lo:
		v.add(*n, member, fmt.Sprintf("have value greater than or equal to %d", lo))
	case *n > hi:
		v.add(*n, member, fmt.Sprintf("have value less than or equal to %d", hi))
	}
}

// enum checks a member that must be one of the values, in the service's order.
func (v *violations) enum(s *string, member string, required bool, values ...string) {
	if s == nil {
		if required {
			v.add(nil, member, "not be null")
		}
		return
	}
	for _, x := range values {
		if x == *s {
			return
		}
	}
	v.add(s, member, "satisfy enum value set: ["+strings.Join(values, ", ")+"]")
}

// length checks how many members a list has; none says that it is absent.
func (v *violations) length(n int, none bool, member string, lo, hi int) {
	switch {
	case none:
		v.add(nil, member, "not be null")
	case n < lo:
		v.add("[]", member, fmt.Sprintf("have length greater than or equal to %d", lo))
	case n > hi:
		v.add("[...]", member, fmt.Sprintf("have length less than or equal to %d", hi))
	}
}

// A streamRef is how a request names its stream: name, ARN or both.
type streamRef struct {
	StreamName *string
	StreamARN  *string
}

func (ref streamRef) check(v *violations) {
	v.text(ref.StreamName, "streamName", false, 1, 128, namePattern)
	v.text(ref.StreamARN, "streamARN", false, 1, 2048, streamARNRule)
}

// checkARN is check for the operations that take no name.
func (ref *streamRef) checkARN(v *violations) {
	ref.StreamName = nil
	v.text(ref.StreamARN, "streamARN", true, 1, 2048, streamARNRule)
}

// find resolves the reference; an ARN of another region or account names a
// stream that is not here.
func (s *Server) find(ref streamRef, now time.Time) (*stream, error) {
	if ref.StreamARN == nil {
		if ref.StreamName == nil {
			return nil, invalidArgument("Either StreamName or StreamARN should be provided.")
		}
		return s.stream(*ref.StreamName, now)
	}
	m := arnPattern.FindStringSubmatch(*ref.StreamARN)
	if m == nil {
		return nil, invalidArgument("StreamARN %s is not the ARN of a stream.", *ref.StreamARN)
	}
	if ref.StreamName != nil && *ref.StreamName != m[3] {
		return nil, invalidArgument("StreamName %s does not match StreamARN %s.", *ref.StreamName, *ref.StreamARN)
	}
	if m[1] != s.cfg.Region || m[2] != s.cfg.Account {
		return nil, streamNotFound(m[3], m[2])
	}
	return s.stream(m[3], now)
}

// readable finds a stream that records can be put to and read from: ACTIVE or
// UPDATING. A stream in another state is not found, as on AWS.
func (s *Server) readable(ref streamRef, now time.Time) (*stream, error) {
	st, err := s.find(ref, now)
	if err != nil {
		return nil, err
	}
	if status := st.statusNow(now.UnixMilli()); status != active && status != updating {
		return nil, streamNotFound(st.name, s.cfg.Account)
	}
	return st, nil
}
