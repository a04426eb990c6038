package s3

import (
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe/internal/httpclient"
)

const (
	// attempts is the SDK's own, the first included: one quick repeat heals a
	// pooled connection that the peer had closed; longer trouble is delivery's,
	// which knows the lease and the memory budget.
	attempts = 2
	// backoffMax is the SDK's wait before the repeat, by default up to 2 s.
	backoffMax = 100 * time.Millisecond
	// idleConns covers the shards of one process; each uploads one part at a time.
	idleConns = 128
	// headerTimeout is how long S3 may be silent after a request is written.
	headerTimeout = 60 * time.Second
)

// NewClient returns a client for a Sink. It takes region and credentials from
// cfg, and the endpoint too (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, endpoint_url
// in the shared configuration); a custom endpoint is addressed by path. HTTP/1.1
// with pooled connections: one HTTP/2 connection would be the bottleneck.
//
// An HTTP client in cfg that is not the SDK's own is used as it is.
func NewClient(cfg aws.Config) *s3.Client {
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		cfg.HTTPClient = b.WithTransportOptions(httpclient.HTTP1, func(t *http.Transport) {
			t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConns, idleConns
			t.ResponseHeaderTimeout = headerTimeout
		})
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = attempts, backoffMax
		})
		o.HTTPClient = plainBodies{o.HTTPClient}
		o.UsePathStyle = o.BaseEndpoint != nil
		// A configuration built by hand leaves these unset, which means no checksum.
		if o.RequestChecksumCalculation == 0 {
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		}
		if o.ResponseChecksumValidation == 0 {
			o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
		}
		o.DisableLogOutputChecksumValidationSkipped = true // multipart checksums cannot be validated on GET
	})
}

// plainBodies hides that a request's body can write itself (io.WriterTo). The
// SDK closes the body as soon as the head of the answer is there, and net/http
// may still be probing it for its end: a closed body of the SDK answers a Read
// with io.EOF, as it should, but a WriteTo with the error io.EOF, upon which the
// connection is closed under the answer. CompleteMultipartUpload would then be
// asked for twice although the first one was granted.
type plainBodies struct{ next s3.HTTPClient }

func (c plainBodies) Do(req *http.Request) (*http.Response, error) {
	if b := req.Body; b != nil && b != http.NoBody {
		req.Body = struct {
			io.Reader
			io.Closer
		}{b, b}
	}
	return c.next.Do(req)
}
