package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/test/e2e/harness"
	"github.com/standpipe/standpipe/test/e2e/need"
)

// aFleet starts what a fleet shares and returns the place, with a table that is
// made by whoever comes first.
func aFleet(t *testing.T) (*miniredis.Miniredis, string) {
	t.Helper()
	server := harness.StartDynalite(t, 0)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": server.Endpoint, "AWS_ACCESS_KEY_ID": harness.AccessKey, "AWS_SECRET_ACCESS_KEY": harness.SecretKey,
		"AWS_REGION": harness.Region, "AWS_CA_BUNDLE": "",
	} {
		t.Setenv(name, value)
	}
	r := miniredis.RunT(t)
	return r, "redis://" + r.Addr() + "/0?table=some-jobs&create=true"
}

// machine does a job of n slices as one machine of a fleet.
func machine(ctx context.Context, t *testing.T, place string, n int, h jobs.Handler) ([]jobs.Slice, error) {
	t.Helper()
	store, err := jobsFolder{Jobs: place}.open()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	j := jobs.Job{ID: "j", Kind: "test", Slices: n, Created: time.Unix(1_700_000_000, 0).UTC()}
	plan := make([]jobs.Slice, n)
	for i := range plan {
		plan[i] = jobs.Slice{Job: "j", Number: i, State: jobs.Waiting}
	}
	var stderr bytes.Buffer
	run := jobRun{
		out: newConsole(strings.NewReader(""), &stderr, &stderr), store: store, handlers: map[string]jobs.Handler{"test": h},
		parallel: 2, beat: 100 * time.Millisecond,
	}
	return run.run(ctx, j, plan)
}

// startRedis starts a real Redis that keeps nothing.
func startRedis(t *testing.T, port string) *harness.Process {
	t.Helper()
	cmd := exec.Command(need.Program(t, "redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	p := harness.Start(t, "redis", cmd)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := p.WaitLine(ctx, "eady to accept connections"); err != nil {
		t.Fatal(err)
	}
	return p
}

type outcome struct {
	all []jobs.Slice
	err error
}

// Redis is killed in the middle, and comes back empty.
func TestMachinesShareAJobAndEachHasTheWholeReport(t *testing.T) {
	port := strconv.Itoa(harness.FreePort(t))
	redis := startRedis(t, port)
	_, place := aFleet(t)
	place = "redis://127.0.0.1:" + port + strings.TrimLeft(strings.TrimPrefix(place, "redis://127.0.0.1:"), "0123456789")
	const n = 40
	var calls atomic.Int64
	killed := make(chan bool)
	ends := make(chan outcome, 2)
	for m := range 2 {
		go func() {
			all, err := machine(t.Context(), t, place, n, func(_ context.Context, task jobs.Task) (json.RawMessage, error) {
				if calls.Add(1) == 15 {
					redis.Kill()
					close(killed)
				}
				return json.Marshal([]int{task.Slice.Number, m})
			})
			ends <- outcome{all, err}
		}()
	}
	<-killed
	startRedis(t, port)
	a, b := <-ends, <-ends
	if a.err != nil || b.err != nil || len(a.all) != n {
		t.Fatal(a.err, b.err, len(a.all))
	}
	if diff := cmp.Diff(a.all, b.all); diff != "" {
		t.Errorf("the machines differ in what they report:\n%s", diff)
	}
	by := map[int]int{}
	for i, x := range a.all {
		var result []int
		if err := json.Unmarshal(x.Result, &result); err != nil || x.State != jobs.Done || result[0] != i {
			t.Errorf("slice %d: %+v, %v", i, x, err)
			continue
		}
		by[result[1]]++
	}
	if calls.Load() != n || by[0] == 0 || by[1] == 0 {
		t.Errorf("%d calls, slices by machine %v", calls.Load(), by)
	}
	if r := call("jobs", "list", "--jobs", place); r.code != exitOK || !strings.Contains(r.out, "j    done   40 of 40") {
		t.Errorf("%+v", r)
	}
}

func TestAJobOfAFleetIsCancelledAndResumedFromAnotherMachine(t *testing.T) {
	_, place := aFleet(t)
	begun := make(chan bool, 4)
	ends := make(chan outcome, 1)
	go func() {
		all, err := machine(t.Context(), t, place, 4, func(ctx context.Context, _ jobs.Task) (json.RawMessage, error) {
			begun <- true
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ends <- outcome{all, err}
	}()
	<-begun
	if r := call("jobs", "delete", "j", "--jobs", place); r.code != exitFailed || !strings.Contains(r.errors, "it has not ended") || !strings.Contains(r.errors, "jobs cancel j") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "cancel", "j", "--jobs", place); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	if end := <-ends; standpipe.ClassOf(end.err) != standpipe.Fatal || !strings.Contains(end.err.Error(), "jobs resume j") {
		t.Errorf("the machine at work: %v", end.err)
	}
	if r := call("jobs", "show", "j", "--jobs", place); r.code != exitOK || strings.Count(r.out, "waiting") != 4 {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "resume", "j", "--jobs", place); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	echo := func(_ context.Context, task jobs.Task) (json.RawMessage, error) {
		if task.Slice.Number == 3 {
			return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "no"}
		}
		return json.Marshal(task.Slice.Number)
	}
	all, err := machine(t.Context(), t, place, 4, echo)
	if err != nil || jobs.Summarize(all) != (jobs.Summary{Done: 3, Failed: 1}) {
		t.Fatalf("%+v, %v", all, err)
	}
}

func TestAJobThatIsDeletedElsewhereEndsTheCommand(t *testing.T) {
	_, place := aFleet(t)
	begun := make(chan bool, 1)
	ends := make(chan outcome, 1)
	go func() {
		_, err := machine(t.Context(), t, place, 1, func(ctx context.Context, _ jobs.Task) (json.RawMessage, error) {
			begun <- true
			<-ctx.Done()
			return nil, ctx.Err()
		})
		ends <- outcome{nil, err}
	}()
	<-begun
	store, err := jobsFolder{Jobs: place}.existing()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Delete(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	if end := <-ends; end.err == nil || !strings.Contains(end.err.Error(), "was deleted") {
		t.Errorf("got %v", end.err)
	}
}

func TestAFleetWithoutRedisOrTableSaysSoOnce(t *testing.T) {
	redis, place := aFleet(t)
	addr := redis.Addr()
	bare := "redis://" + addr + "/0?table=some-jobs"
	if r := call("jobs", "list", "--jobs", bare); r.code != exitFailed || !strings.Contains(r.errors, "create=true") || !strings.Contains(r.errors, "some-jobs") {
		t.Errorf("no table: %+v", r)
	}
	if there, err := (jobsFolder{Jobs: bare}).there(); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
	redis.Close()
	source, to := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "a"), []byte(`{"rawData":"YQ=="}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := strings.Replace(place, "redis://", "redis://:hush@", 1)
	t.Setenv("STANDPIPE_JOBS", secret)
	r := call("redrive", source, "--to-prefix", to, "-q")
	if r.code != exitFailed || strings.Count(r.errors, "\n") != 1 || !strings.Contains(r.errors, "check the address, and that Redis runs there") || strings.Contains(r.errors, "hush") {
		t.Errorf("no Redis: %+v", r)
	}
	// Looking needs no Redis.
	if r := call("jobs", "list"); r.code != exitOK || !strings.Contains(r.out, "JOB") {
		t.Errorf("%+v", r)
	}
	again := miniredis.RunT(t) // miniredis answers no blocking call after a restart
	again.RequireAuth("hush")
	t.Setenv("STANDPIPE_JOBS", strings.Replace(secret, addr, again.Addr(), 1))
	if r := call("redrive", source, "--to-prefix", to, "-q"); r.code != exitOK || !strings.Contains(r.out, "redrove 1 of 1 records") {
		t.Errorf("%+v", r)
	}
	if r := call("redrive", source, "--to-prefix", to, "-q"); r.code != exitOK || !strings.Contains(r.out, "nothing to redrive") {
		t.Errorf("%+v", r)
	}
}

func TestAPlaceThatIsNoneIsAUsageErrorWithoutItsPassword(t *testing.T) {
	for _, place := range []string{"postgres://u:hush@h/x", "redis://:hush@h/x", "redis://:hush@h/0?tabel=x"} {
		if r := call("jobs", "list", "--jobs", place); r.code != exitUsage || !strings.Contains(r.errors, "--jobs (or STANDPIPE_JOBS)") || strings.Contains(r.errors, "hush") {
			t.Errorf("%+v", r)
		}
	}
}

// With a configuration the table is beside the leases' one; --jobs wins over its
// place, and ?table= over its table.
func TestAConfigurationSaysWhereJobsAre(t *testing.T) {
	redis, place := aFleet(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "standpipe.yaml")
	text := fmt.Sprintf(`DeliveryStreamName: d
DeliveryStreamType: KinesisStreamAsSource
KinesisStreamSourceConfiguration: {KinesisStreamARN: "arn:aws:kinesis:%s:000000000000:stream/s"}
ExtendedS3DestinationConfiguration: {BucketARN: "arn:aws:s3:::b"}
Standpipe:
  Checkpoint: {Type: dynamodb, Table: class-leases}
  Jobs: redis://%s/0
`, harness.Region, redis.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := call("jobs", "list", "-c", file); r.code != exitFailed || !strings.Contains(r.errors, "class-leases-jobs") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "list", "-c", file, "--jobs", place); r.code != exitFailed || !strings.Contains(r.errors, "some-jobs") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "list", "-c", file, "--jobs", dir); r.code != exitFailed || !strings.Contains(r.errors, "no job store in "+dir) {
		t.Errorf("%+v", r)
	}
}

func TestAJobIsDeletedWhenNothingIsUnderWay(t *testing.T) {
	dir := t.TempDir()
	if _, err := runJob(context.Background(), t, dir, func(_ context.Context, task jobs.Task) (json.RawMessage, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	if r := call("jobs", "delete", "other", "--jobs", dir); r.code != exitFailed || !strings.Contains(r.errors, "0 of 2 slices are done") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "list", "--jobs", dir); !strings.Contains(r.errors, "1 job ended and began more than 30 days ago") || !strings.Contains(r.errors, ": j\n") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "delete", "j", "--jobs", dir, "--dry-run"); r.code != exitOK || !strings.Contains(r.errors, "would be forgotten") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "delete", "j", "--jobs", dir); r.code != exitOK || !strings.Contains(r.out, "j    done   2 of 2") || !strings.Contains(r.errors, "2 slices") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "delete", "j", "--jobs", dir); r.code != exitFailed || !strings.Contains(r.errors, "there is no job j") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "cancel", "other", "--jobs", dir); r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "delete", "other", "--jobs", dir, "--json"); r.code != exitOK || !strings.Contains(r.out, `"state": "cancelled"`) {
		t.Errorf("%+v", r)
	}
	store := jobStore(t, dir)
	defer store.Close()
	if _, err := store.Job(t.Context(), "other"); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
