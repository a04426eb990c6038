package kinesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// decode reads a request's members into a struct of pointers: nil is absent or
// null. Members it does not know are ignored, as the service does.
func decode(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return serialization("")
	}
	err := json.Unmarshal(body, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return serialization("%s can not be converted to %s", javaName(wrong.Value), javaKind(wrong.Type.String()))
	}
	if err != nil {
		return serialization("")
	}
	return nil
}

// javaName and javaKind speak of a type error as the service's Java does.
func javaName(value string) string {
	switch value {
	case "string":
		return "class java.lang.String"
	case "bool":
		return "class java.lang.Boolean"
	case "array":
		return "Start of list"
	case "object":
		return "Start of structure or map"
	}
	return "class java.lang.Number"
}

func javaKind(goType string) string {
	switch goType {
	case "string":
		return "an String"
	case "int64":
		return "an Integer"
	case "bool":
		return "a Boolean"
	case "kinesis.instant":
		return "milliseconds since epoch"
	}
	return "the expected type"
}

// An instant is a time in a request or an answer, in ms; on the wire seconds
// with a fraction. Milliseconds are understood too.
type instant int64

func (t instant) MarshalJSON() ([]byte, error) { return appendSeconds(nil, int64(t)), nil }

func (t *instant) UnmarshalJSON(b []byte) error {
	var s float64
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if math.Abs(s) > 1e15 {
		return fmt.Errorf("time %v is out of range", s)
	}
	*t = instant(fromSeconds(s))
	return nil
}

// appendSeconds appends ms as seconds with three decimals.
func appendSeconds(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = appendUint(b, uint64(ms/1000))
	return appendDigits(append(b, '.'), uint64(ms%1000), 3)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
