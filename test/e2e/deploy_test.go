package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/need"
	"github.com/standpipe/standpipe/test/e2e/node"
)

// cfn-lint carries AWS's own schemas of every resource: types, properties,
// required ones, allowed values, what may refer to what. A template with one
// wrong property shows that it would be noticed.
func TestTheCloudFormationTemplateIsValidByAWSsSchemas(t *testing.T) {
	lint := cfnLint(t)
	template := filepath.Join("..", "..", "deploy", "cloudformation", "standpipe.yaml")
	if out, err := exec.Command(lint, template).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, bytes.Replace(text, []byte("BillingMode:"), []byte("BilingMode:"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(lint, wrong).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("BilingMode")) {
		t.Errorf("a property that does not exist passed: %s", out)
	}
}

// cfnLint is the program in a virtual environment of its own, in the versions of
// cfnlint/requirements.txt. The environment is made where it stays, since its
// scripts hold its path; a file in it says that it is whole.
func cfnLint(t *testing.T) string {
	t.Helper()
	python := need.Program(t, "python3")
	requirements, err := os.ReadFile(filepath.Join("cfnlint", "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(requirements)
	dir := filepath.Join(node.Cache(t), "cfnlint-"+hex.EncodeToString(sum[:8]))
	err = node.Once(dir+".whole", func(tmp string) error {
		if out, err := exec.Command(python, "-m", "venv", "--clear", dir).CombinedOutput(); err != nil {
			return fmt.Errorf("python3 -m venv: %w\n%s", err, out)
		}
		return node.Fetch(t, ".", nil, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--no-deps", "-r", filepath.Join("cfnlint", "requirements.txt"))
	})
	if err != nil {
		t.Fatalf("install cfn-lint: %v", err)
	}
	return filepath.Join(dir, "bin", "cfn-lint")
}
