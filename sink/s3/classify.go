package s3

import (
	"context"
	"errors"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/standpipe/standpipe"
)

// code is S3's error code, or empty.
func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// status is the HTTP status, or 0 when there was no answer.
func status(err error) int {
	if e, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return e.HTTPStatusCode()
	}
	return 0
}

type verdict struct {
	class standpipe.Class
	hint  string
}

const (
	hintCredentials = "check the credentials of this process: AWS_PROFILE, the task or instance role"
	hintRights      = "grant s3:PutObject, s3:GetObject, s3:AbortMultipartUpload and s3:ListMultipartUploadParts on the objects and s3:ListBucket on the bucket; deploy/iam/task-role.json has the statement"
	hintRegion      = "the bucket is in another region: set AWS_REGION to the bucket's"
	hintKMS         = "check AWSKMSKeyARN, the key's state, and kms:GenerateDataKey and kms:Decrypt on it"
)

// byCode has the codes that say more than their HTTP status does.
var byCode = map[string]verdict{
	"NoSuchBucket":                 {standpipe.NotFound, "check BucketARN: there is no such bucket"},
	"AccessDenied":                 {standpipe.Denied, hintRights},
	"AllAccessDisabled":            {standpipe.Denied, "the bucket or account is disabled"},
	"AccountProblem":               {standpipe.Denied, "the AWS account has a problem"},
	"ExpiredToken":                 {standpipe.Denied, hintCredentials},
	"ExpiredTokenException":        {standpipe.Denied, hintCredentials},
	"InvalidToken":                 {standpipe.Denied, hintCredentials},
	"TokenRefreshRequired":         {standpipe.Denied, hintCredentials},
	"InvalidAccessKeyId":           {standpipe.Denied, hintCredentials},
	"SignatureDoesNotMatch":        {standpipe.Denied, hintCredentials},
	"RequestTimeTooSkewed":         {standpipe.Denied, "set this machine's clock: it differs from S3's by more than 15 minutes"},
	"SlowDown":                     {standpipe.Throttled, ""},
	"RequestLimitExceeded":         {standpipe.Throttled, ""},
	"Throttling":                   {standpipe.Throttled, ""},
	"ThrottlingException":          {standpipe.Throttled, ""},
	"ServiceUnavailable":           {standpipe.Throttled, ""},
	"KMS.ThrottlingException":      {standpipe.Throttled, "raise the request quota of KMS or turn on the bucket key"},
	"InternalError":                {standpipe.Retryable, ""},
	"RequestTimeout":               {standpipe.Retryable, ""},
	"OperationAborted":             {standpipe.Retryable, ""},
	"ConditionalRequestConflict":   {standpipe.Retryable, ""},
	"BadDigest":                    {standpipe.Retryable, ""},
	"XAmzContentChecksumMismatch":  {standpipe.Retryable, ""},
	"IncompleteBody":               {standpipe.Retryable, ""},
	"PermanentRedirect":            {standpipe.Fatal, hintRegion},
	"AuthorizationHeaderMalformed": {standpipe.Fatal, hintRegion},
	"InvalidBucketName":            {standpipe.Fatal, "check BucketARN"},
	"EntityTooSmall":               {standpipe.Fatal, ""},
	"EntityTooLarge":               {standpipe.Fatal, ""},
	"KeyTooLongError":              {standpipe.Fatal, "shorten Prefix: a key has at most 1024 bytes"},
	"MetadataTooLarge":             {standpipe.Fatal, ""},
	"InvalidArgument":              {standpipe.Fatal, ""},
	"InvalidRequest":               {standpipe.Fatal, ""},
	"MalformedXML":                 {standpipe.Fatal, ""},
	"MethodNotAllowed":             {standpipe.Fatal, ""},
	"NotImplemented":               {standpipe.Fatal, "the store lacks an operation that standpipe needs"},
}

// classify is the one place that judges S3's errors. nil stays nil. What is not
// known is Retryable: a staged object loses nothing by waiting.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	v := judge(err)
	return &standpipe.Error{Class: v.class, Op: op, Hint: v.hint, Err: err}
}

func judge(err error) verdict {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return verdict{standpipe.Retryable, ""}
	}
	c := code(err)
	if v, ok := byCode[c]; ok {
		return v
	}
	if strings.HasPrefix(c, "KMS.") {
		return verdict{standpipe.Denied, hintKMS}
	}
	if _, ok := errors.AsType[*v4.SigningError](err); ok {
		return verdict{standpipe.Denied, hintCredentials}
	}
	switch s := status(err); {
	case s == 401 || s == 403:
		return verdict{standpipe.Denied, hintRights}
	case s == 404:
		return verdict{standpipe.NotFound, ""}
	case s == 429 || s == 503:
		return verdict{standpipe.Throttled, ""}
	case s == 301:
		return verdict{standpipe.Fatal, hintRegion}
	}
	return verdict{standpipe.Retryable, ""}
}
