package awsclient_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/httpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// isolate hides the settings of the machine that runs the tests.
func isolate(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL",
		"AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestMissingRegionNamesTheSetting(t *testing.T) {
	isolate(t)
	_, err := awsclient.Load(context.Background(), "")
	if standpipe.ClassOf(err) != standpipe.Fatal || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("error %v", err)
	}
	t.Setenv("AWS_ENDPOINT_URL_KINESIS", "http://127.0.0.1:1")
	if _, err := awsclient.Load(context.Background(), ""); err != nil {
		t.Errorf("a named endpoint needs no region: %v", err)
	}
	if cfg, err := awsclient.Load(context.Background(), "ap-northeast-2"); err != nil || cfg.Region != "ap-northeast-2" {
		t.Errorf("region %q, error %v", cfg.Region, err)
	}
}

func TestCallsGoOnceOverHTTP1AndComeBackClassified(t *testing.T) {
	isolate(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	for _, c := range []struct {
		status int
		body   string
		class  standpipe.Class
		text   string
	}{
		{400, `{"__type":"ResourceNotFoundException","message":"Stream s not found"}`, standpipe.NotFound, "ResourceNotFoundException: Stream s not found"},
		{400, `{"__type":"ProvisionedThroughputExceededException"}`, standpipe.Throttled, "ProvisionedThroughputExceededException"},
		{400, `{"__type":"AccessDeniedException","message":"no"}`, standpipe.Denied, "IAM policy"},
		{400, `{"__type":"ExpiredTokenException","message":"no"}`, standpipe.Denied, "AWS_PROFILE"},
		{400, `{"__type":"NeverHeardOfException","message":"no"}`, standpipe.Fatal, "NeverHeardOfException"},
		{500, `{"__type":"InternalFailure"}`, standpipe.Retryable, "InternalFailure"},
		{503, `gateway down`, standpipe.Retryable, ""},
	} {
		calls := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			calls++
			if r.ProtoMajor != 1 {
				t.Errorf("protocol %s", r.Proto)
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		}))
		t.Setenv("AWS_ENDPOINT_URL_KINESIS", srv.URL)
		cfg, err := awsclient.Load(context.Background(), "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = awsclient.Kinesis(cfg).DescribeStreamSummary(context.Background(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
		err = awsclient.Classify("describe stream s", err)
		if standpipe.ClassOf(err) != c.class || !strings.HasPrefix(err.Error(), "describe stream s: ") || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%d %s: class %s, error %v", c.status, c.body, standpipe.ClassOf(err), err)
		}
		if strings.Contains(err.Error(), "operation error") {
			t.Errorf("the SDK's envelope is shown: %v", err)
		}
		if calls != 1 {
			t.Errorf("%s: %d calls", c.body, calls)
		}
		srv.CloseClientConnections()
		srv.Close()
	}
}

func TestNoCredentialsNamesWhereToPutThem(t *testing.T) {
	isolate(t)
	cfg, err := awsclient.Load(context.Background(), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = awsclient.Kinesis(cfg).DescribeStreamSummary(context.Background(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
	err = awsclient.Classify("describe stream s", err)
	if standpipe.ClassOf(err) != standpipe.Denied || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("error %v", err)
	}
}

func TestTheEndOfAContextIsNobodysFault(t *testing.T) {
	if err := awsclient.Classify("x", context.Canceled); !errors.Is(err, context.Canceled) || standpipe.ClassOf(err) != standpipe.Retryable {
		t.Errorf("error %v", err)
	}
	if awsclient.Classify("x", nil) != nil {
		t.Error("nil became an error")
	}
}

// `standpipe local` builds its settings by hand. The SDK's own client races over
// request bodies on loopback; a PutRecords whose answer gets lost that way is put
// twice by whoever sends it again.
func TestSettingsMadeByHandSendBodiesInMemoryToo(t *testing.T) {
	client := awsclient.Kinesis(aws.Config{Region: "us-east-1"})
	if _, ok := client.Options().HTTPClient.(httpclient.InMemory); !ok {
		t.Errorf("the HTTP client is %T", client.Options().HTTPClient)
	}
}
