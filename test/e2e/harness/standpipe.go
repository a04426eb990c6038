package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Build compiles a command of the project from the root of the source tree
// into dir and returns the program's path.
func Build(ctx context.Context, root, pkg, dir string) (string, error) {
	program := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return program, nil
}

// Endpoints is DIR/endpoints.json, by which `standpipe local` says where its
// servers listen.
type Endpoints struct {
	Kinesis         string `json:"kinesis"`
	S3              string `json:"s3"`
	DynamoDB        string `json:"-"` // of the test's own; local has none
	Gateway         string `json:"gateway"`
	Firehose        string `json:"firehose"`
	Status          string `json:"status"`
	Stream          string `json:"stream"`
	Bucket          string `json:"bucket"`
	Region          string `json:"region"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// KinesisClient talks to the Kinesis server of `standpipe local`.
func (e Endpoints) KinesisClient() *kinesis.Client {
	return kinesisClient(e.Kinesis, e.AccessKeyID, e.SecretAccessKey)
}

// S3Client talks to the S3 server of `standpipe local`.
func (e Endpoints) S3Client() *s3.Client { return s3Client(e.S3, e.AccessKeyID, e.SecretAccessKey) }

// Environment is the environment of a standpipe that shall talk to these
// servers and to nothing else: none of the caller's AWS settings get through,
// but for the CA bundle, which real ones have too.
func (e Endpoints) Environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "AWS_CA_BUNDLE=")
	})
	return append(
		env,
		"AWS_ENDPOINT_URL_KINESIS="+e.Kinesis,
		"AWS_ENDPOINT_URL_S3="+e.S3,
		"AWS_ENDPOINT_URL_DYNAMODB="+e.DynamoDB,
		"AWS_REGION="+e.Region,
		"AWS_ACCESS_KEY_ID="+e.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY="+e.SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE="+os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull,
	)
}

// StartLocal starts `standpipe local` with its data in dir and waits until
// endpoints.json of this start is there. Ports are chosen by the system
// unless extra flags say otherwise.
func StartLocal(t testing.TB, program, dir string, extra ...string) (*Process, Endpoints) {
	t.Helper()
	file := filepath.Join(dir, "endpoints.json")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		t.Fatalf("remove the endpoints of an earlier start: %v", err)
	}
	args := []string{
		"local", "--data", dir, "--status-addr", "127.0.0.1:0", "--firehose-addr", "127.0.0.1:0",
	}
	if !slices.Contains(extra, "--kinesis-addr") {
		args = append(args, "--kinesis-addr", "127.0.0.1:0", "--s3-addr", "127.0.0.1:0")
	}
	if !slices.Contains(extra, "--gateway-addr") {
		args = append(args, "--gateway-addr", "127.0.0.1:0")
	}
	p := Start(t, "standpipe local", exec.Command(program, append(args, extra...)...))
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	var e Endpoints
	err := p.Until(ctx, "write "+file, func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return json.Unmarshal(b, &e)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, e
}

// Settings fill the configuration of `standpipe run`.
type Settings struct {
	Name              string // of the delivery stream
	Worker            string // names the file of one of several workers
	StreamARN         string
	Bucket            string
	Prefix            string // empty: data/!{timestamp:yyyy}/, which no test outlives
	LeaseSeconds      int    // of a fleet; 0: standpipe's own
	SizeInMBs         int    // 0: 1
	IntervalInSeconds int    // 0: 1
	CompressionFormat string // Firehose's: GZIP or UNCOMPRESSED
	Zstd              bool   // ours, overrides CompressionFormat
	RecordFormat      string // lines or raw
	CheckpointPath    string
	CheckpointTable   string // instead of the path
}

var configuration = template.Must(template.New("").Parse(`DeliveryStreamName: {{.Name}}
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration:
  KinesisStreamARN: {{.StreamARN}}
ExtendedS3DestinationConfiguration:
  BucketARN: arn:aws:s3:::{{.Bucket}}
  Prefix: "{{.Prefix}}"
  ErrorOutputPrefix: "errors/!{firehose:error-output-type}/"
  BufferingHints: {SizeInMBs: {{.SizeInMBs}}, IntervalInSeconds: {{.IntervalInSeconds}}}
  CompressionFormat: {{.CompressionFormat}}
Standpipe:
  RecordFormat: {{.RecordFormat}}
  StartingPosition: TRIM_HORIZON
  Checkpoint: { {{- if .CheckpointTable}}Type: dynamodb, Table: {{.CheckpointTable}}{{else}}Type: embedded, Path: "{{.CheckpointPath}}"{{end -}} }
  MemoryLimit: 256MiB
  StatusAddress: 127.0.0.1:0
{{- if .Zstd}}
  Compression: {Format: ZSTD}
{{- end}}
{{- if .LeaseSeconds}}
  Lease: {Duration: {{.LeaseSeconds}}s}
{{- end}}
`))

// YAML is the configuration file.
func (s Settings) YAML() ([]byte, error) {
	s.Prefix = orElse(s.Prefix, "data/!{timestamp:yyyy}/")
	s.SizeInMBs = orElse(s.SizeInMBs, 1)
	s.IntervalInSeconds = orElse(s.IntervalInSeconds, 1)
	s.CompressionFormat = orElse(s.CompressionFormat, "UNCOMPRESSED")
	s.RecordFormat = orElse(s.RecordFormat, "lines")
	var b bytes.Buffer
	err := configuration.Execute(&b, s)
	return b.Bytes(), err
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// A Delivery is one `standpipe run`, to be started again and again.
type Delivery struct {
	Program string
	Config  string // the configuration's path
	Env     []string
}

// NewDelivery writes the configuration into dir.
func NewDelivery(t testing.TB, program, dir string, env []string, s Settings) *Delivery {
	t.Helper()
	text, err := s.YAML()
	if err != nil {
		t.Fatalf("write the configuration of %s: %v", s.Name, err)
	}
	file := filepath.Join(dir, s.Name+"-"+s.Bucket+s.Worker+".yaml")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return &Delivery{Program: program, Config: file, Env: env}
}

// Start starts it. It is running when this returns, not necessarily reading.
func (d *Delivery) Start(t testing.TB) *Process {
	t.Helper()
	cmd := exec.Command(d.Program, "run", "-c", d.Config)
	cmd.Env = d.Env
	return Start(t, "standpipe run", cmd)
}
