package directput

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/smithy-go"
)

// An apiError is an answer other than 200, in Firehose's words.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

func (e *apiError) body() []byte {
	b, err := json.Marshal(map[string]string{"__type": e.code, "message": e.message})
	if err != nil { // strings always marshal
		panic(err)
	}
	return b
}

func clientError(code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

// slowDown is what Firehose says when a limit is reached. SDKs try again upon a
// 503, and so does whoever reads the code of a single record.
func slowDown() *apiError {
	return &apiError{http.StatusServiceUnavailable, "ServiceUnavailableException", "Slow down."}
}

// unavailable hides from a producer what only the operator can mend, and keeps
// it trying; the log has the cause.
func unavailable() *apiError {
	return &apiError{http.StatusServiceUnavailable, "ServiceUnavailableException", "The service is unavailable. Back off and retry the operation."}
}

func internalFailure() *apiError {
	return &apiError{http.StatusInternalServerError, "InternalFailure", "Internal service failure."}
}

// failure is the error of a fate, for a record or for all of a request.
func failure(f fate) *apiError {
	switch f {
	case throttled:
		return slowDown()
	case refused:
		return unavailable()
	}
	return internalFailure()
}

// requestThrottles are the codes of a whole PutRecords that stored nothing for
// its rate.
var requestThrottles = map[string]bool{
	"ProvisionedThroughputExceededException": true,
	"LimitExceededException":                 true,
	"KMSThrottlingException":                 true,
	"ThrottlingException":                    true,
}

// fateOf reads the error of a whole PutRecords. A 4xx is Kinesis's word that it
// stored nothing. All else (5xx, time-out, a connection that broke) leaves it
// open, unless there was no connection at all.
func fateOf(err error) fate {
	if isDial(err) {
		return refused
	}
	api, ok := errors.AsType[smithy.APIError](err)
	switch {
	case !ok:
		return unknown
	case requestThrottles[api.ErrorCode()]:
		return throttled
	}
	status, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err)
	if ok && status.HTTPStatusCode() >= 400 && status.HTTPStatusCode() < 500 {
		return refused
	}
	return unknown
}
