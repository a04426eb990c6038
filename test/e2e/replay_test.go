package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A command is one run of the binary that ended.
type command struct {
	code           int
	stdout, stderr string
}

// begin is a run of the binary with the delivery's environment. What it keeps
// below its working folder, the record of its jobs, it finds there again.
func (s *stack) begin(ctx context.Context, t *testing.T, d *harness.Delivery, args ...string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Dir = d.Env, s.dir
	return cmd
}

// command runs the binary with the delivery's configuration.
func (s *stack) command(t *testing.T, d *harness.Delivery, args ...string) command {
	t.Helper()
	cmd := s.begin(limited(t, testLimit), t, d, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("standpipe %v: %v", args, err)
	}
	return command{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

func (c command) want(t *testing.T, code int) command {
	t.Helper()
	if c.code != code {
		t.Fatalf("exit code %d, want %d\n%s\n%s", c.code, code, c.stdout, c.stderr)
	}
	return c
}

// listing is every object with what tells that it was not touched.
func (s *stack) listing(t *testing.T, bucket string) map[string]string {
	t.Helper()
	all := map[string]string{}
	pages := s3.NewListObjectsV2Paginator(s.s3, &s3.ListObjectsV2Input{Bucket: &bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			all[*o.Key] = fmt.Sprint(*o.Size, aws.ToString(o.ETag), o.LastModified.UTC())
		}
	}
	return all
}

func (s *stack) remove(t *testing.T, bucket, key string) {
	t.Helper()
	if _, err := s.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		t.Fatal(err)
	}
}

// verifyReport is what an outsider needs of verify --json.
type verifyReport struct {
	Verdict  string `json:"verdict"`
	Findings []struct {
		Kind, Shard, Key, Manifest, Repair string
	} `json:"findings"`
}

// filled delivers six megabytes over some seconds, into one folder a second,
// so that a folder stands for an hour and flushes have several objects.
func filled(t *testing.T, s *stack, name string) (*harness.Stream, *harness.Delivery, *harness.Archive, [][]byte) {
	t.Helper()
	stream := harness.CreateStream(t, s.kinesis, name, 2)
	d, a := s.deliver(t, stream, harness.Settings{Name: name, CompressionFormat: "GZIP", Prefix: "data/!{timestamp:HH-mm-ss}/", IntervalInSeconds: 2})
	input := harness.Numbered(t, 6<<20)
	p := d.Start(t)
	producing(t, &harness.Producer{Stream: stream, BytesPerSecond: 1 << 20}, harness.Pack(input))()
	settle(t, p, a, harness.Multiset(input))
	return stream, d, a, input
}

// An hour of objects is deleted. verify names each of them and nothing else,
// replay makes exactly them again with exactly their lines, and doing it twice
// changes nothing.
func TestADeletedHourIsNamedAndRestoredExactly(t *testing.T) {
	eachStack(t, func(t *testing.T, s *stack) {
		_, d, a, input := filled(t, s, "hour")
		s.command(t, d, "verify", "-c", d.Config, "--deep", "--stream", "--rate", "5", "-q").want(t, 0)
		texts := map[string]string{}
		for _, key := range a.Keys() {
			text, _ := a.Text(key)
			texts[key] = string(text)
		}
		before := s.listing(t, "hour")
		hour := filepath.Dir(a.Keys()[len(a.Keys())/2]) + "/"
		deleted := map[string]bool{}
		for key := range before {
			if strings.HasPrefix(key, hour) {
				deleted[key] = true
				s.remove(t, "hour", key)
			}
		}
		if len(deleted) == 0 || len(deleted) == len(texts) {
			t.Fatalf("%d of %d objects are in %s: this is no scene", len(deleted), len(texts), hour)
		}
		var report verifyReport
		found := s.command(t, d, "verify", "-c", d.Config, "--json", "-q").want(t, 1)
		if err := json.Unmarshal([]byte(found.stdout), &report); err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, f := range report.Findings {
			named[f.Key] = true
			if f.Kind != "missing" || f.Shard == "" || !strings.Contains(f.Repair, "standpipe replay") {
				t.Errorf("finding %+v", f)
			}
		}
		if !maps.Equal(named, deleted) {
			t.Fatalf("verify names %v, deleted are %v", slices.Sorted(maps.Keys(named)), slices.Sorted(maps.Keys(deleted)))
		}
		file := filepath.Join(s.dir, "report.json")
		if err := os.WriteFile(file, []byte(found.stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Log(s.command(t, d, "replay", "-c", d.Config, "--from-report", file, "--rate", "5").want(t, 0).stdout)
		restored := s.listing(t, "hour")
		for key, state := range restored {
			switch was, there := before[key]; {
			case !there:
				t.Errorf("%s is new", key)
			case !deleted[key] && was != state:
				t.Errorf("%s was touched", key)
			}
		}
		if len(restored) != len(before) {
			t.Errorf("%d objects, there were %d", len(restored), len(before))
		}
		again := &harness.Archive{Client: s.s3, Bucket: "hour", Prefix: "data/"}
		if err := again.Refresh(limited(t, deliverLimit)); err != nil {
			t.Fatal(err)
		}
		for key := range deleted {
			if text, _ := again.Text(key); string(text) != texts[key] {
				t.Errorf("%s has other lines than it had", key)
			}
		}
		if diff := harness.Diff(harness.Multiset(input), again.Lines()); diff != "" {
			t.Error(diff)
		}
		s.command(t, d, "verify", "-c", d.Config, "--deep", "-q").want(t, 0)
		for _, args := range [][]string{{"--from-report", file}, {"--from", "1h", "--deep"}} {
			s.command(t, d, slices.Concat([]string{"replay", "-c", d.Config, "--rate", "5"}, args)...).want(t, 0)
			if !maps.Equal(restored, s.listing(t, "hour")) {
				t.Errorf("replay %v once more changed the bucket", args)
			}
		}
	})
}

// A replay into a prefix is killed, goes on, and is done; then it does nothing.
func TestAReplayIntoAPrefixIsAnArchiveOfItsOwn(t *testing.T) {
	eachStack(t, func(t *testing.T, s *stack) {
		_, d, _, input := filled(t, s, "again")
		live := s.listing(t, "again")
		args := []string{"replay", "-c", d.Config, "--from", "TRIM_HORIZON", "--to", "NOW", "--to-prefix", "replays/one/", "--rate", "5", "--log-level", "info"}
		killed := harness.Start(t, "standpipe replay", s.begin(t.Context(), t, d, args...))
		if _, err := killed.WaitLine(limited(t, testLimit), `"msg":"object delivered"`); err != nil {
			t.Fatal(err)
		}
		killed.Crash()
		if out := s.command(t, d, "checkpoint", "show", "-c", d.Config).want(t, 0); !strings.Contains(out.stdout, "shardId-") {
			t.Errorf("the live checkpoints: %s", out.stdout)
		}
		t.Log(s.command(t, d, args...).want(t, 0).stdout)
		a := &harness.Archive{Client: s.s3, Bucket: "again", Prefix: "replays/one/data/"}
		if err := a.Refresh(limited(t, deliverLimit)); err != nil {
			t.Fatal(err)
		}
		if diff := harness.Diff(harness.Multiset(input), a.Lines()); diff != "" {
			t.Errorf("the replayed archive: %s", diff)
		}
		all := s.listing(t, "again")
		for key, state := range live {
			if all[key] != state {
				t.Errorf("the live object %s was touched", key)
			}
		}
		s.command(t, d, "verify", "s3://again/replays/one/", "--deep", "-q").want(t, 0)
		s.command(t, d, "verify", "-c", d.Config, "--deep", "-q").want(t, 0)
		s.command(t, d, args...).want(t, 0)
		if !maps.Equal(all, s.listing(t, "again")) {
			t.Error("replaying once more changed the bucket")
		}
		if out := s.command(t, d, slices.Replace(slices.Clone(args), 4, 5, "1h")...).want(t, 2); !strings.Contains(out.stderr, "another --to-prefix") {
			t.Errorf("another range into the same prefix: %s", out.stderr)
		}
	})
}

// chain is the keys of a shard's manifests, in order.
func (s *stack) chain(t *testing.T, bucket, shard string) (keys []string) {
	t.Helper()
	for key := range s.listing(t, bucket) {
		if strings.HasPrefix(key, "_standpipe/commits/") && strings.Contains(key, "/"+shard+"/") {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if len(keys) < 2 {
		t.Fatalf("%d manifests of %s: this is no scene", len(keys), shard)
	}
	return keys
}

// What cannot be meant is refused, with what to do instead.
func TestReplayRefusesWhatCannotBeMeant(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	_, d, _, _ := filled(t, s, "refused")
	chain := s.chain(t, "refused", "shardId-000000000000")
	first, last := chain[0], chain[len(chain)-1]
	for _, c := range []struct {
		says string
		args []string
	}{
		{"ends before it begins", []string{"--from", "2026-11-22T11:00:00Z", "--to", "2026-11-22T10:00:00Z"}},
		{"the stream keeps records from", []string{"--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z"}},
		{"the live configuration writes to data/", []string{"--from", "1h", "--to-prefix", "data/again/"}},
		{"the live configuration writes to _standpipe/", []string{"--from", "1h", "--to-prefix", "_standpipe/x/"}},
		{"ends in a slash", []string{"--from", "1h", "--to-prefix", "../x/"}},
		{"say which with --shard", []string{"--from", "4711", "--to-prefix", "x/"}},
		{"say what to replay", nil},
		{"give one of them", []string{"--from", "1h", "--manifest", "k"}},
		{"all readers of a shard share", []string{"--from", "1h", "--rate", "9"}},
		{"give 1 to", []string{"--from", "1h", "--slice", "0"}},
		{"ends before it begins", []string{"--from", last, "--to", first}},
		{"a range that it bounds is one of that shard", []string{"--from", first, "--shard", "shardId-000000000007"}},
	} {
		out := s.command(t, d, append([]string{"replay", "-c", d.Config}, c.args...)...).want(t, 2)
		if !strings.Contains(out.stderr, c.says) {
			t.Errorf("%v: %s", c.args, out.stderr)
		}
	}
}

// Checkpoints are shown, exported and moved while nothing runs, with a record;
// a running standpipe is not disturbed.
func TestCheckpointsAreMovedOnlyWhileNothingRuns(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	_, d, a, input := filled(t, s, "moved")
	out := s.command(t, d, "checkpoint", "export", "-c", d.Config).want(t, 0)
	if strings.Count(out.stdout, "shardId-") != 2 {
		t.Errorf("export: %s", out.stdout)
	}
	file := filepath.Join(s.dir, "checkpoints.json")
	if err := os.WriteFile(file, []byte(out.stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	s.command(t, d, "checkpoint", "show", "-c", d.Config).want(t, 0)
	s.command(t, d, "replay", "-c", d.Config, "--to", file, "--rate", "5").want(t, 0)
	set := []string{"checkpoint", "set", "-c", d.Config, "--at", "TRIM_HORIZON", "--reason", "a test"}
	if out := s.command(t, d, set...).want(t, 2); !strings.Contains(out.stderr, "--yes") {
		t.Errorf("without --yes: %s", out.stderr)
	}
	p := d.Start(t)
	started(t, p)
	for _, args := range [][]string{append(set, "--yes"), {"checkpoint", "export", "-c", d.Config}, {"run", "-c", d.Config, "--from", "trim_horizon"}} {
		if out := s.command(t, d, args...); out.code == 0 || !strings.Contains(out.stderr, "another process is using it") {
			t.Errorf("%v beside a running standpipe: exit code %d\n%s", args, out.code, out.stderr)
		}
	}
	stop(t, p)
	before := s.listing(t, "moved")
	s.command(t, d, append(set, "--yes")...).want(t, 0)
	record := ""
	for key := range s.listing(t, "moved") {
		if _, old := before[key]; !old {
			record += key
		}
	}
	if !strings.HasPrefix(record, "_standpipe/audit/") || strings.Count(record, ".json") != 1 {
		t.Errorf("new objects: %s", record)
	}
	s.command(t, d, "checkpoint", "set", "-c", d.Config, "--at", file, "--yes").want(t, 0)
	cmd := exec.Command(program, "run", "-c", d.Config, "--from", "latest")
	cmd.Env = d.Env
	again := harness.Start(t, "standpipe run --from latest", cmd)
	if _, err := again.WaitLine(limited(t, testLimit), "checkpoints moved by --from"); err != nil {
		t.Fatal(err)
	}
	stop(t, again)
	if err := a.Refresh(limited(t, deliverLimit)); err != nil {
		t.Fatal(err)
	}
	if diff := harness.Diff(harness.Multiset(input), a.Lines()); diff != "" {
		t.Errorf("moving ahead delivered something: %s", diff)
	}
}

// freshness samples how old the oldest undelivered record of a running
// standpipe is, until the channel is closed, and returns the mean in seconds.
// What the machine stood still while a record waited is not standpipe's.
func freshness(t *testing.T, address string, stall *harness.Stall, until <-chan struct{}) float64 {
	t.Helper()
	var sum float64
	var n int
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-until:
			if n == 0 {
				t.Fatal("no sample of the freshness: the load is no load")
			}
			return sum / float64(n)
		case <-tick.C:
			resp, err := http.Get(address + "/api/status")
			if err != nil {
				t.Fatal(err)
			}
			var report struct {
				Freshness *float64 `json:"freshnessSeconds"`
			}
			err = json.NewDecoder(resp.Body).Decode(&report)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if report.Freshness != nil {
				now, age := time.Now(), *report.Freshness
				stood := stall.Within(now.Add(-time.Duration(age*float64(time.Second))), now)
				sum, n = sum+age-stood.Seconds(), n+1
			}
		}
	}
}

// A replay of what was delivered earlier runs beside a live reader under load.
// Both are measured in the same run, first without the replay, then with it.
func TestAReplayLeavesTheLiveReaderItsFreshness(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	stream := harness.CreateStream(t, s.kinesis, "busy", 2)
	d, a := s.deliver(t, stream, harness.Settings{Name: "busy", CompressionFormat: "GZIP", IntervalInSeconds: 2})
	input := harness.Numbered(t, 24<<20)
	backlog, load := input[:len(input)/2], input[len(input)/2:]
	p := d.Start(t)
	started, err := p.WaitLine(limited(t, testLimit), `"msg":"started"`)
	if err != nil {
		t.Fatal(err)
	}
	var line struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal([]byte(started), &line); err != nil {
		t.Fatal(err)
	}
	producing(t, &harness.Producer{Stream: stream}, harness.Pack(backlog))()
	if err := a.Await(limited(t, deliverLimit), p, int64(len(backlog))); err != nil {
		t.Fatal(err)
	}
	produced := producing(t, &harness.Producer{Stream: stream, BytesPerSecond: 512 << 10}, harness.Pack(load))
	alone := make(chan struct{})
	time.AfterFunc(8*time.Second, func() { close(alone) })
	stall := harness.NewStall()
	defer stall.Stop()
	without := freshness(t, line.Status, stall, alone)

	cmd := s.begin(t.Context(), t, d, "replay", "-c", d.Config, "--from", "TRIM_HORIZON", "--to", "9s", "--to-prefix", "yesterday/")
	replaying := harness.Start(t, "standpipe replay", cmd)
	with := freshness(t, line.Status, stall, replaying.Done())
	if replaying.ExitCode() != 0 {
		t.Fatalf("replay ended with exit code %d", replaying.ExitCode())
	}
	produced()
	settle(t, p, a, harness.Multiset(input)) // nothing twice in the live prefix
	t.Logf("mean freshness: %.2f s alone, %.2f s beside the replay (%.2f times)", without, with, with/without)
	// Half a second is what sampling and two busy cores do to either figure.
	if with > 1.5*without+0.5 {
		t.Errorf("freshness went from %.2f s to %.2f s", without, with)
	}
	replayed := &harness.Archive{Client: s.s3, Bucket: "busy", Prefix: "yesterday/data/"}
	if err := replayed.Refresh(limited(t, deliverLimit)); err != nil {
		t.Fatal(err)
	}
	if diff := harness.Missing(harness.Multiset(backlog), replayed.Lines()); diff != "" {
		t.Errorf("the replay left out: %s", diff)
	}
}

// files is every file below dir with what tells that it was not touched.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[strings.TrimPrefix(name, dir+"/")] = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A folder is verified and mended as a bucket is, each verdict by the commands
// that are shown with it.
func TestAFolderIsMendedByTheCommandsShown(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	stream := harness.CreateStream(t, s.kinesis, "folder", 1)
	d, _ := s.deliver(t, stream, harness.Settings{Name: "folder", CompressionFormat: "GZIP", Prefix: "data/!{timestamp:HH-mm-ss}/"})
	lake := filepath.Join(s.dir, "lake")
	yaml, err := os.ReadFile(d.Config)
	if err != nil {
		t.Fatal(err)
	}
	yaml = bytes.Replace(yaml, []byte("  BucketARN: arn:aws:s3:::folder\n"), nil, 1)
	if err := os.WriteFile(d.Config, append(yaml, "  Folder: "+lake+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := d.Start(t)
	input := harness.Numbered(t, 4<<20)
	producing(t, &harness.Producer{Stream: stream, BytesPerSecond: 1 << 20}, harness.Pack(input))()
	err = p.Until(limited(t, deliverLimit), "deliver everything", func() error {
		out := s.command(t, d, "verify", lake, "--json", "-q")
		var r struct{ Counts struct{ Lines int } }
		if err := json.Unmarshal([]byte(out.stdout), &r); err != nil || r.Counts.Lines < len(input) {
			return fmt.Errorf("%d lines are proved", r.Counts.Lines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	before := files(t, lake)
	var keys []string
	for name := range before {
		if strings.HasPrefix(name, "data/") {
			keys = append(keys, name)
		}
	}
	slices.Sort(keys)
	victim := filepath.Join(lake, keys[len(keys)/2])
	whole, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoiled := bytes.Clone(whole)
	spoiled[len(spoiled)/2] ^= 1
	for _, c := range []struct {
		kind  string
		code  int
		spoil func()
	}{
		{"missing", 1, func() { os.Remove(victim) }},
		{"altered", 1, func() { write(victim, spoiled) }},
		{"lines", 1, func() { write(victim, []byte("one line\n")) }},
		{"unreadable", 3, func() { write(victim, whole[:len(whole)/2]) }},
		{"doubled", 1, func() { write(victim+".copy", whole) }},
		{"foreign", 1, func() { write(filepath.Join(lake, "data/foreign"), []byte("nobody's\n")) }},
	} {
		c.spoil()
		found := s.command(t, d, "verify", "-c", d.Config, "--deep", "--json", "-q").want(t, c.code)
		var report verifyReport
		if err := json.Unmarshal([]byte(found.stdout), &report); err != nil {
			t.Fatal(err)
		}
		if len(report.Findings) != 1 || report.Findings[0].Kind != c.kind {
			t.Fatalf("%s: %s", c.kind, found.stdout)
		}
		shell := exec.CommandContext(limited(t, testLimit), "sh", "-c", report.Findings[0].Repair)
		shell.Dir = s.dir
		shell.Env = append(slices.Clone(d.Env), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
		if out, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("%s: %s: %v\n%s", c.kind, report.Findings[0].Repair, err, out)
		}
		s.command(t, d, "verify", lake, "--deep", "-q").want(t, 0)
		if again, err := os.ReadFile(victim); err != nil || !bytes.Equal(again, whole) {
			t.Errorf("%s: the object is not as it was: %v", c.kind, err)
		}
	}
	// Into a prefix: an archive of its own, beside the one it came from.
	s.command(t, d, "replay", "-c", d.Config, "--from", "TRIM_HORIZON", "--to-prefix", "again/", "--rate", "5").want(t, 0)
	s.command(t, d, "verify", filepath.Join(lake, "again"), "--deep", "-q").want(t, 0)
	s.command(t, d, "verify", filepath.Join(lake, "data"), "--deep", "-q").want(t, 0)
}
