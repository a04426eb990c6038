package sink

import (
	"strings"
	"time"
	"unicode/utf8"
)

// A PartitionKey is a dynamic-partitioning expression of a prefix.
type PartitionKey struct {
	// Source is "partitionKeyFromQuery" or "partitionKeyFromLambda".
	Source string
	Name   string
}

const (
	nsTimestamp = "timestamp"
	nsFirehose  = "firehose"
	nsQuery     = "partitionKeyFromQuery"
	nsLambda    = "partitionKeyFromLambda"

	valueRandom    = "random-string"
	valueErrorType = "error-output-type"
)

// Firehose's messages (observed on CreateDeliveryStream).
const (
	constraint = "The supplied prefix(es) do not satisfy the following constraint: "

	errPrefixRaw       = "prefix is longer than 1024 characters"
	errNoErrorPrefix   = constraint + "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions"
	errNoErrorType     = constraint + "ErrorOutputPrefix must contain at least one occurrence of !{firehose:error-output-type}"
	errErrorType       = constraint + "Prefix must not contain any occurrence of !{firehose:error-output-type}"
	errUsage           = constraint + "Invalid expression usage"
	errConversion      = constraint + "Invalid conversion character used in the value of the expression in Prefix"
	errPrefixLength    = constraint + "Length of evaluated prefix cannot be greater than 512"
	errErrorLength     = constraint + "Length of evaluated ErrorOutputPrefix cannot be greater than 512"
	errPartitionError  = "Dynamic Partitioning Namespaces can't be part of an error prefix expression"
	errPartitionOff    = "Dynamic Partitioning Namespaces can only be part of a prefix expression when Dynamic Partitioning is enabled."
	errPartitionAbsent = "S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled"
)

func errNamespace(ns string) string {
	return constraint + "Namespace to the left of colon (" + ns + ") is an invalid keyword!"
}

const (
	rawPrefixMax       = 1024
	evaluatedPrefixMax = 512
)

// A template is a compiled prefix.
type template struct {
	pieces []piece
	unit   unit // of the finest timestamp letter
	// What kinds of expressions there are.
	timed, random, kinds, partitioned bool
}

// A piece is one of: a literal, a date layout, a random string, the error
// output type, a partition key.
type piece struct {
	literal string
	layout  layout
	random  bool
	kind    bool
	key     PartitionKey
}

// inputs are what a template is evaluated with; an empty uuid leaves random
// strings as expressions.
type inputs struct {
	time       time.Time
	uuid, kind string
}

func (t *template) append(dst []byte, in inputs) []byte {
	randoms := 0
	for i := range t.pieces {
		switch p := &t.pieces[i]; {
		case p.layout != nil:
			dst = p.layout.append(dst, in.time)
		case p.random && in.uuid == "":
			dst = append(dst, "!{firehose:random-string}"...)
		case p.random:
			dst = append(dst, randomString(in.uuid, randoms)...)
			randoms++
		case p.kind:
			dst = append(dst, in.kind...)
		case p.key.Name != "":
			dst = append(dst, "!{"+p.key.Source+":"+p.key.Name+"}"...)
		default:
			dst = append(dst, p.literal...)
		}
	}
	return dst
}

func (t *template) expressions() bool { return t.timed || t.random || t.kinds || t.partitioned }

// withDate appends the default date.
func (t *template) withDate() {
	l, err := compile(DefaultDatePattern)
	if err != nil {
		panic(err)
	}
	t.pieces = append(t.pieces, piece{layout: l.layout})
	t.timed, t.unit = true, min(t.unit, l.unit)
}

// parseTemplate compiles one prefix; problems are Firehose's messages.
func parseTemplate(s string) (t template, problems []string) {
	t.unit = unitYear
	for s != "" {
		before, rest, found := strings.Cut(s, "!{")
		if before != "" {
			t.pieces = append(t.pieces, piece{literal: before})
		}
		if !found {
			break
		}
		expression, after, closed := strings.Cut(rest, "}")
		ns, value, colon := strings.Cut(expression, ":")
		if !closed || !colon || ns == "" || value == "" {
			return t, append(problems, errUsage)
		}
		if problem := t.add(ns, value); problem != "" {
			problems = append(problems, problem)
		}
		s = after
	}
	return t, problems
}

func (t *template) add(ns, value string) (problem string) {
	switch {
	case ns == nsTimestamp:
		l, err := compile(value)
		if err != nil {
			return errConversion
		}
		t.timed, t.unit = true, min(t.unit, l.unit)
		t.pieces = append(t.pieces, piece{layout: l.layout})
	case ns == nsFirehose && value == valueRandom:
		t.random = true
		t.pieces = append(t.pieces, piece{random: true})
	case ns == nsFirehose && value == valueErrorType:
		t.kinds = true
		t.pieces = append(t.pieces, piece{kind: true})
	case ns == nsFirehose:
		return errConversion
	case ns == nsQuery || ns == nsLambda:
		t.partitioned = true
		t.pieces = append(t.pieces, piece{key: PartitionKey{Source: ns, Name: value}})
	default:
		return errNamespace(ns)
	}
	return ""
}

// parsePrefixes compiles both prefixes with Firehose's defaults.
//
// Where the documentation and observations of Firehose disagree or are silent:
// a prefix with random strings only gets the date (documentation), one with
// partition keys does not; a literal ErrorOutputPrefix is followed by the type
// and the date, as the default one is.
func parsePrefixes(c KeyConfig, zone *time.Location) (data, failed template, problems []error) {
	refuse := func(field, message string) {
		problems = append(problems, &KeyError{Field: field, Message: message})
	}
	data, found := parseTemplate(c.Prefix)
	for _, m := range found {
		refuse("Prefix", m)
	}
	failed, found = parseTemplate(c.ErrorPrefix)
	for _, m := range found {
		refuse("ErrorOutputPrefix", m)
	}
	if len(problems) > 0 {
		return data, failed, problems
	}

	if data.kinds {
		refuse("Prefix", errErrorType)
	}
	if data.expressions() && c.ErrorPrefix == "" {
		refuse("ErrorOutputPrefix", errNoErrorPrefix)
	}
	if failed.expressions() && !failed.kinds {
		refuse("ErrorOutputPrefix", errNoErrorType)
	}
	if failed.partitioned {
		refuse("ErrorOutputPrefix", errPartitionError)
	}
	if data.partitioned && !c.DynamicPartitioning {
		refuse("Prefix", errPartitionOff)
	}
	if !data.partitioned && c.DynamicPartitioning {
		refuse("Prefix", errPartitionAbsent)
	}
	checkLengths(c, data, failed, zone, refuse)

	if c.ErrorPrefix == "" {
		failed = template{unit: unitYear, pieces: []piece{{literal: c.Prefix}}}
	}
	if !failed.expressions() {
		failed.pieces = append(failed.pieces, piece{kind: true}, piece{literal: "/"})
		failed.kinds = true
		failed.withDate()
	}
	if !data.timed && !data.partitioned {
		data.withDate()
	}
	return data, failed, problems
}

// checkLengths is Firehose's check: the prefix as written, without the default
// date, so that 512 literal characters pass. The sample instant has English's
// longest month and day names.
func checkLengths(c KeyConfig, data, failed template, zone *time.Location, refuse func(field, message string)) {
	sample := inputs{
		time: time.Date(2026, time.September, 30, 22, 30, 30, 0, zone),
		uuid: "-", kind: "metadata-extraction-failed",
	}
	for _, p := range []struct {
		field, raw, long string
		t                *template
	}{
		{"Prefix", c.Prefix, errPrefixLength, &data},
		{"ErrorOutputPrefix", c.ErrorPrefix, errErrorLength, &failed},
	} {
		if utf8.RuneCountInString(p.raw) > rawPrefixMax {
			refuse(p.field, errPrefixRaw)
		} else if utf8.RuneCount(p.t.append(nil, sample)) > evaluatedPrefixMax {
			refuse(p.field, p.long)
		}
	}
}
