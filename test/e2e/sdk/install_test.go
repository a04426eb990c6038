package sdk

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/need"
	"github.com/standpipe/standpipe/test/e2e/node"
)

//go:embed node/*.json node/*js python java
var files embed.FS

// installed returns a folder with one of ours and what prepare downloaded
// beside it. It is named after the hash of our files and is made once per
// machine, so that a changed version is never mixed with an old one.
func installed(t *testing.T, name string, prepare func(dir string) error) string {
	t.Helper()
	ours, err := fs.Sub(files, name)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	err = fs.WalkDir(ours, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(ours, path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(node.Cache(t), "sdk-"+name+"-"+hex.EncodeToString(h.Sum(nil))[:16])
	err = node.Once(dir, func(tmp string) error {
		if err := os.CopyFS(tmp, ours); err != nil {
			return err
		}
		return prepare(tmp)
	})
	if err != nil {
		t.Fatalf("install what the %s session needs: %v", name, err)
	}
	return dir
}

// in runs a command in a folder; its output is part of the error.
func in(dir, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w\n%s", filepath.Base(program), args, err, out)
	}
	return nil
}

// nodeFolder has the AWS SDK for JavaScript and dynalite.
func nodeFolder(t *testing.T) string {
	t.Helper()
	need.Program(t, "node")
	npm := need.Program(t, "npm")
	return installed(t, "node", func(dir string) error {
		return node.Fetch(t, dir, nil, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	})
}

// pythonFolder has boto3 in lib.
func pythonFolder(t *testing.T) string {
	t.Helper()
	python := need.Program(t, "python3")
	if err := in(".", python, "-m", "pip", "--version"); err != nil {
		need.Absent(t, "pip is not installed for python3")
	}
	return installed(t, "python", func(dir string) error {
		return node.Fetch(t, dir, nil, python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
			"--require-hashes", "--target", "lib", "-r", "requirements.txt")
	})
}

// javaFolder has the AWS SDK for Java and the KCL in lib, and our programs in
// classes. Maven only fetches: javac needs no plug-ins of its own.
func javaFolder(t *testing.T) string {
	t.Helper()
	mvn := need.Program(t, "mvn")
	javac := need.Program(t, "javac")
	need.Program(t, "java")
	return installed(t, "java", func(dir string) error {
		if err := node.Fetch(t, dir, nil, mvn, "--quiet", "--batch-mode", "dependency:copy-dependencies", "-DoutputDirectory=lib"); err != nil {
			return err
		}
		return in(dir, javac, "-encoding", "UTF-8", "-cp", filepath.Join("lib", "*"), "-d", "classes", "SdkSession.java", "KclSession.java")
	})
}
