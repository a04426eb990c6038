package consumer

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/standpipe/standpipe"
)

// classify gives an error of a Kinesis call its class. It is the only place
// that looks at Kinesis's error codes (Kinesis API reference, Common Errors,
// and the errors of each action); everyone else asks standpipe.ClassOf.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: err}
	code := codeOf(err)
	switch code {
	case "ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException",
		"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "RequestLimitExceeded", "TooManyRequestsException", "SlowDown":
		e.Class = standpipe.Throttled
	case "ExpiredIteratorException", "ExpiredNextTokenException", "ResourceInUseException",
		"InternalFailure", "InternalFailureException", "ServiceUnavailable", "RequestTimeout":
		e.Class = standpipe.Retryable
	case "ResourceNotFoundException":
		e.Class = standpipe.NotFound
		e.Hint = "check the stream's name, region and account"
	case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation", "NotAuthorized", "OptInRequired":
		e.Class = standpipe.Denied
		e.Hint = "deploy/iam/task-role.json has the statement the source needs"
	case "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException",
		"KMSNotFoundException", "KMSOptInRequired":
		e.Class = standpipe.Denied
		e.Hint = "the stream is encrypted: allow kms:Decrypt on its key and enable the key; reading resumes by itself"
	case "UnrecognizedClientException", "InvalidClientTokenId", "MissingAuthenticationToken",
		"MissingAuthenticationTokenException", "IncompleteSignature", "IncompleteSignatureException",
		"InvalidSignatureException", "SignatureDoesNotMatch", "ExpiredTokenException", "ExpiredToken",
		"RequestExpired":
		e.Class = standpipe.Denied
		e.Hint = "check the AWS credentials and this machine's clock"
	case "InvalidArgumentException":
		e.Class = standpipe.Fatal
		if foreign(err) {
			e.Hint = "the checkpoint belongs to an older stream of this name or to another shard: " +
				"give the delivery stream a new checkpoint table or prefix, or delete the shard's row, and start again"
		}
	case "ValidationException", "SerializationException", "UnknownOperationException", "DryRunOperationException":
		e.Class = standpipe.Fatal
	case "":
		if unsigned(err) {
			e.Class = standpipe.Denied
			e.Hint = "check the AWS credentials of this process"
			break
		}
		e.Class = classOfStatus(err)
		if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
			e.Hint = "is Kinesis reachable? Standpipe.Endpoint.Kinesis, AWS_ENDPOINT_URL_KINESIS and the region decide where requests go"
		}
	default:
		e.Class = classOfStatus(err)
	}
	return e
}

// classOfStatus judges a code nobody has told us about by its HTTP status.
// Unknown 4xx answers are held and repeated slowly rather than given up.
func classOfStatus(err error) standpipe.Class {
	var re *smithyhttp.ResponseError
	if !errors.As(err, &re) {
		return standpipe.Retryable
	}
	switch status := re.HTTPStatusCode(); {
	case status == 429:
		return standpipe.Throttled
	case status == 401 || status == 403:
		return standpipe.Denied
	}
	return standpipe.Retryable
}

// codeOf is the error's code as Kinesis spells it, or empty when the error did
// not come from Kinesis.
func codeOf(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// unsigned reports whether a call failed before it was sent because there
// was nothing to sign it with.
func unsigned(err error) bool {
	return strings.Contains(err.Error(), "get identity:") || strings.Contains(err.Error(), "failed to refresh cached credentials")
}

// foreign reports whether Kinesis said that a sequence number is of another
// incarnation of the stream or of another shard. There is no code for it, only
// words, as recorded from the service by kinesalite's authors.
func foreign(err error) bool {
	s := err.Error()
	return strings.Contains(s, "did not come from this stream") || strings.Contains(s, "It encodes shardId-")
}

// inFuture reports whether Kinesis refused a starting time for lying ahead of
// its own clock.
func inFuture(err error) bool {
	return strings.Contains(err.Error(), "timestampInMillis parameter cannot be greater than")
}

func isExpiredIterator(err error) bool {
	var e *types.ExpiredIteratorException
	return errors.As(err, &e)
}

func isInvalidArgument(err error) bool {
	var e *types.InvalidArgumentException
	return errors.As(err, &e)
}
