package s3_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/s3"
	"github.com/standpipe/standpipe/sink/sinktest"
)

// A proxy stands before the store. Its hook may answer itself (true) or let the
// request through, and sees every request.
type proxy struct {
	store http.Handler

	mu   sync.Mutex
	hook func(w http.ResponseWriter, r *http.Request) bool
	seen []string // operations
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	hook := p.hook
	p.seen = append(p.seen, operation(r))
	p.mu.Unlock()
	if hook == nil || !hook(w, r) {
		p.store.ServeHTTP(w, r)
	}
}

func (p *proxy) set(hook func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook, p.seen = hook, nil
}

func (p *proxy) count(op string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.seen {
		if s == op {
			n++
		}
	}
	return n
}

func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "complete"
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort"
	case r.Method == http.MethodGet && q.Has("uploadId"):
		return "parts"
	}
	return strings.ToLower(r.Method)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>as told</Message><RequestId>1</RequestId></Error>`, code)
}

// on answers the first n requests of an operation with fn.
func on(op string, n int, fn func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if operation(r) != op || n == 0 {
			return false
		}
		n--
		fn(w, r)
		return true
	}
}

func behindProxy(t *testing.T) (*s3.Sink, *proxy) {
	t.Helper()
	p := &proxy{store: fake()}
	c := serve(t, p)
	createBucket(t, c, "archive")
	return s3.New(c, "archive", s3.Options{}), p
}

func TestALostReplyOfCompleteEndsInNoSuchUploadAndAVisibleObject(t *testing.T) {
	s, p := behindProxy(t)
	u := sinktest.Stage(t, s, sink.Object{Key: "k", Metadata: map[string]string{"standpipe-intent": "1"}}, []byte("abc"))
	// The in-process store remembers completed uploads; one that forgets says so.
	lose := on("complete", 1, func(_ http.ResponseWriter, r *http.Request) {
		p.store.ServeHTTP(httptest.NewRecorder(), r) // done, but nobody hears of it
		panic(http.ErrAbortHandler)
	})
	forget := on("complete", 100, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "NoSuchUpload") })
	p.set(func(w http.ResponseWriter, r *http.Request) bool { return lose(w, r) || forget(w, r) })
	for range 2 { // the SDK's own second attempt, then the caller's
		if err := s.Publish(t.Context(), u); !errors.Is(err, sink.ErrNoUpload) {
			t.Fatalf("publish: %v", err)
		}
	}
	info, err := s.Probe(t.Context(), "k")
	if err != nil || info.Metadata["standpipe-intent"] != "1" || info.Size != 3 {
		t.Fatalf("probe: %+v, %v", info, err)
	}
}

func TestALostReplyOfWriteOnceEndsInExistsWithOurBytes(t *testing.T) {
	s, p := behindProxy(t)
	p.set(on("put", 1, func(_ http.ResponseWriter, r *http.Request) {
		p.store.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	if err := s.WriteOnce(t.Context(), "plan", []byte("mine")); !errors.Is(err, sink.ErrExists) {
		t.Fatalf("write: %v", err)
	}
	if b, err := s.Read(t.Context(), "plan", 10); err != nil || string(b) != "mine" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestAShortFaultIsRepeatedOnceAndALongOneGoesToTheCaller(t *testing.T) {
	s, p := behindProxy(t)
	busy := func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusServiceUnavailable, "SlowDown") }
	p.set(on("part", 1, busy))
	u := sinktest.Stage(t, s, sink.Object{Key: "k"}, []byte("abc"))
	if n := p.count("part"); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	p.set(on("complete", 100, busy))
	err := s.Publish(t.Context(), u)
	if standpipe.ClassOf(err) != standpipe.Throttled {
		t.Fatalf("publish: %v", err)
	}
	if n := p.count("complete"); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	p.set(nil)
	if err := s.Publish(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// S3 answers 200 before it has joined the parts, and then says in the body that
// it failed.
func TestAnErrorUnderStatus200IsNotAPublishedObject(t *testing.T) {
	s, p := behindProxy(t)
	u := sinktest.Stage(t, s, sink.Object{Key: "k"}, []byte("abc"))
	p.set(on("complete", 100, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusOK, "InternalError") }))
	if err := s.Publish(t.Context(), u); standpipe.ClassOf(err) != standpipe.Retryable {
		t.Fatalf("publish: %v", err)
	}
	if n := p.count("complete"); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	p.set(on("complete", 1, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusOK, "InternalError") }))
	if err := s.Publish(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

// listParts answers ListParts with one part.
func listParts(etag, sum string, size int) func(w http.ResponseWriter, r *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><ListPartsResult><Bucket>archive</Bucket><Key>k</Key><IsTruncated>false</IsTruncated>`+
			`<Part><PartNumber>1</PartNumber><ETag>%s</ETag><Size>%d</Size><ChecksumCRC32>%s</ChecksumCRC32></Part></ListPartsResult>`, etag, size, sum)
	}
}

func sum(p []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(p)))
}

func TestAPartUnderAnotherETagIsPublishedIfItsBytesAreTheSame(t *testing.T) {
	s, p := behindProxy(t)
	u := sinktest.Stage(t, s, sink.Object{Key: "k"}, []byte("abc"))
	invalid := on("complete", 1, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusBadRequest, "InvalidPart") })
	var second string
	current := u.Parts[0].ETag
	p.set(func(w http.ResponseWriter, r *http.Request) bool {
		if invalid(w, r) {
			return true
		}
		switch operation(r) {
		case "parts":
			listParts(current, sum([]byte("abc")), 3)(w, r)
			return true
		case "complete":
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			second = string(b)
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		return false
	})
	// The token has an ETag that the store has no more.
	stale := u
	stale.Parts = []sink.Part{{ETag: `"stale"`, Size: 3, CRC32: u.Parts[0].CRC32}}
	if err := s.Publish(t.Context(), stale); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(second, "stale") || !strings.Contains(second, strings.Trim(current, `"`)) {
		t.Errorf("completed with %s", second)
	}
	if b, err := s.Read(t.Context(), "k", 10); err != nil || string(b) != "abc" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestAPartWithOtherBytesIsLost(t *testing.T) {
	for name, list := range map[string]func(http.ResponseWriter, *http.Request){
		"other checksum": listParts(`"e"`, sum([]byte("abd")), 3),
		"other size":     listParts(`"e"`, sum([]byte("abc")), 4),
		"no checksum":    listParts(`"e"`, "", 3),
	} {
		t.Run(name, func(t *testing.T) {
			s, p := behindProxy(t)
			u := sinktest.Stage(t, s, sink.Object{Key: "k"}, []byte("abc"))
			p.set(func(w http.ResponseWriter, r *http.Request) bool {
				switch operation(r) {
				case "complete":
					refuse(w, http.StatusBadRequest, "InvalidPart")
				case "parts":
					list(w, r)
				default:
					return false
				}
				return true
			})
			if err := s.Publish(t.Context(), u); !errors.Is(err, sink.ErrNoUpload) {
				t.Fatalf("publish: %v", err)
			}
			if n := p.count("complete"); n != 1 {
				t.Errorf("%d attempts to complete", n)
			}
		})
	}
}

func TestWhatMayNotBeSeenIsNotAbsent(t *testing.T) {
	s, p := behindProxy(t)
	p.set(on("head", 100, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	_, err := s.Probe(t.Context(), "k")
	if errors.Is(err, sink.ErrNotFound) || standpipe.ClassOf(err) != standpipe.Denied {
		t.Fatalf("probe: %v", err)
	}
	// HEAD says 404 for a missing bucket too; that says nothing of the object.
	missing := s3.New(serve(t, fake()), "nowhere", s3.Options{})
	_, err = missing.Probe(t.Context(), "k")
	if errors.Is(err, sink.ErrNotFound) || standpipe.ClassOf(err) != standpipe.NotFound || !strings.Contains(err.Error(), "BucketARN") {
		t.Fatalf("probe in a missing bucket: %v", err)
	}
}

func TestErrorsAreClassified(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		class  standpipe.Class
		hint   string
	}{
		{404, "NoSuchBucket", standpipe.NotFound, "BucketARN"},
		{403, "AccessDenied", standpipe.Denied, "s3:PutObject"},
		{400, "ExpiredToken", standpipe.Denied, "credentials"},
		{403, "InvalidAccessKeyId", standpipe.Denied, "credentials"},
		{403, "SignatureDoesNotMatch", standpipe.Denied, "credentials"},
		{403, "RequestTimeTooSkewed", standpipe.Denied, "clock"},
		{400, "KMS.DisabledException", standpipe.Denied, "AWSKMSKeyARN"},
		{400, "KMS.ThrottlingException", standpipe.Throttled, "quota"},
		{503, "SlowDown", standpipe.Throttled, ""},
		{503, "ServiceUnavailable", standpipe.Throttled, ""},
		{429, "Unheard", standpipe.Throttled, ""},
		{500, "InternalError", standpipe.Retryable, ""},
		{502, "Unheard", standpipe.Retryable, ""},
		{400, "RequestTimeout", standpipe.Retryable, ""},
		{409, "ConditionalRequestConflict", standpipe.Retryable, ""},
		{400, "BadDigest", standpipe.Retryable, ""},
		{400, "EntityTooSmall", standpipe.Fatal, ""},
		{400, "AuthorizationHeaderMalformed", standpipe.Fatal, "AWS_REGION"},
		{403, "Unheard", standpipe.Denied, ""},
		{418, "Unheard", standpipe.Retryable, ""},
	} {
		c2 := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, c.status, c.code) }))
		s := s3.New(c2, "archive", s3.Options{})
		err := s.WriteOnce(t.Context(), "k", []byte("x"))
		if got := standpipe.ClassOf(err); got != c.class || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%d %s is %s: %v", c.status, c.code, got, err)
		}
	}
}

// Aim: over https nothing is hashed but the CRC32 we have already. Method: a
// TLS server that keeps the headers of each UploadPart.
func TestOverTLSThePartCarriesItsChecksumAndAnUnsignedPayload(t *testing.T) {
	store := fake()
	var mu sync.Mutex
	var parts []http.Header
	var protocol string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if operation(r) == "part" {
			mu.Lock()
			parts, protocol = append(parts, r.Header.Clone()), r.Proto
			mu.Unlock()
		}
		store.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	cfg := config(server.URL)
	cfg.HTTPClient = server.Client()
	c := s3.NewClient(cfg)
	createBucket(t, c, "archive")
	s := s3.New(c, "archive", s3.Options{})
	u := sinktest.Stage(t, s, sink.Object{Key: "k"}, []byte("abc"))
	if err := s.Publish(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if len(parts) != 1 || protocol != "HTTP/1.1" {
		t.Fatalf("%d parts over %s", len(parts), protocol)
	}
	for header, want := range map[string]string{
		"X-Amz-Checksum-Crc32": sum([]byte("abc")), "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", "X-Amz-Trailer": "", "Content-Encoding": "",
	} {
		if got := parts[0].Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestEveryUploadAsksForCRC32AndCompleteHasNoCondition(t *testing.T) {
	s, p := behindProxy(t)
	headers := map[string]http.Header{}
	p.set(func(_ http.ResponseWriter, r *http.Request) bool {
		headers[operation(r)] = r.Header.Clone()
		return false
	})
	u := sinktest.Stage(t, s, sink.Object{Key: "k", ContentEncoding: "gzip"}, []byte("abc"))
	if err := s.Publish(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	create := headers["create"]
	if create.Get("X-Amz-Checksum-Algorithm") != "CRC32" || create.Get("Content-Encoding") != "gzip" || create.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("create: %v", create)
	}
	if headers["complete"].Get("If-None-Match") != "" {
		t.Errorf("complete: %v", headers["complete"])
	}
}

// Aim: a cancelled Put of several parts leaves nothing billed. Method: cancel
// while a part is on its way, then look for the abort.
func TestACancelledPutAbortsItsUpload(t *testing.T) {
	s, p := behindProxy(t)
	ctx, cancel := context.WithCancel(t.Context())
	p.set(on("part", 2, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		refuse(w, http.StatusInternalServerError, "InternalError")
	}))
	err := s.Put(ctx, sink.Object{Key: "big"}, bytes.NewReader(make([]byte, 64<<20+1)))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("put: %v", err)
	}
	if n := p.count("abort"); n != 1 {
		t.Errorf("%d aborts, want 1", n)
	}
}

func TestNewClientTakesTheEndpointFromTheEnvironment(t *testing.T) {
	o := s3.NewClient(aws.Config{Region: "eu-central-1"}).Options()
	if o.UsePathStyle || o.Retryer.MaxAttempts() != 2 || o.RequestChecksumCalculation != aws.RequestChecksumCalculationWhenSupported {
		t.Errorf("without an endpoint: %+v", o)
	}
	t.Setenv("AWS_CA_BUNDLE", "")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
	cfg, err := awsconfig.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o = s3.NewClient(cfg).Options()
	if !o.UsePathStyle || aws.ToString(o.BaseEndpoint) != "http://127.0.0.1:9" {
		t.Errorf("endpoint %q, path style %v", aws.ToString(o.BaseEndpoint), o.UsePathStyle)
	}
}
