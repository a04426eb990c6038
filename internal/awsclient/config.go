package awsclient

import (
	"context"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/httpclient"
)

// emulatorRegion is used when requests go to a named endpoint and nobody chose
// a region: the endpoint decides where they go, the region only signs them.
const emulatorRegion = "us-east-1"

// Load reads the AWS settings of the environment and the shared files. A region
// that is not empty wins over both. A missing region is Fatal, with a hint,
// unless an endpoint is named in the environment. Credentials are looked up at
// the first request, not here.
func Load(ctx context.Context, region string) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithHTTPClient(newHTTPClient()),
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Config{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: "load the AWS settings", Err: err,
			Hint: "look at AWS_PROFILE, ~/.aws/config and ~/.aws/credentials",
		}
	}
	if cfg.Region == "" && endpointNamed() {
		cfg.Region = emulatorRegion
	}
	if cfg.Region == "" {
		return aws.Config{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: "load the AWS settings: no region",
			Hint: "give --region or set AWS_REGION; for a local endpoint set AWS_ENDPOINT_URL_KINESIS, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL_DYNAMODB",
		}
	}
	cfg.HTTPClient = httpclient.InMemory{Base: cfg.HTTPClient}
	return cfg, nil
}

func endpointNamed() bool {
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB"} {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// Kinesis returns a client that tries each call once. Settings without an HTTP
// client, those nobody loaded, get the one Load gives.
func Kinesis(cfg aws.Config) *kinesis.Client {
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = httpclient.InMemory{Base: newHTTPClient()}
	}
	return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
}

// S3 returns a client that tries each call three times, as the SDK does: reads
// have nobody else who repeats them. Under a named endpoint buckets are
// addressed by path, for few emulators answer to bucket.localhost.
func S3(cfg aws.Config) *s3.Client {
	cfg.Retryer = nil
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		if o.BaseEndpoint != nil {
			o.UsePathStyle = true
		}
		o.DisableLogOutputChecksumValidationSkipped = true
	})
}
