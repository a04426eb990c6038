// Package awsclient builds the AWS clients of the command line: one HTTP
// client, one way to load settings, one place that classifies errors.
//
// It promises three things.
//
//   - Settings come from where every AWS tool looks: the shared files and the
//     AWS_* variables, AWS_ENDPOINT_URL_KINESIS, _S3 and _DYNAMODB included.
//   - The HTTP client speaks HTTP/1.1 with request bodies in memory; package
//     httpclient says why.
//   - The SDK never retries by itself: whoever sends owns the one retry policy.
package awsclient
