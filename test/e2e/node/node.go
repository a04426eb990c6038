// Package node holds the third-party servers and the real input that come as
// npm packages: exact versions, pinned by package-lock.json with the hash of
// every file, installed once per machine outside the source tree.
package node

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/need"
)

//go:embed package.json package-lock.json *.cjs
var files embed.FS

// Cache is the folder that keeps what the end-to-end tests download or build
// between runs: STANDPIPE_E2E_CACHE, or one in the user's cache folder.
func Cache(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("STANDPIPE_E2E_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("find the user's cache folder: %v (set STANDPIPE_E2E_CACHE)", err)
		}
		dir = filepath.Join(base, "standpipe-e2e")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("make the cache folder: %v", err)
	}
	return dir
}

// Install returns a folder with our scripts beside the installed packages.
func Install(t testing.TB) string { return Packages(t, "node", files) }

// Packages returns a folder with the files beside the packages that their
// package-lock.json names. It is called after the name and the hash of all files,
// so that a changed version or script is never mixed with an old installation.
func Packages(t testing.TB, name string, files fs.FS) string {
	t.Helper()
	need.Program(t, "node")
	npm := need.Program(t, "npm")
	dir := filepath.Join(Cache(t), name+"-"+sum(t, files)[:16])
	err := Once(dir, func(tmp string) error {
		if err := os.CopyFS(tmp, files); err != nil {
			return err
		}
		return Fetch(t, tmp, nil, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
	if err != nil {
		t.Fatalf("install the npm packages of %s: %v", name, err)
	}
	return dir
}

// Input returns a folder with github.ndjson, emoji-ko.ndjson and
// flights.ndjson: 76 MB in 208,529 lines, see input.cjs.
func Input(t testing.TB) string {
	t.Helper()
	packages := Install(t)
	dir := filepath.Join(packages, "input")
	err := Once(dir, func(tmp string) error {
		cmd := exec.Command("node", filepath.Join(packages, "input.cjs"), tmp)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("node input.cjs: %w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("write the real input: %v", err)
	}
	return dir
}

// Once makes dir by filling a temporary folder beside it and renaming that: dir
// is there whole or not at all. Who comes while another fills it, in this test
// binary or in one beside it, waits and uses that.
func Once(dir string, fill func(tmp string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := fill(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// lock waits for the lock of a file, which ends with the process at the latest.
func lock(file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", file, err)
	}
	return func() { _ = f.Close() }, nil
}

// fetches is how often a registry is asked, and rest how long it may rest after
// the first time; after the second twice as long.
const fetches = 3

var rest = 10 * time.Second

// Fetch runs a command in dir that gets packages from a registry; env is added to
// the environment. A registry that does not answer says nothing of what is
// tested, so it is asked again. A program runs once at a time on a machine, in
// whichever test binary: Maven does not share its folder with another of its kind.
func Fetch(t testing.TB, dir string, env []string, program string, args ...string) error {
	t.Helper()
	unlock, err := lock(filepath.Join(Cache(t), filepath.Base(program)+".lock"))
	if err != nil {
		return err
	}
	defer unlock()
	for n := 1; ; n++ {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%s %v: %w\n%s", filepath.Base(program), args, err, out)
		if n == fetches {
			return err
		}
		t.Logf("attempt %d of %d: %v", n, fetches, err)
		select {
		case <-time.After(time.Duration(n) * rest):
		case <-t.Context().Done():
			return err
		}
	}
}

func sum(t testing.TB, files fs.FS) string {
	t.Helper()
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		t.Fatalf("list the files to install: %v", err)
	}
	h := sha256.New()
	for _, e := range entries {
		b, err := fs.ReadFile(files, e.Name())
		if err != nil {
			t.Fatalf("read %s, which is to be installed: %v", e.Name(), err)
		}
		fmt.Fprintf(h, "%s %d\n%s", e.Name(), len(b), b)
	}
	return hex.EncodeToString(h.Sum(nil))
}
