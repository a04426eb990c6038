// Package templates compares our mapping templates with two engines from npm:
// exact versions, pinned by package-lock.json with the hash of every file,
// installed once per machine outside the source tree.
package templates

import (
	"bytes"
	"embed"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

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
	dir := node.Packages(t, "templates", files)
	in, err := json.Marshal(requests)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "render.cjs"))
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
