package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// chopped delivers eight megabytes in flushes of a second, so that there are
// many slices of one manifest.
func chopped(t *testing.T, s *stack, name string) (*harness.Delivery, [][]byte) {
	t.Helper()
	stream := harness.CreateStream(t, s.kinesis, name, 2)
	d, a := s.deliver(t, stream, harness.Settings{Name: name, CompressionFormat: "GZIP", Prefix: "data/!{timestamp:HH-mm-ss}/", IntervalInSeconds: 1})
	input := harness.Numbered(t, 8<<20)
	p := d.Start(t)
	producing(t, &harness.Producer{Stream: stream, BytesPerSecond: 1 << 20}, harness.Pack(input))()
	settle(t, p, a, harness.Multiset(input))
	return d, input
}

// tormented starts a command and kills it in the middle, again and again, the
// last time by a signal that it can hear; then it lets it run to its end. What
// the dead had in hand is free after fifteen seconds.
func tormented(t *testing.T, wire *harness.Tripwire, kills int, start func() *exec.Cmd) command {
	t.Helper()
	for n, m := range harness.Moments(t, kills, 3*time.Second) {
		write := 1 + n%3 // every run writes sooner or later
		tripped := wire.Arm(write, m.Answered)
		p := harness.Start(t, "standpipe replay", start())
		select {
		case <-tripped:
		case <-time.After(20*time.Second + m.Wait): // one that only waits for claims of the dead
		case <-p.Done():
			t.Fatalf("run %d ended by itself with exit code %d: the scene is too short\n%s", n+1, p.ExitCode(), p.Output())
		}
		p.Crash()
		wire.Arm(0, false)
	}
	tripped := wire.Arm(1, true)
	p := harness.Start(t, "standpipe replay", start())
	select {
	case <-tripped:
	case <-p.Done():
		t.Fatalf("ended by itself with exit code %d\n%s", p.ExitCode(), p.Output())
	}
	wire.Arm(0, false)
	code, _, err := p.Terminate(testLimit)
	if err != nil || code != 130 || !strings.Contains(p.Output(), "run the same command again to go on") {
		t.Fatalf("interrupted: exit code %d, %v\n%s", code, err, p.Output())
	}
	cmd := start()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("the last run: %v\n%s", err, errs.String())
	}
	return command{0, out.String(), errs.String()}
}

// replayResult is what an outsider needs of replay --json.
type replayResult struct {
	Job                                 string
	Slices, Manifests, Restored, Shards int
	Whole, Damaged, BeyondRetention     int
	Unlike                              int
	Failed                              []any
}

func (c command) result(t *testing.T) (r replayResult) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.stdout), &r); err != nil {
		t.Fatalf("%v: %s", err, c.stdout)
	}
	return r
}

// Every object is deleted, and the restore is killed in the middle again and
// again. At the end every object is there with its lines and none besides; what
// is lost later is restored by the same command.
func TestARestoreThatIsKilledAgainAndAgainRestoresEachObjectOnce(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	d, input := chopped(t, s, "torn")
	wire := harness.NewTripwire(t, s.endpoints.S3)
	behind := *d
	behind.Env = append(slices.Clone(d.Env), "AWS_ENDPOINT_URL_S3="+wire.Endpoint)
	before := s.listing(t, "torn")
	lost := 0
	for key := range before {
		if strings.HasPrefix(key, "data/") {
			s.remove(t, "torn", key)
			lost++
		}
	}
	args := []string{"replay", "-c", d.Config, "--from", "1h", "--slice", "1", "--parallel", "2", "--rate", "5", "--json", "-q"}
	last := tormented(t, wire, 4, func() *exec.Cmd { return s.begin(limited(t, testLimit), t, &behind, args...) })
	r := last.result(t)
	if !strings.Contains(last.stderr, "going on with job "+r.Job) || !strings.HasSuffix(r.Job, "-1") {
		t.Errorf("the last run did not go on: %s\n%s", r.Job, last.stderr)
	}
	if r.Slices != r.Manifests || r.Restored+r.Whole != lost || len(r.Failed) > 0 {
		t.Errorf("%d objects were deleted, the job says %+v", lost, r)
	}
	restored := s.listing(t, "torn")
	if !slices.Equal(slices.Sorted(maps.Keys(restored)), slices.Sorted(maps.Keys(before))) {
		t.Error("the bucket has other keys than before")
	}
	a := &harness.Archive{Client: s.s3, Bucket: "torn", Prefix: "data/"}
	if err := a.Refresh(limited(t, deliverLimit)); err != nil {
		t.Fatal(err)
	}
	if diff := harness.Diff(harness.Multiset(input), a.Lines()); diff != "" {
		t.Error(diff)
	}
	s.command(t, d, "verify", "-c", d.Config, "--deep", "-q").want(t, 0)
	// Once more is a new job that finds everything whole.
	if r := s.command(t, d, args...).want(t, 0).result(t); !strings.HasSuffix(r.Job, "-2") || r.Whole != lost || r.Restored != 0 {
		t.Errorf("once more: %+v", r)
	}
	if !maps.Equal(restored, s.listing(t, "torn")) {
		t.Error("replaying once more changed the bucket")
	}
	s.remove(t, "torn", a.Keys()[0])
	if r := s.command(t, d, args...).want(t, 0).result(t); r.Whole != lost-1 || r.Restored != 1 {
		t.Errorf("after a second loss: %+v", r)
	}
	// What the stream gives is not what the manifest proves: named, not written.
	s.remove(t, "torn", a.Keys()[0])
	yaml, err := os.ReadFile(d.Config)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(s.dir, "raw.yaml")
	if err := os.WriteFile(other, bytes.Replace(yaml, []byte("RecordFormat: lines"), []byte("RecordFormat: raw"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := s.command(t, d, slices.Replace(slices.Clone(args), 2, 3, other)...).want(t, 3).result(t)
	if wrong.Unlike != 1 || wrong.Whole != lost-1 || len(wrong.Failed) > 0 {
		t.Errorf("with another format: %+v", wrong)
	}
	if out := s.command(t, d, "jobs", "list").want(t, 0); strings.Count(out.stdout, "restore-") != 4 || strings.Count(out.stdout, "done") != 4 {
		t.Errorf("jobs: %s", out.stdout)
	}
}

// The same into a prefix: it goes on where it stood, and nothing is there twice.
func TestAReplayIntoAPrefixThatIsKilledAgainAndAgainDeliversOnce(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	d, input := chopped(t, s, "into")
	wire := harness.NewTripwire(t, s.endpoints.S3)
	behind := *d
	behind.Env = append(slices.Clone(d.Env), "AWS_ENDPOINT_URL_S3="+wire.Endpoint)
	args := []string{"replay", "-c", d.Config, "--from", "TRIM_HORIZON", "--to-prefix", "again/", "--rate", "2", "--json", "-q"}
	r := tormented(t, wire, 2, func() *exec.Cmd { return s.begin(limited(t, testLimit), t, &behind, args...) }).result(t)
	if r.Shards != 2 || r.Slices != 2 || len(r.Failed) > 0 {
		t.Errorf("the job says %+v", r)
	}
	a := &harness.Archive{Client: s.s3, Bucket: "into", Prefix: "again/data/"}
	if err := a.Refresh(limited(t, deliverLimit)); err != nil {
		t.Fatal(err)
	}
	if diff := harness.Diff(harness.Multiset(input), a.Lines()); diff != "" {
		t.Error(diff)
	}
	s.command(t, d, "verify", "s3://into/again/", "--deep", "-q").want(t, 0)
	all := s.listing(t, "into")
	if again := s.command(t, d, args...).want(t, 0).result(t); again.Job != r.Job || again.Shards != 2 {
		t.Errorf("once more: %+v, it was %+v", again, r)
	}
	if !maps.Equal(all, s.listing(t, "into")) {
		t.Error("replaying once more changed the bucket")
	}
}

// A manifest bounds a range by its first and its last record, in both kinds.
func TestAManifestsKeyBoundsARange(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	d, _ := chopped(t, s, "bound")
	keys := s.chain(t, "bound", "shardId-000000000001")
	first, last := keys[1], keys[len(keys)-2]
	whole := &harness.Archive{Client: s.s3, Bucket: "bound", Prefix: "data/"}
	part := &harness.Archive{Client: s.s3, Bucket: "bound", Prefix: "part/data/"}
	chains, err := whole.Chains(limited(t, deliverLimit))
	if err != nil {
		t.Fatal(err)
	}
	r := s.command(t, d, "replay", "-c", d.Config, "--from", first, "--to", last, "--rate", "5", "--json").want(t, 0).result(t)
	if r.Manifests != len(keys)-2 || r.Damaged+r.Restored > 0 {
		t.Errorf("%+v, there are %d manifests between", r, len(keys)-2)
	}
	s.command(t, d, "replay", "-c", d.Config, "--from", first, "--to", last, "--to-prefix", "part/", "--rate", "5").want(t, 0)
	for _, a := range []*harness.Archive{whole, part} {
		if err := a.Refresh(limited(t, deliverLimit)); err != nil {
			t.Fatal(err)
		}
	}
	var want harness.Lines
	for _, m := range chains["shardId-000000000001"][1 : len(keys)-1] {
		for _, o := range m.Objects {
			text, _ := whole.Text(o.Key)
			want.AddText(text)
		}
	}
	if diff := harness.Diff(&want, part.Lines()); diff != "" {
		t.Error(diff)
	}
}
