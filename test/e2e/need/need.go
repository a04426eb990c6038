// Package need is the only way a test of this project may skip itself. A skip
// nobody sees is a test nobody has: here it is written to the file named by
// STANDPIPE_SKIPS, which `make test` prints at the end, and where CI=true it
// is a failure.
package need

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// Program returns the path of an executable that the test cannot do without.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Absent(t, fmt.Sprintf("%s is not installed", name))
	}
	return path
}

// Redis returns the path of a redis-server that jobs can use: 6.2 or later.
func Redis(t testing.TB) string {
	t.Helper()
	path := Program(t, "redis-server")
	out, err := exec.CommandContext(t.Context(), path, "--version").Output()
	if err != nil {
		t.Fatalf("ask %s for its version: %v", path, err)
	}
	if !since62(string(out)) {
		Absent(t, fmt.Sprintf("%s is too old: %s", path, out))
	}
	return path
}

var redisVersion = regexp.MustCompile(`\bv=(\d+)\.(\d+)`)

// since62 reads what redis-server --version says.
func since62(version string) bool {
	found := redisVersion.FindStringSubmatch(version)
	if found == nil {
		return false
	}
	major, errMajor := strconv.Atoi(found[1])
	minor, errMinor := strconv.Atoi(found[2])
	return errMajor == nil && errMinor == nil && (major > 6 || major == 6 && minor >= 2)
}

// Absent ends the test because something outside the project is not there:
// skipped on a developer's machine, failed under CI=true.
func Absent(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("NEEDED UNDER CI: %s", reason)
	}
	if err := note(os.Getenv("STANDPIPE_SKIPS"), t.Name(), reason); err != nil {
		t.Fatalf("note that %s is skipped: %v", t.Name(), err)
	}
	t.Skipf("SKIPPED, NOT PASSED: %s", reason)
}

// note appends one line to the list of skips. Appends of one short line are
// whole on every file system Go runs on, so test binaries may share the file.
func note(file, test, reason string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "SKIPPED, NOT PASSED: %s: %s\n", test, reason)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
