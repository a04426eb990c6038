package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/standpipe/standpipe/test/e2e/need"
	"github.com/standpipe/standpipe/test/e2e/node"
)

// versitygwVersion is built from the module proxy once and kept in the cache;
// its own go.sum and the checksum database pin what is built.
const versitygwVersion = "v1.8.0"

// An S3 is a running S3-compatible server.
type S3 struct {
	Endpoint string
	Process  *Process
}

// StartVersitygw starts versitygw over the folder dir: objects are plain files
// in it. It does not fsync, which kill -9 of a client cannot notice.
func StartVersitygw(t testing.TB, dir string) *S3 {
	t.Helper()
	program := versitygw(t)
	port := FreePort(t)
	cmd := exec.Command(program, "--port", fmt.Sprintf("127.0.0.1:%d", port), "--region", Region, "--quiet", "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	s := &S3{Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port), Process: Start(t, "versitygw", cmd)}
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	client := S3Client(s.Endpoint)
	err := s.Process.Until(ctx, "answer ListBuckets", func() error {
		_, err := client.ListBuckets(ctx, &s3.ListBucketsInput{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// CreateBucket makes a bucket.
func CreateBucket(t testing.TB, client *s3.Client, bucket string) {
	t.Helper()
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatalf("create bucket %s: %v", bucket, err)
	}
}

// versitygw returns the path of the server's program, building it when the
// cache does not hold it: about a minute on two cores.
func versitygw(t testing.TB) string {
	t.Helper()
	compiler := need.Program(t, "go")
	dir := filepath.Join(node.Cache(t), "versitygw-"+versitygwVersion)
	err := node.Once(dir, func(tmp string) error {
		return node.Fetch(t, tmp, []string{"GOBIN=" + tmp, "GOFLAGS="}, compiler, "install", "-trimpath", "-ldflags=-s",
			"github.com/versity/versitygw/cmd/versitygw@"+versitygwVersion)
	})
	if err != nil {
		t.Fatalf("build versitygw: %v", err)
	}
	return filepath.Join(dir, "versitygw")
}
