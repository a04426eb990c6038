package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/standpipe/standpipe/local/kinesis"
)

const tutorialAPI = "../../deploy/openapi.yaml"

func TestGatewayCheckNamesTheTutorialsTraps(t *testing.T) {
	r := call("gateway", "check", "-c", tutorialAPI)
	if r.code != exitOK || r.out != tutorialAPI+" is valid\n" {
		t.Errorf("%+v", r)
	}
	golden(t, "gateway-check.txt", r.errors)
	if r := call("gateway", "check", "-c", tutorialAPI, "--strict"); r.code != exitUsage || !strings.Contains(r.errors, "has 4 warnings") {
		t.Errorf("%+v", r)
	}
}

func TestGatewayCheckFailsWhereRecordsAreLost(t *testing.T) {
	b, err := os.ReadFile(tutorialAPI)
	if err != nil {
		t.Fatal(err)
	}
	lossy := strings.NewReplacer(`statusCode: "400"`, `statusCode: "200"`, "#set($context.responseOverride.status = 429)", "").Replace(string(b))
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(file, []byte(lossy), 0o600); err != nil {
		t.Fatal(err)
	}
	r := call("gateway", "check", "-c", file, "--json")
	var out struct {
		Problems []any
		Findings []struct {
			Severity, Trap string
			Line           int
		}
	}
	if err := json.Unmarshal([]byte(r.out), &out); err != nil || r.code != exitUsage {
		t.Fatalf("%v: %+v", err, r)
	}
	found := false
	for _, f := range out.Findings {
		found = found || f.Severity == "error" && f.Trap == "failures-as-200" && f.Line > 0
	}
	if !found || len(out.Problems) != 0 {
		t.Errorf("%s", r.out)
	}
}

func TestGatewayShowsEveryProblemOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(file, []byte("openapi: \"3.1.0\"\nsecurity: []\npaths: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"check"}, {"render", "-d", "{}"}, {"serve"}} {
		r := call(append([]string{"gateway"}, append(command, "-c", file)...)...)
		if r.code != exitUsage || !strings.Contains(r.errors, ":1:10: openapi: version") || !strings.Contains(r.errors, ":2:1: security: not supported") || !strings.Contains(r.errors, "has 2 problems") {
			t.Errorf("%v: %+v", command, r)
		}
	}
}

func TestGatewayRenderShowsWhatKinesisWouldGet(t *testing.T) {
	r := call("gateway", "render", "-c", tutorialAPI, "-d", `{ "value": "30" }`, "-H", "X-Amzn-Trace-Id: k")
	if r.code != exitOK || r.errors != "" {
		t.Fatalf("%+v", r)
	}
	golden(t, "gateway-render.txt", r.out)
	r = call("gateway", "render", "-c", tutorialAPI, "-d", `{}`, "-H", `X-Amzn-Trace-Id: x","ExplicitHashKey":"0`, "--json")
	if r.code != exitOK || !strings.Contains(r.out, `"explicitHashKey": "0"`) {
		t.Errorf("%+v", r)
	}
	for args, want := range map[string]string{
		`-d {"a":`:            "a caller would get 400: Could not parse request body into json",
		"-d {} --path /v2":    "the API has no POST /v2",
		"-d {} -H nocolon":    "-H nocolon: write it as 'Name: value'",
		"-d {} -H A:b -X GET": "the API has no GET /v1",
	} {
		if r := call(append([]string{"gateway", "render", "-c", tutorialAPI}, strings.Fields(args)...)...); r.code == exitOK || !strings.Contains(r.errors, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestGatewayServesUntilItIsAskedToStop(t *testing.T) {
	server, err := kinesis.New(kinesis.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := server.EnsureStream("class-stream", 1); err != nil {
		t.Fatal(err)
	}
	stream := httptest.NewServer(server)
	defer stream.Close()
	aim(t, "AWS_ENDPOINT_URL_KINESIS", stream.URL)
	dir := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	var stderr bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{
			"gateway", "-c", tutorialAPI, "--addr", ":0", "--stage", "prod", "--batch", "1ms",
			"--execution-log", filepath.Join(dir, "execution"), "--access-log", filepath.Join(dir, "access"), "--access-format", "$context.requestId $context.status",
		}, strings.NewReader(""), in, &stderr)
		in.Close()
	}()
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err, stderr.String())
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "gateway is ready on ")
	if !ok || !strings.HasPrefix(url, "http://127.0.0.1:") {
		t.Fatalf("%q", line[:n])
	}
	res, err := http.Post(url+"/v1", "application/json", strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	stop()
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d: %s", c, stderr.String())
	}
	execution, _ := os.ReadFile(filepath.Join(dir, "execution"))
	access, _ := os.ReadFile(filepath.Join(dir, "access"))
	if res.StatusCode != http.StatusOK || !strings.Contains(string(execution), "Successfully completed execution") || !strings.HasSuffix(string(access), " 200\n") {
		t.Errorf("status %d, execution log %q, access log %q", res.StatusCode, execution, access)
	}
}

func TestGatewayRefusesWrongFlags(t *testing.T) {
	t.Setenv("AWS_REGION", "us-east-1")
	for args, want := range map[string]string{
		"--access-format x":     "--access-format: an access log format needs",
		"--addr nowhere":        "--addr nowhere: give host and port",
		"--failures never":      "must be one of",
		"--execution-log /no/x": "--execution-log: open /no/x",
	} {
		r := call(append([]string{"gateway", "-c", tutorialAPI}, strings.Fields(args)...)...)
		if r.code != exitUsage || !strings.Contains(r.errors, want) {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if r := call("gateway", "-c", "/nowhere.yaml"); r.code != exitUsage || !strings.Contains(r.errors, "name an OpenAPI file") {
		t.Errorf("%+v", r)
	}
}
