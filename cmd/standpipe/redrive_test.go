//go:build !nolocal

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/standpipe/standpipe/internal/awsclient"
)

// failures writes an error-output object of n records and a line that is none.
func failures(t *testing.T, dir, key string, n int) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		raw := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s %04d\n", key, i))
		fmt.Fprintf(&b, `{"rawData":%q,"errorCode":"Lambda.FunctionError","attemptsMade":4}`+"\n", raw)
	}
	b.WriteString("secret garbage\n")
	path := filepath.Join(dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRedriveTwiceIsRedriveOnce(t *testing.T) {
	_, stop := served(t, "--streams", "s:3")
	defer func() { _ = stop() }()
	source, store := t.TempDir(), filepath.Join(t.TempDir(), "jobs")
	failures(t, source, "2026/a", 1200)
	failures(t, source, "2026/b", 3)
	args := []string{"redrive", source, "--to-stream", "s", "--jobs", store, "-q"}
	lines := func() int {
		r := call("tail", "s", "--from", "TRIM_HORIZON", "--no-follow")
		all := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
		slices.Sort(all)
		if n := len(slices.Compact(slices.Clone(all))); n != len(all) {
			t.Errorf("%d lines, %d of them different", len(all), n)
		}
		return len(all)
	}

	dry := call(append(args, "--dry-run")...)
	if dry.code != exitRejected || !strings.HasPrefix(dry.out, "would redrive 1,203 records, 14.1 KiB, of 2 objects, 2 rejected\n") {
		t.Errorf("%+v", dry)
	}
	if _, err := os.Stat(store); err == nil {
		t.Error("a dry run made a job store")
	}
	r := call(args...)
	if r.code != exitRejected || r.out != "redrove 1,203 of 1,203 records, 14.1 KiB, of 2 objects, 2 rejected\n     1,203  Lambda.FunctionError\n" {
		t.Errorf("%+v", r)
	}
	if r.errors != "rejected 2026/a:1201: it is no JSON\nrejected 2026/b:4: it is no JSON\nstandpipe: 2 lines rejected\n" {
		t.Errorf("errors %s", r.errors)
	}
	if n := lines(); n != 1203 {
		t.Errorf("%d lines after the first", n)
	}
	if r := call(args...); r != (result{exitOK, "nothing to redrive: every object was redriven before\n", ""}) {
		t.Errorf("%+v", r)
	}
	failures(t, source, "2026/c", 5)
	var report redriveReport
	if r := call(append(args, "--json")...); r.code != exitRejected || json.Unmarshal([]byte(r.out), &report) != nil || report.Objects != 1 || report.Redriven != 5 {
		t.Errorf("%+v", r)
	}
	if n := lines(); n != 1208 {
		t.Errorf("%d lines at the end", n)
	}
	if r := call("jobs", "list", "--jobs", store); r.code != exitOK || strings.Count(r.out, "done   1 of 1") != 2 {
		t.Errorf("%+v", r)
	}
}

func TestRedriveToAFolderNeedsNoAWS(t *testing.T) {
	source, to, store := t.TempDir(), t.TempDir(), t.TempDir()
	failures(t, source, "2026/a", 2)
	args := []string{"redrive", source, "--to-prefix", to, "--jobs", store, "-q"}
	if r := call(args...); r.code != exitRejected || !strings.HasPrefix(r.out, "redrove 2 of 2 records") {
		t.Fatalf("%+v", r)
	}
	written := filepath.Join(to, "2026", "a")
	before, err := os.Stat(written)
	if err != nil {
		t.Fatal(err)
	}
	// The job store is lost: everything is looked at again, nothing is written.
	args[5] = t.TempDir()
	if r := call(args...); r.code != exitRejected || !strings.Contains(r.out, "1 output objects were there already") {
		t.Errorf("%+v", r)
	}
	after, err := os.Stat(written)
	if err != nil || !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("it was written again: %v", err)
	}
	if b, err := os.ReadFile(written); err != nil || string(b) != "2026/a 0000\n2026/a 0001\n" {
		t.Errorf("%q %v", b, err)
	}
}

// What failed is in no later plan: until it is resumed, every call says so.
func TestARedriveThatFailedIsNotDoneByTheNextCall(t *testing.T) {
	source, to, store := t.TempDir(), t.TempDir(), t.TempDir()
	args := []string{"redrive", source, "--to-prefix", to, "--jobs", store, "-q"}
	if r := call(args...); r != (result{exitOK, "nothing to redrive: there are no objects\n", ""}) {
		t.Errorf("an empty place: %+v", r)
	}
	failures(t, source, "2026/a", 2)
	failures(t, to, "2026/a", 1) // somebody else's
	resume := regexp.MustCompile(`standpipe (jobs resume redrive-\S+)`)
	var hint string
	for _, out := range []string{"redrove 0 of 0 records, 0 B, of 0 objects\n", "nothing new to redrive\n"} {
		r := call(args...)
		if r.code != exitFailed || r.out != out || !strings.Contains(r.errors, "the destination holds another object") || !resume.MatchString(r.errors) {
			t.Fatalf("%+v", r)
		}
		hint = resume.FindStringSubmatch(r.errors)[1]
	}
	if r := call(append(strings.Fields(strings.Replace(hint, "resume", "cancel", 1)), "--jobs", store)...); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := call(args...); r != (result{exitOK, "nothing new to redrive\n", ""}) {
		t.Errorf("given up: %+v", r)
	}
	if err := os.Remove(filepath.Join(to, "2026", "a")); err != nil {
		t.Fatal(err)
	}
	if r := call(append(strings.Fields(hint), "--jobs", store)...); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := call(args...); r.code != exitRejected || !strings.HasPrefix(r.out, "redrove 2 of 2 records") {
		t.Errorf("resumed: %+v", r)
	}
	if r := call(args...); r != (result{exitOK, "nothing to redrive: every object was redriven before\n", ""}) {
		t.Errorf("done: %+v", r)
	}
}

// The number of a job that is deleted is not given to another one while there are
// later ones: its report would be theirs, with nothing done.
func TestARedriveAfterADeletedJobIsOneOfItsOwn(t *testing.T) {
	source, to, store := t.TempDir(), t.TempDir(), t.TempDir()
	args := []string{"redrive", source, "--to-prefix", to, "--jobs", store, "-q", "--json"}
	var first struct{ Jobs []string }
	for i, key := range []string{"a", "b", "c"} {
		failures(t, source, key, 1)
		r := call(args...)
		var got struct{ Jobs []string }
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || r.code != exitRejected || len(got.Jobs) != 1 {
			t.Fatalf("%s: %v %+v", key, err, r)
		}
		if i == 0 {
			first = got
		}
		if _, err := os.Stat(filepath.Join(to, key)); err != nil {
			t.Errorf("%s was not redriven: %s", key, r.out)
		}
		if i == 1 {
			if r := call("jobs", "delete", first.Jobs[0], "--jobs", store); r.code != exitOK {
				t.Fatalf("%+v", r)
			}
		}
	}
}

func TestRedriveFromABucketIntoItsOtherPrefix(t *testing.T) {
	srv := httptest.NewServer(gofakes3.New(s3mem.New()).Server())
	defer srv.Close()
	defer http.DefaultClient.CloseIdleConnections()
	aim(t, "AWS_ENDPOINT_URL_S3", srv.URL)
	t.Setenv("AWS_REGION", "us-east-1")
	cfg, err := awsclient.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	client := awsclient.S3(cfg)
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("lake")}); err != nil {
		t.Fatal(err)
	}
	body := `{"rawData":"YQ==","lastErrorCode":"X"}{"rawData":"Yg==","lastErrorCode":"Y"}` + "\n"
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("lake"), Key: aws.String("errors/2026/x"), Body: strings.NewReader(body)}); err != nil {
		t.Fatal(err)
	}
	for run, want := range []string{
		"redrove 1 of 2 records, 1 B, of 1 objects, 1 with other codes\n         1  X\n         1  Y\n",
		"redrove 1 of 2 records, 1 B, of 1 objects, 1 with other codes, 1 output objects were there already\n         1  X\n         1  Y\n",
	} {
		r := call("redrive", "s3://lake/errors", "--to-prefix", "s3://lake/again", "--code", "X", "--jobs", t.TempDir(), "-q")
		if r != (result{exitOK, want, ""}) {
			t.Errorf("run %d: %+v", run, r)
		}
		if r := call("cat", "s3://lake/again/2026/x"); r.out != "a\n" {
			t.Errorf("%+v", r)
		}
	}
	// All codes would be another content for the same object.
	r := call("redrive", "s3://lake/errors", "--to-prefix", "s3://lake/again", "--jobs", t.TempDir(), "-q")
	if r.code != exitFailed || !strings.Contains(r.errors, "the destination holds another object under this key") {
		t.Errorf("%+v", r)
	}
}

func TestRedriveRefusesToReadWhatItWrites(t *testing.T) {
	source := t.TempDir()
	for _, to := range []string{source, filepath.Join(source, "x"), filepath.Dir(source)} {
		if r := call("redrive", source, "--to-prefix", to, "--jobs", t.TempDir()); r.code != exitUsage || !strings.Contains(r.errors, "lie in one another") {
			t.Errorf("%+v", r)
		}
	}
}

func TestAnInterruptedRedriveIsDoneByTheSameCommand(t *testing.T) {
	source, to, store := t.TempDir(), t.TempDir(), t.TempDir()
	failures(t, source, "a", 2)
	ctx, interrupt := context.WithCancel(context.Background())
	interrupt()
	args := []string{"redrive", source, "--to-prefix", to, "--jobs", store, "-q"}
	if r := standpipeWith(ctx, strings.NewReader(""), args...); r.code != exitInterrupted {
		t.Errorf("%+v", r)
	}
	if r := call(args...); r.code != exitRejected || !strings.HasPrefix(r.out, "redrove 2 of 2 records") {
		t.Errorf("%+v", r)
	}
}
