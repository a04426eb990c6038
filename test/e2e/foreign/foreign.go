// Package foreign writes objects in Firehose's formats with encoders that
// nobody here wrote: Python's gzip and zipfile, python-zstandard, snappy-java
// and Hadoop's own codec. Exact versions, pinned by hash, installed once per
// machine outside the source tree.
package foreign

import (
	"bufio"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/need"
	"github.com/standpipe/standpipe/test/e2e/node"
)

//go:embed pom.xml jars.sha256 requirements.txt encode.py Encode.java
var files embed.FS

// Codecs are what Encode knows.
var Codecs = []string{"none", "gzip", "gzip-members", "zip", "zip-streamed", "zstd", "snappy", "hadoop-snappy"}

// Encode writes each file below from, encoded and with the codec's extension,
// below to.
func Encode(t testing.TB, codec, from, to string) {
	t.Helper()
	var cmd *exec.Cmd
	switch codec {
	case "snappy", "hadoop-snappy":
		dir := jars(t)
		cmd = exec.Command("java", "-cp", filepath.Join(dir, "jars", "*"), filepath.Join(dir, "Encode.java"), codec, from, to)
	default:
		dir := python(t)
		cmd = exec.Command(filepath.Join(dir, "venv", "bin", "python"), filepath.Join(dir, "encode.py"), codec, from, to)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("encode as %s: %v\n%s", codec, err, out)
	}
}

// folder is where something of ours is installed: named after its files, so
// that a changed version is never mixed with an old installation.
func folder(t testing.TB, name string, of ...string) string {
	t.Helper()
	h := sha256.New()
	for _, f := range of {
		b, err := files.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n%s", f, len(b), b)
	}
	return filepath.Join(node.Cache(t), name+"-"+hex.EncodeToString(h.Sum(nil))[:16])
}

func install(t testing.TB, dir string, run func(tmp string) error) string {
	t.Helper()
	err := node.Once(dir, func(tmp string) error {
		if err := os.CopyFS(tmp, files); err != nil {
			return err
		}
		return run(tmp)
	})
	if err != nil {
		t.Fatalf("install the encoders of the end-to-end tests: %v", err)
	}
	return dir
}

// python makes a virtual environment; pip checks the hashes.
func python(t testing.TB) string {
	t.Helper()
	interpreter := need.Program(t, "python3")
	return install(t, folder(t, "python", "requirements.txt", "encode.py"), func(tmp string) error {
		if err := do(tmp, interpreter, "-m", "venv", "venv"); err != nil {
			return err
		}
		return node.Fetch(t, tmp, nil, filepath.Join(tmp, "venv", "bin", "python"), "-m", "pip", "install", "-q", "--require-hashes", "-r", "requirements.txt")
	})
}

// jars gets the Java libraries from Maven Central. Maven has no lock file of
// hashes, so they are checked here.
func jars(t testing.TB) string {
	t.Helper()
	need.Program(t, "java")
	maven := need.Program(t, "mvn")
	return install(t, folder(t, "jars", "pom.xml", "jars.sha256", "Encode.java"), func(tmp string) error {
		err := node.Fetch(t, tmp, nil, maven, "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DoutputDirectory="+filepath.Join(tmp, "jars"))
		if err != nil {
			return err
		}
		return check(filepath.Join(tmp, "jars"))
	})
}

// check holds the jars against the hashes: those and no others.
func check(dir string) error {
	list, err := files.Open("jars.sha256")
	if err != nil {
		return err
	}
	defer list.Close()
	expected := map[string]string{}
	for s := bufio.NewScanner(list); s.Scan(); {
		sum, name, _ := strings.Cut(s.Text(), "  ")
		expected[name] = sum
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) != len(expected) {
		return fmt.Errorf("%d jars in %s, want %d", len(entries), dir, len(expected))
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != expected[e.Name()] {
			return fmt.Errorf("%s has the hash %x, want %s", e.Name(), sum, expected[e.Name()])
		}
	}
	return nil
}

func do(dir, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(program), err, out)
	}
	return nil
}
