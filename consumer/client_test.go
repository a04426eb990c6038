package consumer

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/standpipe/standpipe"
)

func TestAllShardsAreListedOverAllPagesWithoutDoubles(t *testing.T) {
	s := newService()
	for i := range 2500 {
		sh := &stubShard{id: fmt.Sprintf("shardId-%012d", i)}
		switch i % 3 {
		case 1:
			sh.parents = []string{"shardId-000000000000"}
		case 2:
			sh.parents, sh.closed = []string{"p", "q"}, true
		}
		s.shards = append(s.shards, sh)
	}
	s.shards = append(s.shards, s.shards[7]) // a page that overlaps
	shards, err := listen(t, s).Shards(t.Context())
	if err != nil || len(shards) != 2500 {
		t.Fatalf("%d shards, error %v", len(shards), err)
	}
	if n := s.count("ListShards"); n != 3 {
		t.Errorf("%d pages", n)
	}
	same(t, "merged and closed", shards[5], standpipe.Shard{
		ID:      "shardId-000000000005",
		Parents: []standpipe.ShardID{"p", "q"}, HashStart: "0", HashEnd: "9", Closed: true,
	})
}

func TestAnExpiredListingTokenStartsTheListingAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(&stubShard{id: "a"}, &stubShard{id: "b"}, &stubShard{id: "c"})
		s.perPage = 2
		fails := 2
		s.before = func(c call, w http.ResponseWriter) bool {
			if c.str("NextToken") != "" && fails > 0 {
				fails--
				s.fail(w, 400, "ExpiredNextTokenException", "expired")
				return true
			}
			return false
		}
		if shards, err := s.dial().Shards(t.Context()); err != nil || len(shards) != 3 {
			t.Errorf("%v, error %v", shards, err)
		}
		fails = 1000
		if _, err := s.dial().Shards(t.Context()); err == nil {
			t.Error("a listing that always expires has no error")
		}
	})
}

func TestAnErrorOnAnyPageOfTheListingIsRepeatedThenReturned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for page := range 2 {
			for _, fails := range []int{2, 1000} {
				s := newService(&stubShard{id: "a"}, &stubShard{id: "b"})
				s.perPage = 1
				left := fails
				s.before = func(c call, w http.ResponseWriter) bool {
					if (c.str("NextToken") != "") == (page == 1) && left > 0 {
						left--
						s.fail(w, 500, "InternalFailure", "later")
						return true
					}
					return false
				}
				shards, err := s.dial().Shards(t.Context())
				if fails == 2 && (err != nil || len(shards) != 2) || fails > 2 && (err == nil || shards != nil) {
					t.Errorf("page %d, %d failures: %v, error %v", page, fails, shards, err)
				}
			}
		}
	})
}

func TestAnUpdatingStreamIsReadAndItsARNIsSentFromThenOn(t *testing.T) {
	sh := &stubShard{id: "a"}
	sh.put(1, time.Now())
	s := newService(sh)
	c := listen(t, s)
	st, err := c.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Name != "s" || !strings.HasPrefix(st.ARN, "arn:") || st.Retention != 24*time.Hour || st.Created.Unix() != s.created.Unix() {
		t.Errorf("stream: %+v", st)
	}
	if p := step(t, c.Open(shardNamed("a"), from(standpipe.TrimHorizon))); len(p.Records) != 1 {
		t.Errorf("page: %+v", p)
	}
	for _, k := range s.calls[1:] {
		if k.str("StreamARN") != st.ARN {
			t.Errorf("%s without the ARN: %v", k.op, k.in)
		}
	}
	if c := NewClient(testConfig(), st.ARN); c.Name() != "s" {
		t.Errorf("name %q of an ARN", c.Name())
	}
}

// TestHTTP1IsSpokenOverTLSWithACABundle builds the client as the command does:
// by the environment, against a server that would rather speak HTTP/2.
func TestHTTP1IsSpokenOverTLSWithACABundle(t *testing.T) {
	sh := &stubShard{id: "a"}
	sh.put(3, time.Now())
	s := newService(sh)
	var protos atomic.Value
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protos.Store(r.Proto)
		s.ServeHTTP(w, r)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{
		"AWS_CA_BUNDLE": bundle, "AWS_ENDPOINT_URL_KINESIS": srv.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(k, v)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient(cfg, "s")
	defer c.Close()
	if p := step(t, c.Open(shardNamed("a"), from(standpipe.TrimHorizon))); len(p.Records) != 3 {
		t.Errorf("page: %+v", p)
	}
	if p := protos.Load(); p != "HTTP/1.1" {
		t.Errorf("the request came by %v", p)
	}
}

// TestALargePageIsReadBehindAnEarlyHead is the race of the SDK's body wrapper:
// the head of the answer is there before the request was read.
func TestALargePageIsReadBehindAnEarlyHead(t *testing.T) {
	page := []byte(`{"NextShardIterator":"i","MillisBehindLatest":0,"Records":[` +
		strings.TrimSuffix(strings.Repeat(`{"SequenceNumber":"1","Data":"`+strings.Repeat("QUFB", 20_000)+`"},`, 60), ",") + `]}`)
	c := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "GetRecords") {
			w.Header().Set("Content-Length", fmt.Sprint(len(page)))
			_, _ = w.Write(page)
			return
		}
		_, _ = io.WriteString(w, `{"ShardIterator":"i"}`)
	}))
	for range 40 {
		r := c.Open(shardNamed("a"), from(standpipe.TrimHorizon))
		if err := r.Fetch(t.Context(), MaxPage); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Decode(); err != nil || len(p.Records) != 60 || len(p.Records[59].Data) != 60_000 {
			t.Fatalf("page of %d records, error %v", len(p.Records), err)
		}
		r.Done()
	}
	if c.Fallbacks() != 0 {
		t.Errorf("%d pages were not for the fast decoder", c.Fallbacks())
	}
}

func TestAConnectionClosedWhileIdleIsReplacedUnseen(t *testing.T) {
	s := newService(&stubShard{id: "a"})
	srv := httptest.NewServer(s)
	defer srv.Close()
	cfg := testConfig()
	cfg.BaseEndpoint = &srv.URL
	c := NewClient(cfg, "s")
	defer c.Close()
	for range 20 {
		if _, err := c.api.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("x")}); err == nil {
			t.Fatal("a bad iterator was answered")
		}
		srv.CloseClientConnections()
		if err := c.once(t.Context(), "describe", func(ctx context.Context) error {
			_, err := c.api.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &c.name})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// The first start with a wrong endpoint is one line to whoever made the mistake.
func TestAnUnreachableServiceNamesTheSettings(t *testing.T) {
	refused := "http://127.0.0.1:1"
	api := kinesis.New(kinesis.Options{Region: "us-east-1", BaseEndpoint: &refused, Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}})
	_, err := api.ListStreams(t.Context(), &kinesis.ListStreamsInput{})
	e, ok := errors.AsType[*standpipe.Error](classify("describe", err))
	if !ok || e.Class != standpipe.Retryable || !strings.Contains(e.Hint, "Standpipe.Endpoint.Kinesis") {
		t.Errorf("%v", e)
	}
}

func TestErrorsAreClassifiedByTheirCode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for code, want := range map[string]standpipe.Class{
			"ProvisionedThroughputExceededException": standpipe.Throttled, "LimitExceededException": standpipe.Throttled,
			"KMSThrottlingException": standpipe.Throttled, "ThrottlingException": standpipe.Throttled,
			"InternalFailure": standpipe.Retryable, "ServiceUnavailable": standpipe.Retryable,
			"KMSAccessDeniedException": standpipe.Denied, "KMSDisabledException": standpipe.Denied, "KMSInvalidStateException": standpipe.Denied,
			"KMSNotFoundException": standpipe.Denied, "KMSOptInRequired": standpipe.Denied,
			"AccessDeniedException": standpipe.Denied, "UnrecognizedClientException": standpipe.Denied,
			"ExpiredTokenException": standpipe.Denied, "ResourceNotFoundException": standpipe.NotFound,
			"InvalidArgumentException": standpipe.Fatal, "ValidationException": standpipe.Fatal,
			"SomethingNew": standpipe.Retryable,
		} {
			s := newService()
			s.before = func(_ call, w http.ResponseWriter) bool { s.fail(w, 400, code, "no"); return true }
			_, err := s.dial().Describe(t.Context())
			var e *standpipe.Error
			if !errors.As(err, &e) || e.Class != want {
				t.Errorf("%s: %v", code, err)
			}
			if want == standpipe.Denied && (e == nil || e.Hint == "") {
				t.Errorf("%s has no hint", code)
			}
		}
		for status, want := range map[int]standpipe.Class{502: standpipe.Retryable, 503: standpipe.Retryable, 403: standpipe.Denied, 429: standpipe.Throttled} {
			s := newService()
			s.before = func(_ call, w http.ResponseWriter) bool {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, "<html>a proxy</html>")
				return true
			}
			if _, err := s.dial().Describe(t.Context()); standpipe.ClassOf(err) != want {
				t.Errorf("status %d: %v", status, err)
			}
		}
	})
}
