package redrive

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A Failure is one record as it stands in an error-output object. Firehose's
// documents and its real objects spell the fields differently, and spelled them
// differently over the years; all are read.
type Failure struct {
	// Raw are the bytes of the record before any processing.
	Raw []byte
	// Code and Message say why it failed: Lambda.FunctionError.
	Code, Message string
	// Function is the Lambda function's ARN, if there was one.
	Function string
}

// envelope has the fields as they are written. Names are matched without regard
// to case: errorCode is ErrorCode too, and lambdaARN is lambdaArn. The numbers
// (attemptsMade, arrivalTimestamp), which documents show as strings, are left out.
type envelope struct {
	RawData     *[]byte `json:"rawData"`
	Code        string  `json:"errorCode"`
	LastCode    string  `json:"lastErrorCode"`
	Message     string  `json:"errorMessage"`
	LastMessage string  `json:"lastErrorMessage"`
	Lambda      string  `json:"lambdaARN"`
}

var errNoData = errors.New("it has no rawData")

// Parse calls visit with each record of one line: one JSON object, or several
// with nothing between them. What cannot be read is given as an error, without
// the content; after bytes that are no JSON nothing more of the line is read.
func Parse(line []byte, visit func(Failure, error) error) error {
	in := json.NewDecoder(bytes.NewReader(line))
	for {
		var e envelope
		err := in.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		_, wrongType := errors.AsType[*json.UnmarshalTypeError](err)
		_, syntax := errors.AsType[*json.SyntaxError](err)
		broken := syntax || errors.Is(err, io.ErrUnexpectedEOF)
		switch {
		case err == nil && e.RawData == nil:
			err = errNoData
		case wrongType:
			err = errors.New("it is no error record: a field has another type")
		case broken:
			err = errors.New("it is no JSON")
		case err != nil:
			err = fmt.Errorf("its rawData is no base64")
		}
		f := Failure{Code: cmp.Or(e.Code, e.LastCode), Message: cmp.Or(e.Message, e.LastMessage), Function: e.Lambda}
		if err == nil {
			f.Raw = *e.RawData
		}
		if stop := visit(f, err); stop != nil || broken {
			return stop
		}
	}
}
