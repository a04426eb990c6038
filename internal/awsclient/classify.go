package awsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/standpipe/standpipe"
)

// The hints an operator can act upon.
const (
	hintCredentials = "look at the AWS credentials: AWS_ACCESS_KEY_ID, AWS_PROFILE or the role of the task"
	hintPolicy      = "the credentials work but the IAM policy refuses this call"
	hintClock       = "the signature was refused: look at the secret key and at this machine's clock"
	hintRegion      = "it lives in another region: give --region or set AWS_REGION"
	hintConnect     = "is the endpoint right and up? AWS_ENDPOINT_URL_KINESIS, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_DYNAMODB and --region decide where requests go"
)

// classes names the API error codes that tell more than their HTTP status.
var classes = map[string]standpipe.Error{
	"ProvisionedThroughputExceededException": {Class: standpipe.Throttled},
	"LimitExceededException":                 {Class: standpipe.Throttled},
	"KMSThrottlingException":                 {Class: standpipe.Throttled},
	"ThrottlingException":                    {Class: standpipe.Throttled},
	"SlowDown":                               {Class: standpipe.Throttled},
	"InternalFailure":                        {Class: standpipe.Retryable},
	"ServiceUnavailable":                     {Class: standpipe.Retryable},
	"RequestTimeout":                         {Class: standpipe.Retryable},
	"ResourceNotFoundException":              {Class: standpipe.NotFound, Hint: "is the name right, and --region?"},
	"NoSuchBucket":                           {Class: standpipe.NotFound, Hint: "is the name right, and --region?"},
	"NoSuchKey":                              {Class: standpipe.NotFound},
	"NotFound":                               {Class: standpipe.NotFound},
	"AccessDenied":                           {Class: standpipe.Denied, Hint: hintPolicy},
	"AccessDeniedException":                  {Class: standpipe.Denied, Hint: hintPolicy},
	"ExpiredToken":                           {Class: standpipe.Denied, Hint: hintCredentials},
	"ExpiredTokenException":                  {Class: standpipe.Denied, Hint: hintCredentials},
	"InvalidAccessKeyId":                     {Class: standpipe.Denied, Hint: hintCredentials},
	"UnrecognizedClientException":            {Class: standpipe.Denied, Hint: hintCredentials},
	"InvalidSignatureException":              {Class: standpipe.Denied, Hint: hintClock},
	"SignatureDoesNotMatch":                  {Class: standpipe.Denied, Hint: hintClock},
	"RequestTimeTooSkewed":                   {Class: standpipe.Denied, Hint: hintClock},
	"PermanentRedirect":                      {Class: standpipe.Fatal, Hint: hintRegion},
	"AuthorizationHeaderMalformed":           {Class: standpipe.Fatal, Hint: hintRegion},
}

// Classify turns an error of an SDK call into one an operator can read: what
// was being done (op), the service's own code and message without the SDK's
// envelope, and what to do. nil stays nil, and so do the errors of a context
// that ended: they say nothing about the peer.
func Classify(op string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return classifyAPI(op, api, err)
	}
	if status := statusOf(err); status != 0 {
		return &standpipe.Error{Class: classOfStatus(status), Op: op, Err: fmt.Errorf("HTTP status %d", status)}
	}
	if strings.Contains(err.Error(), "failed to refresh cached credentials") || strings.Contains(err.Error(), "get identity") {
		return &standpipe.Error{
			Class: standpipe.Denied, Op: op, Hint: hintCredentials,
			Err: errors.New("no AWS credentials found"),
		}
	}
	if n, ok := errors.AsType[net.Error](err); ok {
		return &standpipe.Error{Class: standpipe.Retryable, Op: op, Hint: hintConnect, Err: n}
	}
	return &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: err}
}

func classifyAPI(op string, api smithy.APIError, err error) error {
	e, known := classes[api.ErrorCode()]
	if !known {
		e.Class = classOfStatus(statusOf(err))
	}
	e.Op = op
	e.Err = apiText{api}
	return &e
}

// Code is the API error code in err's chain, or empty.
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

func statusOf(err error) int {
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.Response != nil {
		return r.HTTPStatusCode()
	}
	return 0
}

// classOfStatus reads an HTTP status whose error code says nothing.
func classOfStatus(status int) standpipe.Class {
	switch {
	case status == http.StatusTooManyRequests:
		return standpipe.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return standpipe.Denied
	case status == http.StatusNotFound:
		return standpipe.NotFound
	case status == http.StatusRequestTimeout, status >= 500, status == 0:
		return standpipe.Retryable
	}
	return standpipe.Fatal
}

// apiText shows an API error as "Code: message" and keeps it in the chain.
type apiText struct{ smithy.APIError }

func (t apiText) Error() string {
	if t.ErrorMessage() == "" {
		return t.ErrorCode()
	}
	return t.ErrorCode() + ": " + t.ErrorMessage()
}
