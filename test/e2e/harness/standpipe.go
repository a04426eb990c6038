package harness

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
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
	Status          string `json:"status"`
	Stream          string `json:"stream"`
	Bucket          string `json:"bucket"`
	Region          string `json:"region"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
}

// Environment is the environment of a standpipe that shall talk to the given
// servers and to nothing else: none of the caller's AWS settings get through,
// but for the CA bundle, which real ones have too.
func Environment(kinesis, s3 string) []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "AWS_") && !strings.HasPrefix(kv, "AWS_CA_BUNDLE=")
	})
	return append(
		env,
		"AWS_ENDPOINT_URL_KINESIS="+kinesis,
		"AWS_ENDPOINT_URL_S3="+s3,
		"AWS_REGION="+Region,
		"AWS_ACCESS_KEY_ID="+AccessKey,
		"AWS_SECRET_ACCESS_KEY="+SecretKey,
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
		"local", "--data", dir, "--status-addr", "127.0.0.1:0",
	}
	if !slices.Contains(extra, "--kinesis-addr") {
		args = append(args, "--kinesis-addr", "127.0.0.1:0", "--s3-addr", "127.0.0.1:0")
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
	StreamARN         string
	Bucket            string
	Prefix            string // empty: data/!{timestamp:yyyy}/, which no test outlives
	SizeInMBs         int    // 0: 1
	IntervalInSeconds int    // 0: 1
	CompressionFormat string // Firehose's: GZIP or UNCOMPRESSED
	Zstd              bool   // ours, overrides CompressionFormat
	RecordFormat      string // lines or raw
	CheckpointPath    string
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
  Checkpoint: {Type: embedded, Path: "{{.CheckpointPath}}"}
  MemoryLimit: 256MiB
  StatusAddress: 127.0.0.1:0
{{- if .Zstd}}
  Compression: {Format: ZSTD}
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
	file := filepath.Join(dir, s.Name+".yaml")
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

// Moments yields n random waits up to longest, from a seed that is printed
// and can be given again in STANDPIPE_E2E_SEED. A third of them are short, a
// tenth of the rest: the first moments of a start, when it recovers, deserve
// more than their share.
func Moments(t testing.TB, n int, longest time.Duration) []time.Duration {
	t.Helper()
	seed := randomSeed(t)
	if s := os.Getenv("STANDPIPE_E2E_SEED"); s != "" {
		if _, err := fmt.Sscanf(s, "%d", &seed); err != nil {
			t.Fatalf("STANDPIPE_E2E_SEED=%q is not a number: %v", s, err)
		}
	}
	t.Logf("moments of kill -9: STANDPIPE_E2E_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	moments := make([]time.Duration, n)
	for i := range moments {
		limit := longest
		if random.IntN(3) == 0 {
			limit /= 10
		}
		moments[i] = time.Duration(random.Int64N(int64(limit)))
	}
	return moments
}

func randomSeed(t testing.TB) uint64 {
	t.Helper()
	var b [8]byte
	if _, err := crand.Read(b[:]); err != nil {
		t.Fatalf("draw a seed: %v", err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

// KillAt starts the process, kills it after each of the moments and starts it
// again; a process that ends before it is killed is an error, because nothing
// but kill -9 was done to it.
func KillAt(t testing.TB, moments []time.Duration, start func() *Process) error {
	t.Helper()
	for i, wait := range moments {
		p := start()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
			p.Crash()
		case <-p.Done():
			timer.Stop()
			return fmt.Errorf("start %d of %d ended by itself with exit code %d:\n%s", i+1, len(moments), p.ExitCode(), p.Output())
		}
	}
	return nil
}
