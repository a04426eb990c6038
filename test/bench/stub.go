package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// A stub is the running process that plays Kinesis and S3.
type stub struct {
	cmd                  *exec.Cmd
	Kinesis, S3, Control string
	Certificate          string // PEM; a file's name once startStub returned
}

// progress is the stub's answer, see package stub.
type progress struct {
	Payload, Records int64
	Done             bool
	Calls            map[string]int64
	Again            struct{ Shards, Payload int64 }
	Broken           []string
	Bucket           struct {
		Objects, Bytes, Requests, Repeated, Manifests, Committed, Lines int64
		Broken                                                          []string
	}
}

func startStub(ctx context.Context, dir string) (*stub, error) {
	s := &stub{cmd: exec.CommandContext(ctx, filepath.Join(dir, "stub"))}
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(out).Decode(s); err != nil {
		s.stop()
		return nil, fmt.Errorf("read the stub's addresses: %w", err)
	}
	file := filepath.Join(dir, "stub.pem")
	if err := os.WriteFile(file, []byte(s.Certificate), 0o600); err != nil {
		s.stop()
		return nil, err
	}
	s.Certificate = file
	return s, nil
}

func (s *stub) stop() {
	_ = s.cmd.Process.Kill() // it has nothing to save
	_ = s.cmd.Wait()
}

func (s *stub) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Control+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("stub: GET %s: %s", path, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

func (s *stub) reset(ctx context.Context, o options) error {
	q := url.Values{
		"kind": {o.kind}, "shards": {strconv.Itoa(o.shards)}, "pages": {strconv.Itoa(o.pages)}, "pace": {strconv.Itoa(o.pace << 10)},
	}
	if o.check {
		q.Set("keep", "1")
	}
	return s.get(ctx, "/reset?"+q.Encode(), nil)
}

func (s *stub) progress(ctx context.Context) (p progress, err error) {
	err = s.get(ctx, "/progress", &p)
	return p, err
}

// untilDone waits until every shard is read to its end, or the program ended or
// asks what the stub cannot answer.
func (s *stub) untilDone(ctx context.Context, exited <-chan error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			return fmt.Errorf("it ended before everything was read: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		p, err := s.progress(ctx)
		switch {
		case err != nil || p.Done:
			return err
		case len(p.Broken) > 0:
			return fmt.Errorf("the stub refused: %s", p.Broken[0])
		}
	}
}

// environment is a child's: nothing of the caller's AWS settings gets through.
func (s *stub) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "AWS_") })
	return append(
		env,
		"AWS_ENDPOINT_URL_KINESIS="+s.Kinesis, "AWS_ENDPOINT_URL_S3="+s.S3, "AWS_CA_BUNDLE="+s.Certificate,
		"AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
	)
}

var configuration = template.Must(template.New("").Parse(`DeliveryStreamName: bench
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration:
  KinesisStreamARN: arn:aws:kinesis:us-east-1:000000000000:stream/bench
ExtendedS3DestinationConfiguration:
  BucketARN: arn:aws:s3:::bench
  Prefix: rawdata/!{timestamp:yyyy/MM/dd/HH}/
  ErrorOutputPrefix: errors/!{firehose:error-output-type}/
  BufferingHints: {SizeInMBs: {{.Buffer}}, IntervalInSeconds: 300}
Standpipe:
  StartingPosition: TRIM_HORIZON
  Checkpoint: {{"{"}}{{if .Table}}Type: dynamodb, Table: {{.Table}}{{else}}Type: embedded, Path: "{{.State}}"{{end}}}
  MemoryLimit: {{.Memory}}
  StatusAddress: 127.0.0.1:0
  Compression: {Format: {{.Format}}, Level: {{.Level}}}
`))

// command is the program as it is started in production, with no state.
func command(o options, s *stub, dir string, p program) (*exec.Cmd, error) {
	if p.name == "plain" {
		cmd := exec.Command(filepath.Join(dir, "plain"), "-level", p.level, "-buffer", strconv.Itoa(o.buffer<<20), "-limit", strconv.Itoa(o.limit))
		cmd.Env = s.environment()
		return cmd, nil
	}
	state, err := os.MkdirTemp(dir, "state-")
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = configuration.Execute(&text, map[string]any{
		"Buffer": o.buffer, "State": state, "Memory": o.memory, "Format": p.format, "Level": p.level,
		"Table": map[bool]string{true: "bench"}[o.dynamodb != ""],
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(state, "bench.yml")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(o.binary, "run", "-c", file)
	cmd.Env = s.environment()
	return cmd, nil
}
