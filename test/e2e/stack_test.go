package e2e

import (
	"cmp"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

const (
	// deliverLimit bounds the delivery of everything a test produced. It takes
	// seconds; a noisy machine with two cores may need many of them.
	deliverLimit = 3 * time.Minute
	// stopLimit is what a stop under load may take: Fargate's default time
	// between SIGTERM and SIGKILL.
	stopLimit = 30 * time.Second
	testLimit = 8 * time.Minute
)

// A stack is a Kinesis and an S3 server and how to reach them.
type stack struct {
	endpoints harness.Endpoints
	kinesis   *kinesis.Client
	s3        *s3.Client
	dir       string
}

// eachStack runs the test against third-party servers and against our own.
func eachStack(t *testing.T, test func(t *testing.T, s *stack)) {
	t.Run("kinesalite+versitygw", func(t *testing.T) {
		e := harness.Endpoints{
			Kinesis:     harness.StartKinesalite(t, t.TempDir()).Endpoint,
			S3:          harness.StartVersitygw(t, t.TempDir()).Endpoint,
			Region:      harness.Region,
			AccessKeyID: harness.AccessKey, SecretAccessKey: harness.SecretKey,
		}
		test(t, newStack(t, e))
	})
	t.Run("standpipe local", func(t *testing.T) {
		// Its own stream stays empty; the test brings its own beside it.
		_, e := harness.StartLocal(t, program, t.TempDir())
		test(t, newStack(t, e))
	})
}

func newStack(t *testing.T, e harness.Endpoints) *stack {
	return &stack{endpoints: e, kinesis: e.KinesisClient(), s3: e.S3Client(), dir: t.TempDir()}
}

// deliver makes a bucket for a delivery of the stream and returns both. What
// the settings leave out is filled in; the bucket tells deliveries apart and has
// their name unless it is given.
func (s *stack) deliver(t *testing.T, stream *harness.Stream, settings harness.Settings) (*harness.Delivery, *harness.Archive) {
	t.Helper()
	settings.Bucket = cmp.Or(settings.Bucket, settings.Name)
	settings.StreamARN = stream.ARN
	settings.CheckpointPath = filepath.Join(s.dir, settings.Bucket+".checkpoints")
	harness.CreateBucket(t, s.s3, settings.Bucket)
	d := harness.NewDelivery(t, program, s.dir, s.endpoints.Environment(), settings)
	return d, &harness.Archive{Client: s.s3, Bucket: settings.Bucket, Prefix: "data/"}
}

func limited(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// settle waits until the lines are delivered, stops the process and looks at
// what is there then: stopping must add nothing.
func settle(t *testing.T, p *harness.Process, a *harness.Archive, want *harness.Lines) {
	t.Helper()
	started(t, p) // everything may be there already
	if err := a.Await(limited(t, deliverLimit), p, want.Digest.Lines); err != nil {
		t.Error(err)
	}
	stop(t, p)
	if err := a.Refresh(limited(t, deliverLimit)); err != nil {
		t.Fatal(err)
	}
	if d := harness.Diff(want, a.Lines()); d != "" {
		t.Fatalf("the archive differs from what was produced: %s", d)
	}
}

// started waits until a `standpipe run` says so: a SIGTERM in the first
// milliseconds of a process, or seconds where others are busy, meets no handler
// yet and ends it as the kernel does.
func started(t *testing.T, p *harness.Process) {
	t.Helper()
	if _, err := p.WaitLine(limited(t, testLimit), `"msg":"started"`); err != nil {
		t.Fatal(err)
	}
}

// stop sends SIGTERM and wants exit code 0 within the limit.
func stop(t *testing.T, p *harness.Process) {
	t.Helper()
	code, took, err := p.Terminate(stopLimit)
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 {
		t.Fatalf("exit code %d after SIGTERM, want 0", code)
	}
	t.Logf("stopped in %v", took.Round(time.Millisecond))
}

// ordered checks each shard's lines against the shard itself, in the order of
// its manifests, and that every object is named by a manifest.
func ordered(t *testing.T, stream *harness.Stream, a *harness.Archive) {
	t.Helper()
	ctx := limited(t, deliverLimit)
	contents, err := stream.Contents(ctx)
	if err != nil {
		t.Fatal(err)
	}
	chains, err := a.Chains(ctx)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for shard, records := range contents {
		text, err := a.ShardText(chains[shard])
		if err != nil {
			t.Fatalf("%s: %v", shard, err)
		}
		for _, m := range chains[shard] {
			named += len(m.Objects)
		}
		if d := harness.DiffOrder(linesOf(records...), linesOf(text)); d != "" {
			t.Errorf("order in %s: %s", shard, d)
		}
	}
	if visible := len(a.Keys()); named != visible {
		t.Errorf("manifests name %d objects, %d are visible", named, visible)
	}
}

func linesOf(texts ...[]byte) [][]byte {
	var lines [][]byte
	for _, text := range texts {
		for line := range harness.SplitLines(text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// producing puts the records in the background; the returned function waits
// for the end.
func producing(t *testing.T, p *harness.Producer, records [][]byte) (wait func()) {
	t.Helper()
	done := make(chan error, 1)
	ctx := limited(t, testLimit)
	go func() { done <- p.Put(ctx, records) }()
	return func() {
		t.Helper()
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("produce: %v", err)
			}
		case <-ctx.Done():
			t.Fatalf("produce: %v", context.Cause(ctx))
		}
	}
}

// digestOf counts the lines of records.
func digestOf(records [][]byte) standpipe.Digest {
	var l harness.Lines
	for _, r := range records {
		l.AddText(r)
	}
	return l.Digest
}
