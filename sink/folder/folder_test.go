package folder_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/folder"
	"github.com/standpipe/standpipe/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listed lists what a user sees in the folder.
type listed struct {
	*folder.Sink
	dir string
}

func (l listed) Keys(context.Context) ([]string, error) {
	var keys []string
	err := fs.WalkDir(os.DirFS(l.dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(p, ".standpipe-") {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() {
			keys = append(keys, p)
		}
		return err
	})
	slices.Sort(keys)
	return keys, err
}

func open(t *testing.T, dir string) *folder.Sink {
	t.Helper()
	s, err := folder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sink.Sink {
		dir := t.TempDir()
		return listed{open(t, dir), dir}
	})
}

func TestAKeyDoesNotReachOutsideTheFolder(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"../x", "/etc/x", "a/../../x", "a/./b", "", ".", "..", "a//b", "a/", "\x00", "a\xff",
		".standpipe-staging/x", ".standpipe-meta/x", "link/x", strings.Repeat("k", 1025), strings.Repeat("k", 256) + "/x",
	} {
		if err := s.WriteOnce(t.Context(), key, []byte("x")); err == nil {
			t.Errorf("key %q was written", key)
		}
		if err := s.Put(t.Context(), sink.Object{Key: key}, strings.NewReader("x")); err == nil {
			t.Errorf("key %q was put", key)
		}
		if u, err := s.Begin(t.Context(), sink.Object{Key: key}); err == nil {
			p, err := s.Append(t.Context(), u, 1, sinktest.NewBody([]byte("x")))
			if err != nil {
				t.Fatal(err)
			}
			u.Parts = []sink.Part{p}
			if err := s.Publish(t.Context(), u); err == nil {
				t.Errorf("key %q was published", key)
			}
		}
	}
	for _, key := range []string{"link/secret", "file"} {
		if p, err := s.Read(t.Context(), key, 100); err == nil {
			t.Errorf("%s gave %q from outside", key, p)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside the folder: %v, %v", entries, err)
	}
}

func TestAnUploadIDDoesNotReachOutsideStaging(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.WriteOnce(t.Context(), "victim/object.json", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"../victim", "..", ".", "", "/", "a/b"} {
		u := sink.Upload{Object: sink.Object{Key: "k"}, ID: id}
		if err := s.Discard(t.Context(), u); !errors.Is(err, sink.ErrNoUpload) {
			t.Errorf("discard of %q: %v", id, err)
		}
	}
	if _, err := s.Probe(t.Context(), "victim/object.json"); err != nil {
		t.Error(err)
	}
}

// Aim: another process, after a crash, can publish what was staged. Method: a
// second sink over the same folder with nothing but the token.
func TestAnotherProcessPublishesFromTheToken(t *testing.T) {
	dir := t.TempDir()
	o := sink.Object{Key: "a/b", Metadata: map[string]string{"standpipe-intent": "i"}}
	u := sinktest.Stage(t, open(t, dir), o, []byte("one"), []byte("two"))
	second := open(t, dir)
	for range 2 { // the second time it remembers
		if err := second.Publish(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	p, err := second.Read(t.Context(), "a/b", 100)
	if err != nil || string(p) != "onetwo" {
		t.Fatalf("%q, %v", p, err)
	}
	info, err := second.Probe(t.Context(), "a/b")
	if err != nil || info.Metadata["standpipe-intent"] != "i" {
		t.Fatalf("%+v, %v", info, err)
	}
}

// Aim: whatever a crash leaves of a publish, the next one finishes it. Method:
// each prefix of its steps is laid out by hand.
func TestPublishAfterACrashFinishes(t *testing.T) {
	for _, c := range []struct {
		name  string
		crash func(t *testing.T, dir, staging string)
	}{
		{"while joining", func(t *testing.T, _, staging string) {
			write(t, filepath.Join(staging, "whole-HALF"), "on")
		}},
		{"before the link", func(t *testing.T, dir, staging string) {
			write(t, filepath.Join(staging, "whole-DONE"), "onetwo")
			if err := os.MkdirAll(filepath.Join(dir, "a"), 0o755); err != nil {
				t.Fatal(err)
			}
		}},
		{"during an append", func(t *testing.T, _, staging string) {
			write(t, filepath.Join(staging, "temporary-X"), "t")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			u := sinktest.Stage(t, s, sink.Object{Key: "a/b", Metadata: map[string]string{"k": "v"}}, []byte("one"), []byte("two"))
			c.crash(t, dir, filepath.Join(dir, ".standpipe-staging", u.ID))
			if _, err := s.Probe(t.Context(), "a/b"); !errors.Is(err, sink.ErrNotFound) {
				t.Fatalf("visible after the crash: %v", err)
			}
			if err := s.Publish(t.Context(), u); err != nil {
				t.Fatal(err)
			}
			if p, err := s.Read(t.Context(), "a/b", 100); err != nil || string(p) != "onetwo" {
				t.Fatalf("%q, %v", p, err)
			}
			if left, err := os.ReadDir(filepath.Join(dir, ".standpipe-staging")); err != nil || len(left) != 0 {
				t.Errorf("left in staging: %v, %v", left, err)
			}
		})
	}
}

// Whatever lies where uploads are staged, of an older version, half written or
// not ours at all, stops no start and no upload, and is left alone.
func TestRubbishAmongTheStagedUploadsStopsNothing(t *testing.T) {
	dir := t.TempDir()
	rubbish := map[string]string{
		".standpipe-staging/no-folder":             "x",
		".standpipe-staging/empty/part-00001":      "",
		".standpipe-staging/torn/object.json":      `{"key":"a/`,
		".standpipe-staging/other/object.json":     `[1,2,3]`,
		".standpipe-staging/other/deep/part-00001": "x",
		".standpipe-meta/zz.json":                  "not JSON",
	}
	for name, text := range rubbish {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), text)
	}
	s := open(t, dir)
	u := sinktest.Stage(t, s, sink.Object{Key: "a/b"}, []byte("one"), []byte("two"))
	if err := s.Publish(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteOnce(t.Context(), "_standpipe/x", []byte("y")); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Read(t.Context(), "a/b", 100); err != nil || string(p) != "onetwo" {
		t.Fatalf("%q, %v", p, err)
	}
	for name, text := range rubbish {
		if p, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(p) != text {
			t.Errorf("%s holds %q, %v", name, p, err)
		}
	}
}

func TestAForeignObjectUnderTheKeyIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	u := sinktest.Stage(t, s, sink.Object{Key: "taken", Metadata: map[string]string{"k": "v"}}, []byte("mine"))
	write(t, filepath.Join(dir, "taken"), "them")
	if err := s.Publish(t.Context(), u); !errors.Is(err, sink.ErrExists) {
		t.Fatalf("publish: %v", err)
	}
	if p, err := os.ReadFile(filepath.Join(dir, "taken")); err != nil || string(p) != "them" {
		t.Fatalf("%q, %v", p, err)
	}
}

func TestAKeyBelowAnObjectIsFatal(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.WriteOnce(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteOnce(t.Context(), "a/b", nil); standpipe.ClassOf(err) != standpipe.Fatal {
		t.Errorf("write: %v", err)
	}
	if _, err := s.Probe(t.Context(), "a/b"); !errors.Is(err, sink.ErrNotFound) {
		t.Errorf("probe: %v", err)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
