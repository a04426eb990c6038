package archive_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/httpclient"
)

// server is an in-process S3 with one bucket, "lake", behind what wrap makes of it.
func server(t *testing.T, wrap func(http.Handler) http.Handler) (*s3.Client, archive.Option) {
	t.Helper()
	handler := gofakes3.New(s3mem.New()).Server()
	if wrap != nil {
		handler = wrap(handler)
	}
	srv := httptest.NewServer(handler)
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		srv.Close()
	})
	client := awsclient.S3(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(srv.URL),
		HTTPClient:  httpclient.InMemory{Base: &http.Client{Transport: transport}},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil {
		t.Fatal(err)
	}
	return client, archive.WithS3(func(context.Context) (*s3.Client, error) { return client, nil })
}

func put(t *testing.T, client *s3.Client, key string, body []byte) {
	t.Helper()
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("lake"), Key: &key, Body: bytes.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
}

func write(t interface{ Fatal(...any) }, dir, key string, body []byte) {
	path := filepath.Join(dir, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func keys(s archive.Store, prefix, after string) ([]string, error) {
	var found []string
	err := s.List(context.Background(), prefix, after, func(o archive.Object) error {
		found = append(found, o.Key)
		return nil
	})
	return found, err
}

func TestAFolderListsInTheOrderOfKeysAsABucketDoes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		segment := rapid.StringMatching(`[ab.][-a/]?[ab]`)
		for _, key := range rapid.SliceOfN(rapid.Map(rapid.SliceOfN(segment, 1, 3), func(s []string) string { return strings.Join(s, "/") + "x" }), 1, 12).Draw(rt, "keys") {
			write(rt, dir, key, nil)
		}
		var want []string
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, _ error) error {
			if e.Type().IsRegular() {
				want = append(want, filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator))))
			}
			return nil
		})
		slices.Sort(want)
		prefix := rapid.SampledFrom([]string{"", "a", "a/", "ab/", want[0]}).Draw(rt, "prefix")
		after := rapid.SampledFrom(append([]string{"", "a", "b/"}, want...)).Draw(rt, "after")
		want = slices.DeleteFunc(want, func(k string) bool { return k <= after || !strings.HasPrefix(k, prefix) })
		store := must(archive.Open(context.Background(), dir))
		if got, err := keys(store, prefix, after); err != nil || !slices.Equal(got, want) {
			rt.Fatalf("prefix %q after %q: %q, want %q, %v", prefix, after, got, want, err)
		}
	})
}

func TestAPrefixIsAFolderUnlessItEndsInAStar(t *testing.T) {
	client, opt := server(t, nil)
	for _, k := range []string{"raw/b", "raw/a", "raw/_standpipe/m", "raw-errors/x", "raw2026/11/y", "raw/dir/"} {
		put(t, client, k, nil)
	}
	for place, want := range map[string]string{
		"s3://lake/raw":  "_standpipe/m a b",
		"s3://lake/raw/": "_standpipe/m a b",
		"s3://lake/raw*": "-errors/x /_standpipe/m /a /b 2026/11/y",
		"s3://lake":      "raw-errors/x raw/_standpipe/m raw/a raw/b raw2026/11/y",
	} {
		store, err := archive.Open(t.Context(), place, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := keys(store, "", ""); err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v", place, got, err)
		}
	}
	store := must(archive.Open(t.Context(), "s3://lake/raw/", opt))
	if got, err := keys(store, "", "a"); err != nil || !slices.Equal(got, []string{"b"}) {
		t.Errorf("after a: %q, %v", got, err)
	}
}

func TestMoreObjectsThanOnePageOfAListing(t *testing.T) {
	client, opt := server(t, nil)
	for i := range 1003 {
		put(t, client, fmt.Sprintf("p/%05d", i), nil)
	}
	if got, err := keys(must(archive.Open(t.Context(), "s3://lake/p", opt)), "", ""); err != nil || len(got) != 1003 || !slices.IsSorted(got) {
		t.Errorf("%d keys, %v", len(got), err)
	}
}

// breaking cuts the bodies of the first n reads of objects short.
func breaking(n int64) func(http.Handler) http.Handler {
	var cuts atomic.Int64
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.URL.Query().Has("list-type") || cuts.Add(1) > n {
				h.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			for k, v := range rec.Header() {
				w.Header()[k] = v
			}
			w.Header().Set("Content-Length", strconv.Itoa(rec.Body.Len()))
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()/3])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		})
	}
}

func TestABrokenConnectionIsTakenUpWhereItBroke(t *testing.T) {
	client, opt := server(t, breaking(4))
	want := text(300_000)
	put(t, client, "x", want)
	r, o, err := must(archive.Open(t.Context(), "s3://lake", opt)).Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) || o.Size != int64(len(want)) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

// gofakes3 knows no If-Match; S3's answer is put in front of it.
func TestAnObjectThatChangedWhileItWasReadIsNoticed(t *testing.T) {
	cut := breaking(1)
	client, opt := server(t, func(h http.Handler) http.Handler {
		h = cut(h)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-Match") != "" {
				w.WriteHeader(http.StatusPreconditionFailed)
				_, _ = io.WriteString(w, `<Error><Code>PreconditionFailed</Code><Message>changed</Message></Error>`)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	put(t, client, "x", text(300_000))
	r, _, err := must(archive.Open(t.Context(), "s3://lake", opt)).Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, archive.ErrChanged) {
		t.Errorf("error %v", err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, archive.ErrChanged) {
		t.Errorf("the next read: %d, %v", n, err)
	}
}

func TestAFileThatChangedWhileItWasReadIsNoticed(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/x", text(1000))
	r, _, err := must(archive.Open(t.Context(), dir)).Open(t.Context(), "a/x")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write(t, dir, "a/x", text(2000))
	if _, err := io.ReadAll(r); !errors.Is(err, archive.ErrChanged) {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNotThereIsNamed(t *testing.T) {
	_, opt := server(t, nil)
	bucket := must(archive.Open(t.Context(), "s3://lake/p", opt))
	if _, _, err := bucket.Open(t.Context(), "x"); !errors.Is(err, archive.ErrNotFound) || !strings.Contains(err.Error(), "s3://lake/p/x") {
		t.Errorf("error %v", err)
	}
	dir := t.TempDir()
	write(t, dir, "folder/y", nil)
	folder := must(archive.Open(t.Context(), dir))
	for _, key := range []string{"x", "folder"} { // a folder is no object, as it is none in a listing
		if _, _, err := folder.Open(t.Context(), key); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("%s: error %v", key, err)
		}
	}
	if _, _, err := folder.Open(t.Context(), "../x"); err == nil || errors.Is(err, archive.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if _, err := keys(must(archive.Open(t.Context(), "s3://none/p", opt)), "", ""); err == nil || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("error %v", err)
	}
	if _, err := archive.Open(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "s3://bucket/prefix/") {
		t.Errorf("error %v", err)
	}
}

func TestWhatIsNotPublishedIsNotListed(t *testing.T) {
	dir := t.TempDir()
	for _, k := range []string{".standpipe-staging/a/part-00001", ".standpipe-meta/x", "raw/x", "_standpipe/m"} {
		write(t, dir, k, nil)
	}
	if err := os.Symlink(filepath.Join(dir, "raw", "x"), filepath.Join(dir, "raw", "y")); err != nil {
		t.Fatal(err)
	}
	store := must(archive.Open(t.Context(), "file://"+dir))
	if got, err := keys(store, "", ""); err != nil || !slices.Equal(got, []string{"_standpipe/m", "raw/x", "raw/y"}) {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Symlink(filepath.Join(dir, "raw"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := keys(store, "", ""); err == nil || !strings.Contains(err.Error(), "link is a link to a folder") {
		t.Errorf("error %v", err)
	}
}
