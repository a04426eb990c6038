// Package templates compares our mapping templates with two engines from npm:
// exact versions, pinned by package-lock.json with the hash of every file,
// installed once per machine outside the source tree.
package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/need"
	"github.com/standpipe/standpipe/test/e2e/node"
)

//go:embed package.json package-lock.json render.cjs
var files embed.FS

// A Request is one template for one engine.
type Request struct {
	// Engine is velocity (velocityjs) or mapping (api-gateway-mapping-template).
	Engine   string `json:"engine"`
	Template string `json:"template"`
	Payload  string `json:"payload,omitempty"`
}

// An Answer is what the engine made of it.
type Answer struct {
	Output string `json:"output"`
	Error  string `json:"error"`
}

// Render asks the engines, all requests in one process.
func Render(t testing.TB, requests []Request) []Answer {
	t.Helper()
	nodeJS, npm := need.Program(t, "node"), need.Program(t, "npm")
	dir := filepath.Join(node.Cache(t), "templates-"+sum(t)[:16])
	err := node.Once(dir, func(tmp string) error {
		if err := os.CopyFS(tmp, files); err != nil {
			return err
		}
		cmd := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		cmd.Dir = tmp
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("npm ci: %w\n%s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("install the template engines: %v", err)
	}
	in, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), nodeJS, filepath.Join(dir, "render.cjs"))
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node render.cjs: %v", err)
	}
	var answers []Answer
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(requests) {
		t.Fatalf("%d answers to %d requests: %v", len(answers), len(requests), err)
	}
	return answers
}

func sum(t testing.TB) string {
	t.Helper()
	h := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json", "render.cjs"} {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}
