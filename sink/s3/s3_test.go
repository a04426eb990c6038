package s3_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"go.uber.org/goleak"

	local "github.com/standpipe/standpipe/local/s3"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/s3"
	"github.com/standpipe/standpipe/sink/sinktest"
)

const accessKey, secretKey = "test-key", "test-secret"

// The test binary is also the child that serves S3.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == local.ChildCommand {
		os.Exit(local.ChildMain(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// listed adds a listing to the sink, for the suite.
type listed struct {
	sink.Sink
	client *awss3.Client
	bucket string
}

func (l listed) Keys(ctx context.Context) ([]string, error) {
	out, err := l.client.ListObjectsV2(ctx, &awss3.ListObjectsV2Input{Bucket: &l.bucket})
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys, nil
}

func config(endpoint string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	}
}

// fake is an S3 whose conditions on writes hold at the moment of the write, as
// S3's do: gofakes3 looks first, and s3mem writes later without a look.
func fake() http.Handler {
	server := gofakes3.New(s3mem.New(), gofakes3.WithV4Auth(map[string]string{accessKey: secretKey})).Server()
	var conditional sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			conditional.Lock()
			defer conditional.Unlock()
		}
		server.ServeHTTP(w, r)
	})
}

// serve runs a handler over plain HTTP and returns a client of it.
func serve(t *testing.T, h http.Handler) *awss3.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	cfg := config(server.URL)
	cfg.HTTPClient = &http.Client{Transport: tr}
	return s3.NewClient(cfg)
}

func createBucket(t *testing.T, c *awss3.Client, name string) {
	t.Helper()
	if _, err := c.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatal(err)
	}
}

func TestConformanceInProcess(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sink.Sink {
		c := serve(t, fake())
		createBucket(t, c, "archive")
		return listed{s3.New(c, "archive", s3.Options{}), c, "archive"}
	})
}

func TestConformanceOverVersitygw(t *testing.T) {
	p, err := local.Start(t.Context(), local.Config{Dir: t.TempDir(), AccessKey: accessKey, SecretKey: secretKey, Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	cfg := p.AWS()
	cfg.HTTPClient = &http.Client{Transport: tr}
	c := s3.NewClient(cfg)
	var n atomic.Int32
	sinktest.Run(t, func(t *testing.T) sink.Sink {
		bucket := fmt.Sprintf("archive-%d", n.Add(1))
		if err := p.CreateBucket(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
		return listed{s3.New(c, bucket, s3.Options{}), c, bucket}
	})
}
