package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

const (
	// manyKills of the workers of one job.
	manyKills = 13
	// fewKills of a job with few slices: each kill puts one off.
	fewKills = 4
	// atOnce is how many jobs are tormented at a time: they mostly wait, for the
	// claims of the dead to stand still long enough.
	atOnce = 4
)

// A scene is a task and what is looked at when it has ended.
type scene struct {
	task
	judge func(t *testing.T, r *jobRun)
}

// restoring: of eight objects seven are gone, and a slice is one manifest.
func restoring(t *testing.T, c *cut, bucket string) scene {
	const objects = cutShards * cutRounds
	d := c.copied(t, bucket, func(n int, _ string) bool { return n%8 > 0 })
	before := c.listing(t, bucket)
	judge := func(t *testing.T, r *jobRun) {
		// What an undisturbed restore makes is the archive as it was.
		same(t, hashes(t, c.stack, c.archive.Bucket, ""), hashes(t, c.stack, bucket, ""))
		after := c.listing(t, bucket)
		touched := maps.Clone(before)
		maps.DeleteFunc(touched, func(key, state string) bool { return after[key] == state })
		if len(touched) > 0 {
			t.Errorf("%d objects were whole and were touched, as %q", len(touched), slices.Min(slices.Collect(maps.Keys(touched))))
		}
		for _, member := range r.team.Left() {
			var got struct{ Manifests, Whole, Restored, Damaged, BeyondRetention int }
			r.decode(t, member, &got)
			if got.Manifests != objects || got.Whole+got.Restored != objects || got.Damaged+got.BeyondRetention != 0 {
				t.Errorf("member %d reports %+v", member, got)
			}
		}
	}
	return scene{task{
		args:   []string{"replay", "-c", d.Config, "--from", "TRIM_HORIZON", "--rate", "5", "--parallel", "4", "--slice", "1", "--json"},
		works:  func(call harness.Call) bool { return call.Creates() && strings.HasPrefix(call.Key(), "data/") },
		slices: objects, calls: objects * 7 / 8, first: 20, kills: manyKills, parallel: 4,
	}, judge}
}

// delivering: the whole stream once more, into a prefix. A slice is a shard.
func delivering(t *testing.T, c *cut, bucket string) scene {
	const calm, upset = "calm/", "upset/"
	d := c.copied(t, bucket, func(int, string) bool { return true })
	args := []string{"replay", "-c", d.Config, "--from", "TRIM_HORIZON", "--to", "NOW", "--rate", "5", "--parallel", "2", "--json"}
	c.command(t, d, append(slices.Clone(args), "--to-prefix", calm, "--jobs", t.TempDir())...).want(t, 0)
	judge := func(t *testing.T, _ *jobRun) {
		// Names carry the place: only what is in the objects can be equal.
		contents := func(prefix string) []string {
			return slices.Sorted(maps.Values(hashes(t, c.stack, bucket, prefix)))
		}
		if want, got := contents(calm+"data/"), contents(upset+"data/"); !slices.Equal(want, got) {
			t.Errorf("%d objects, an undisturbed run makes %d, and not all are equal", len(got), len(want))
		}
		a := &harness.Archive{Client: c.s3, Bucket: bucket, Prefix: upset + "data/"}
		if err := a.Refresh(limited(t, deliverLimit)); err != nil {
			t.Fatal(err)
		}
		if diff := harness.Diff(c.archive.Lines(), a.Lines()); diff != "" {
			t.Error(diff)
		}
		c.command(t, d, "verify", "s3://"+bucket+"/"+upset, "--deep", "-q").want(t, 0)
	}
	return scene{task{
		args:   append(args, "--to-prefix", upset),
		works:  func(call harness.Call) bool { return call.Creates() && strings.HasPrefix(call.Key(), upset+"data/") },
		slices: cutShards, calls: cutShards, first: 12, kills: manyKills, parallel: 2,
	}, judge}
}

// comparing: two objects a slice, two passes. Some lines are missing on the
// other side and some are there twice.
func comparing(t *testing.T, c *cut, bucket string) scene {
	const objects = 2 * cutShards * cutRounds
	missing, doubled := c.theirs(t, bucket)
	args := []string{
		"compare", "s3://" + c.archive.Bucket + "/data/", "s3://" + bucket + "/data/",
		"--settle", "0s", "--records", "lines", "--slice", "2", "--workers", "2", "--resume", "--json", "-q",
	}
	cmd := exec.CommandContext(limited(t, testLimit), program, append(slices.Clone(args), "--jobs", t.TempDir())...)
	cmd.Env = c.endpoints.Environment()
	out, _ := cmd.Output()
	want := verdictOf(t, string(out))
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Fatalf("an undisturbed comparison: exit code %d\n%s", code, out)
	}
	judge := func(t *testing.T, r *jobRun) {
		for _, member := range r.team.Left() {
			var got comparison
			r.decode(t, member, &got)
			if got.Verdict != "different" || got.Counts.MissingInB != int64(missing) || got.Counts.DoubledInB != int64(doubled) {
				t.Errorf("member %d reports %s: %+v", member, got.Headline, got.Counts)
			}
			if got := verdictOf(t, r.report(t, member)); got != want {
				t.Errorf("member %d reports %s\nundisturbed: %s", member, got, want)
			}
		}
	}
	return scene{task{
		args: args, exit: 1, forgets: true,
		works:  func(call harness.Call) bool { return call.Method == "GET" && strings.HasPrefix(call.Key(), "data/") },
		slices: objects / 2, calls: 2 * objects, first: 20, kills: manyKills, parallel: 2,
	}, judge}
}

const (
	failureObjects = 1200
	failureSlice   = 200 // redrive's, in objects
	failureRecords = 3
)

// failures puts error-output objects into a bucket.
func failures(t *testing.T, s *stack, bucket string) {
	t.Helper()
	harness.CreateBucket(t, s.s3, bucket)
	for i := range failureObjects {
		var body []byte
		for n := range failureRecords {
			raw, err := json.Marshal(struct {
				RawData []byte `json:"rawData"`
				Code    string `json:"errorCode"`
			}{fmt.Appendf(nil, "object %d record %d\n", i, n), "Lambda.FunctionError"})
			if err != nil {
				t.Fatal(err)
			}
			body = append(append(body, raw...), '\n')
		}
		if err := s.upload(t.Context(), bucket, fmt.Sprintf("errors/processing-failed/2026/11/22/10/%04d", i), body); err != nil {
			t.Fatal(err)
		}
	}
}

// redriving: from error-output objects into a prefix, with slices of hundreds.
func redriving(t *testing.T, c *cut, bucket string) scene {
	const calm, upset = "calm/", "upset/"
	failures(t, c.stack, bucket)
	args := func(to string) []string {
		return []string{"redrive", "s3://" + bucket + "/errors/", "--to-prefix", "s3://" + bucket + "/" + to, "--json", "-q"}
	}
	cmd := exec.CommandContext(limited(t, testLimit), program, append(args(calm), "--jobs", t.TempDir())...)
	cmd.Env = c.endpoints.Environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return scene{task{
		args:  args(upset),
		works: func(call harness.Call) bool { return call.Creates() },
		calls: failureObjects, first: failureSlice * 3, slices: failureObjects / failureSlice, kills: fewKills, parallel: 1,
	}, func(t *testing.T, r *jobRun) {
		same(t, hashes(t, c.stack, bucket, calm), hashes(t, c.stack, bucket, upset))
		for _, member := range r.team.Left() {
			var got struct{ Records, Redriven, Rejected int }
			if r.decode(t, member, &got); got.Records != failureObjects*failureRecords || got.Redriven != got.Records || got.Rejected > 0 {
				t.Errorf("member %d reports %+v", member, got)
			}
		}
	}}
}

// verdictOf is a report of compare without when it was made and how long that
// took.
func verdictOf(t *testing.T, report string) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(report), &all); err != nil {
		t.Fatalf("%v in %.500q", err, report)
	}
	for _, name := range []string{"started", "durationNanoseconds"} {
		delete(all, name)
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Workers of a job are killed at random moments, most of them in the middle of
// a call to S3, and started again; Redis, where there is one, is emptied and
// restarted under them. At the end every slice is done, every object there
// once, and everything as if nothing had been.
func TestKill9OfAJobsWorkersLosesNoSliceAndRepeatsNone(t *testing.T) {
	seed := harness.Seed(t)
	c := newCut(t)
	scenes := map[string]func(*testing.T, *cut, string) scene{"restore": restoring, "deliver": delivering, "compare": comparing, "redrive": redriving}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, what := range slices.Sorted(maps.Keys(scenes)) {
		for where, open := range map[string]func(*testing.T) jobStore{"node": nodeStore, "fleet": fleetStore} {
			group.Go(func() error {
				t.Run(what+" on a "+where, func(t *testing.T) {
					s := scenes[what](t, c, what+"-"+where)
					s.judge(t, torment(t, s.task, open(t), c.stack, seed))
				})
				return nil
			})
		}
	}
	_ = group.Wait() // tests report by themselves
}

// decode reads what a member has printed.
func (r *jobRun) decode(t *testing.T, member int, into any) {
	t.Helper()
	text := r.report(t, member)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("member %d: %v in %.500q", member, err, text)
	}
}

// fleetStore is the job store of a fleet: Redis dispatches, and DynamoDB has
// the record.
func fleetStore(t *testing.T) jobStore {
	redis := harness.StartRedis(t)
	table := harness.StartDynalite(t, 0)
	return jobStore{
		place: redis.URL + "?create=true", env: []string{"AWS_ENDPOINT_URL_DYNAMODB=" + table.Endpoint},
		members: 3, redis: redis,
	}
}
