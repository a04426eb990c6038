package harness

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Region is where every test stream and bucket lives.
const Region = "us-east-1"

// AccessKey and SecretKey are accepted by all servers the harness starts.
// kinesis-local takes an access key of 12 digits for the account id.
const (
	AccessKey = "123456789012"
	SecretKey = "standpipe-e2e-secret"
)

// KinesisClient talks to the server at the endpoint. It repeats nothing by
// itself: a repeat after a lost answer would write records twice, and the
// tests count.
func KinesisClient(endpoint string) *kinesis.Client {
	return kinesisClient(endpoint, AccessKey, SecretKey)
}

func kinesisClient(endpoint, key, secret string) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		Region:           Region,
		BaseEndpoint:     aws.String(endpoint),
		Credentials:      credentials.NewStaticCredentialsProvider(key, secret, ""),
		HTTPClient:       newMemoryBody(),
		RetryMaxAttempts: 1,
	})
}

// S3Client talks to the server at the endpoint, with path-style addresses and
// checksums whenever the operation knows them, as LoadDefaultConfig would.
func S3Client(endpoint string) *s3.Client {
	return s3Client(endpoint, AccessKey, SecretKey)
}

func s3Client(endpoint, key, secret string) *s3.Client {
	return s3.New(s3.Options{
		Region:                     Region,
		BaseEndpoint:               aws.String(endpoint),
		Credentials:                credentials.NewStaticCredentialsProvider(key, secret, ""),
		HTTPClient:                 newMemoryBody(),
		UsePathStyle:               true,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	})
}

// memoryBody gives net/http a request body it knows to be in memory. The SDK
// wraps bodies so that it does not: head and body leave in two writes, and an
// answer that overtakes the second one, as on loopback, costs the connection.
type memoryBody struct{ client *http.Client }

func newMemoryBody() memoryBody {
	// The servers that run in Node give an idle connection up after five seconds. A
	// request that meets that gets no answer, and what is not repeated has failed.
	transport := &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 3 * time.Second}
	return memoryBody{client: &http.Client{Transport: transport, Timeout: 60 * time.Second}}
}

// Do reads the whole body: what the harness sends is a few MiB at most.
func (m memoryBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		r.ContentLength = int64(len(b))
		r.TransferEncoding = nil
	}
	return m.client.Do(r)
}
