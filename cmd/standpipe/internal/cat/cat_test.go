package cat_test

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
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/cat"
	"github.com/standpipe/standpipe/internal/awsclient"
	"github.com/standpipe/standpipe/internal/httpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gz makes one gzip member of each part.
func gz(parts ...string) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, p)
		w.Close()
	}
	return b.Bytes()
}

// zst makes one zstd frame of each part, behind a skippable one.
func zst(parts ...string) []byte {
	b := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}
	for _, p := range parts {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			panic(err)
		}
		b = w.EncodeAll([]byte(p), b)
		w.Close()
	}
	return b
}

// bucket is an in-process S3 with one bucket, "lake".
func bucket(t *testing.T, objects map[string][]byte) *cat.Reader {
	t.Helper()
	srv := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
	})
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), HTTPClient: httpclient.InMemory{Base: http.DefaultClient},
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	client := awsclient.S3(cfg)
	ctx := context.Background()
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil {
		t.Fatal(err)
	}
	for key, body := range objects {
		if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("lake"), Key: &key, Body: bytes.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
	}
	return &cat.Reader{S3: func(context.Context) (*s3.Client, error) { return client, nil }}
}

// show is what cat prints of a place, limited to lines, and how it ended.
func show(r *cat.Reader, place string, lines int64) (string, error) {
	var b strings.Builder
	ctx := context.Background()
	for o, err := range r.Objects(ctx, place) {
		if err != nil {
			return b.String(), err
		}
		n, err := o.Copy(ctx, &b, lines)
		if err != nil {
			return b.String(), err
		}
		if lines >= 0 {
			if lines -= n; lines == 0 {
				break
			}
		}
	}
	return b.String(), nil
}

func TestEveryCompressionIsToldByItsBytes(t *testing.T) {
	big := strings.Repeat("0123456789abcdef\n", 100_000)
	r := bucket(t, map[string][]byte{
		"plain.gz": []byte("not gzip\n"), "many": gz("a\n", "b\n", "", "c\n"), "frames.txt": zst("d\n", "e\n"),
		"empty": {}, "short": []byte("\x1f"), "big": gz(big),
	})
	for key, want := range map[string]string{
		"plain.gz": "not gzip\n", "many": "a\nb\nc\n", "frames.txt": "d\ne\n", "empty": "", "short": "\x1f", "big": big,
	} {
		if got, err := show(r, "s3://lake/"+key, -1); err != nil || got != want {
			t.Errorf("%s: %.40q, %v", key, got, err)
		}
	}
}

func TestAPrefixGivesItsObjectsInOrderWithoutOurOwn(t *testing.T) {
	objects := map[string][]byte{
		"raw/2026/": {}, "raw/2026/b.zst": zst("2\n"), "raw/2026/a.gz": gz("1\n"), "raw/2026/c/d": []byte("3\n"),
		"raw/2026/_standpipe/m1": []byte("manifest\n"), "raw/2026/c/_standpipe/m2": []byte("manifest\n"), "raw/2027/x": []byte("no\n"),
		"raw/2026/my_standpipe/y": []byte("4\n"), "_standpipe/plan": []byte("plan\n"),
	}
	r := bucket(t, objects)
	for place, want := range map[string]string{
		"s3://lake/raw/2026/":            "1\n2\n3\n4\n",
		"s3://lake/raw/2026/_standpipe/": "manifest\n",
		"s3://lake/_standpipe/plan":      "plan\n",
		"s3://lake":                      "1\n2\n3\n4\nno\n",
	} {
		if got, err := show(r, place, -1); err != nil || got != want {
			t.Errorf("%s: %q, %v", place, got, err)
		}
	}
	r.Own = true
	if got, _ := show(r, "s3://lake/raw/2026/", -1); got != "manifest\n1\n2\nmanifest\n3\n4\n" {
		t.Errorf("with our own: %q", got)
	}
}

func TestMoreObjectsThanOnePageOfAListing(t *testing.T) {
	objects := map[string][]byte{}
	var want strings.Builder
	for i := range 1003 {
		line := fmt.Sprintf("%05d\n", i)
		objects["p/"+line[:5]] = []byte(line)
		want.WriteString(line)
	}
	if got, err := show(bucket(t, objects), "s3://lake/p/", -1); err != nil || got != want.String() {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestLimitCountsLinesAcrossObjects(t *testing.T) {
	r := bucket(t, map[string][]byte{"p/1": gz("a\nb\n"), "p/2": zst("c\nd\ne"), "p/3": []byte("f\n")})
	for limit, want := range map[int64]string{0: "", 1: "a\n", 2: "a\nb\n", 3: "a\nb\nc\n", 4: "a\nb\nc\nd\n", 5: "a\nb\nc\nd\nef\n", 99: "a\nb\nc\nd\nef\n"} {
		if got, err := show(r, "s3://lake/p/", limit); err != nil || got != want {
			t.Errorf("limit %d: %q, %v", limit, got, err)
		}
	}
}

func TestErrorsSayWhatAndWhatToDo(t *testing.T) {
	whole := gz(strings.Repeat("some text that compresses\n", 1000))
	bad := bytes.Clone(whole)
	bad[len(bad)-5] ^= 1 // the checksum
	frame := zst(strings.Repeat("text\n", 100))
	r := bucket(t, map[string][]byte{"cut": whole[:len(whole)/2], "bad": bad, "cutz": frame[:len(frame)-3], "prefix/x": []byte("x\n")})
	for place, want := range map[string]string{
		"s3://lake/cut":    "read s3://lake/cut: gzip at byte 62: unexpected EOF",
		"s3://lake/bad":    "read s3://lake/bad: gzip at byte 124: gzip: invalid checksum",
		"s3://lake/cutz":   "read s3://lake/cutz: zstd at byte 36: unexpected EOF",
		"s3://lake/prefix": "no object s3://lake/prefix (for all objects under a prefix end it in a slash: s3://lake/prefix/)",
		"s3://lake/none/":  "no objects under s3://lake/none/ (standpipe's own files are shown with --own)",
		"s3://":            "s3:// without a bucket: give s3://bucket/key or s3://bucket/prefix/",
	} {
		if _, err := show(r, place, -1); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", place, err, want)
		}
	}
	if _, err := show(r, "s3://other/x/", -1); standpipe.ClassOf(err) != standpipe.NotFound || !strings.Contains(err.Error(), "list s3://other/x/: NoSuchBucket") {
		t.Errorf("other bucket: %v", err)
	}
}

func TestFilesAndFoldersReadAsObjectsDo(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string][]byte{"b/2.zst": zst("2\n"), "a.gz": gz("1\n"), "_standpipe/m": []byte("m\n"), "b/_standpipe/m": []byte("m\n")} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &cat.Reader{Stdin: bytes.NewReader(gz("in\n"))}
	for place, want := range map[string]string{
		dir: "1\n2\n", "file://" + dir + "/a.gz": "1\n", filepath.Join(dir, "_standpipe"): "m\n", "-": "in\n",
	} {
		if got, err := show(r, place, -1); err != nil || got != want {
			t.Errorf("%s: %q, %v", place, got, err)
		}
	}
	if _, err := show(r, dir+"/none", -1); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "open "+dir+"/none: ") {
		t.Errorf("error %v", err)
	}
	if _, err := show(r, t.TempDir(), -1); err == nil || !strings.HasPrefix(err.Error(), "no objects under ") {
		t.Errorf("error %v", err)
	}
}

func TestAWriterThatFailsIsNotTheObjectsFault(t *testing.T) {
	r := &cat.Reader{Stdin: strings.NewReader("x\n")}
	for o := range r.Objects(context.Background(), "-") {
		_, err := o.Copy(context.Background(), brokenPipe{}, -1)
		if err == nil || err.Error() != "write the output: broken pipe" {
			t.Errorf("error %v", err)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAnInterruptStopsBetweenChunks(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := &cat.Reader{Stdin: strings.NewReader("x\n")}
	for o := range r.Objects(ctx, "-") {
		if _, err := o.Copy(ctx, io.Discard, -1); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
}
