package dynamo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/standpipe/standpipe"
)

// classify gives an error of a DynamoDB call its class and, where a person can
// do something, a hint. It is the only place that looks at DynamoDB's codes
// (DynamoDB API reference, Common Errors and the errors of each action).
func (t *Table) classify(op string, err error) error {
	e := &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: plain(err)}
	switch code := codeOf(err); code {
	case "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException", "Throttling",
		"LimitExceededException", "SlowDown", "TooManyRequestsException":
		e.Class = standpipe.Throttled
	case "TransactionConflictException", "InternalServerError", "InternalFailure", "ServiceUnavailable",
		"ItemCollectionSizeLimitExceededException", "ResourceInUseException", "RequestTimeout":
	case "ResourceNotFoundException", "TableNotFoundException":
		e.Class = standpipe.NotFound
		e.Hint = fmt.Sprintf("there is no table %s that takes requests in this region and account: is %s right? A new one is made by %s", t.Name, t.Use.Setting, t.Use.Create)
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "OptInRequired":
		e.Class = standpipe.Denied
		e.Hint = "the policy refuses this call: " + t.Use.Policy
	case "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException":
		e.Class = standpipe.Denied
		e.Hint = "the table is encrypted: allow kms:Decrypt on its key and enable the key"
	case "UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
		"IncompleteSignatureException", "InvalidSignatureException", "SignatureDoesNotMatch", "ExpiredTokenException", "RequestExpired":
		e.Class = standpipe.Denied
		e.Hint = "check the AWS credentials and this machine's clock"
	case "ValidationException", "SerializationException", "UnknownOperationException":
		e.Class = standpipe.Fatal
	default:
		switch status := statusOf(err); {
		case status == 429:
			e.Class = standpipe.Throttled
		case status == 401 || status == 403 || code == "" && unsigned(err):
			e.Class, e.Hint = standpipe.Denied, "check the AWS credentials of this process"
		case status == 0 && code == "":
			e.Hint = "DynamoDB cannot be reached: check the region, the network, and AWS_ENDPOINT_URL_DYNAMODB if it is set"
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Err = fmt.Errorf("no whole answer within %v", t.Attempt)
	}
	return e
}

// plain leaves the SDK's envelope away where the service said what was wrong.
func plain(err error) error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return apiError{api}
	}
	return err
}

type apiError struct{ smithy.APIError }

func (e apiError) Error() string { return e.ErrorCode() + ": " + e.ErrorMessage() }

func codeOf(err error) string {
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

// unsigned reports whether a call failed before it was sent because there was
// nothing to sign it with.
func unsigned(err error) bool {
	return strings.Contains(err.Error(), "get identity:") || strings.Contains(err.Error(), "failed to refresh cached credentials")
}
