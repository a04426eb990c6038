package kinesis

import (
	"bytes"
	"encoding/json"
	"errors"
)

// A codec is one of the two encodings of the API: the members are the same,
// blobs and times differ. Both are safe for concurrent use.
type codec interface {
	contentType() string
	// decode reads a request's members into a struct of pointers: nil is absent
	// or null. Members it does not know are ignored, as the service does. Its
	// error is a SerializationException.
	decode(body []byte, into any) error
	// scan reads a request member by member, see reader.
	scan(body []byte) reader
	// append encodes an answer: nil, an appender, or structs in the API's names.
	append(b []byte, answer any) []byte
}

// A reader walks through a request from front to back without building
// anything: the records of a put would be the most expensive part of it. Bytes
// it returns alias the body wherever the encoding allows.
type reader interface {
	object(member func(name []byte) error) error
	list(item func() error) error
	text() ([]byte, error)       // nil for null
	blob(*arena) ([]byte, error) // nil for null, never nil for an empty blob
	flag() (bool, error)         // false for null
	null() bool                  // passes over a null and reports whether one was there
	skip() error                 // passes over any value
	end() error                  // nothing may follow
}

// An appender writes itself in either encoding, into a buffer that is used again.
type appender interface {
	appendJSON([]byte) []byte
	appendCBOR([]byte) []byte
}

// codecOf finds the codec of a media type; nil for any other.
func codecOf(media string) codec {
	switch media {
	case contentJSON:
		return jsonCodec{}
	case contentCBOR:
		return cborCodec{}
	}
	return nil
}

const (
	contentJSON = "application/x-amz-json-1.1"
	contentCBOR = "application/x-amz-cbor-1.1"
)

type jsonCodec struct{}

func (jsonCodec) contentType() string { return contentJSON }

func (jsonCodec) scan(body []byte) reader { return &scanner{b: body} }

func (jsonCodec) decode(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return serialization("")
	}
	err := json.Unmarshal(body, into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrongType(wrong.Value, wrong.Type.String())
	}
	if err != nil {
		return serialization("")
	}
	return nil
}

func (jsonCodec) append(b []byte, answer any) []byte {
	if answer == nil {
		return append(b, "{}"...)
	}
	if a, ok := answer.(appender); ok {
		return a.appendJSON(b)
	}
	out := bytes.NewBuffer(b)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)                   // the service does not
	if err := e.Encode(answer); err != nil { // our own structs of strings and numbers
		panic(err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// wrongType speaks of a type error as the service's Java does (kinesalite,
// recorded on AWS). value is what encoding/json calls the kind of value found.
func wrongType(value, goType string) error {
	switch {
	case value == "array" && goType != "string":
		return serialization("Start of list found where not expected")
	case value == "object":
		return serialization("Start of structure or map found where not expected.")
	case value == "array":
		return serialization("Unrecognized collection type class java.lang.String")
	case goType == "[]string" || goType == "[]uint8":
		return serialization("Expected list or null")
	}
	return serialization("%s can not be converted to %s", javaName(value), javaKind(goType))
}

func javaName(value string) string {
	switch value {
	case "string":
		return "class java.lang.String"
	case "bool":
		return "class java.lang.Boolean"
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
	case "float64": // of an instant
		return "milliseconds since epoch"
	}
	return "the expected type"
}
