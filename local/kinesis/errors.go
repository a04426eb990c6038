package kinesis

import (
	"errors"
	"fmt"
	"net/http"
)

var errNotHashKey = errors.New("hash key is not a decimal number below 2^128")

// An apiError is an answer other than 200, in the service's own words.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// members are the error's body. SerializationException spells its message with
// a capital M (kinesalite, recorded on AWS).
func (e *apiError) members() map[string]string {
	member := "message"
	if e.code == "SerializationException" {
		member = "Message"
	}
	doc := map[string]string{"__type": e.code}
	if e.message != "" {
		doc[member] = e.message
	}
	return doc
}

func clientError(code, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func invalidArgument(format string, args ...any) error {
	return clientError("InvalidArgumentException", format, args...)
}

func notFound(format string, args ...any) error {
	return clientError("ResourceNotFoundException", format, args...)
}

func inUse(format string, args ...any) error {
	return clientError("ResourceInUseException", format, args...)
}

func serialization(format string, args ...any) error {
	return clientError("SerializationException", format, args...)
}

// internalFailure hides the cause from the client, as the service does; the
// caller logs it.
func internalFailure() error {
	return &apiError{http.StatusInternalServerError, "InternalFailure", "Internal service failure."}
}

func streamNotFound(name, account string) error {
	return notFound("Stream %s under account %s not found.", name, account)
}

func notActive(name, account, status string) error {
	return inUse("Stream %s under account %s not ACTIVE, instead in state %s", name, account, status)
}

func rateExceeded(shard, stream, account string) error {
	return clientError("ProvisionedThroughputExceededException",
		"Rate exceeded for shard %s in stream %s under account %s.", shard, stream, account)
}

func limitExceeded(format string, args ...any) error {
	return clientError("LimitExceededException", format, args...)
}

func notOnDemand(stream, account string) error {
	return invalidArgument("Stream %s under account %s is not in On-Demand mode.", stream, account)
}

// dryRun is the answer to a call with DryRun that would have succeeded.
func dryRun() error {
	return clientError("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
}
