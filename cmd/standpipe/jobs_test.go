package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
)

func jobStore(t *testing.T, dir string) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func twoSlices(id string) (jobs.Job, []jobs.Slice) {
	return jobs.Job{ID: id, Kind: "test", Title: "a test", Slices: 2, Created: time.Unix(1_700_000_000, 0)},
		[]jobs.Slice{{Job: id, Number: 0, Name: "first", State: jobs.Waiting}, {Job: id, Number: 1, Name: "second", State: jobs.Waiting}}
}

// runJob does a job with one handler in a store that another job waits in.
func runJob(ctx context.Context, t *testing.T, dir string, h jobs.Handler) ([]jobs.Slice, error) {
	t.Helper()
	store := jobStore(t, dir)
	defer store.Close()
	other, plan := twoSlices("other")
	if err := store.Create(context.Background(), other, plan); err != nil && !errors.Is(err, jobs.ErrExists) {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	j, plan := twoSlices("j")
	run := jobRun{out: newConsole(strings.NewReader(""), &stderr, &stderr), store: nodeJobs{store}, handlers: map[string]jobs.Handler{"test": h}, parallel: 1}
	return run.run(ctx, j, plan)
}

func TestAnInterruptedJobGoesOnWhereItWasAndLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	_, err := runJob(ctx, t, dir, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		if task.Slice.Number == 1 {
			interrupt()
			<-ctx.Done()
		}
		return json.RawMessage(`"first run"`), nil
	})
	if exitCode(err) != exitInterrupted || !strings.Contains(err.Error(), "run the same command again") {
		t.Fatal(err)
	}
	all, err := runJob(context.Background(), t, dir, func(_ context.Context, task jobs.Task) (json.RawMessage, error) {
		if task.Job.ID != "j" {
			t.Errorf("job %s was worked on", task.Job.ID)
		}
		return json.RawMessage(`"second run"`), nil
	})
	if err != nil || string(all[0].Result) != `"first run"` || string(all[1].Result) != `"second run"` {
		t.Fatalf("%v %+v", err, all)
	}
	if r := call("jobs", "list", "--jobs", dir); r.code != exitOK || !strings.Contains(r.out, "j      done     2 of 2") || !strings.Contains(r.out, "other  running  0 of 2") {
		t.Errorf("%+v", r)
	}
}

// A process that was killed leaves its claims. Whoever can open the file knows
// that it is dead; in a table that others use they have to be watched first.
func TestSlicesOfADeadProcessWaitAgainWhereNobodyElseCanBeAtWork(t *testing.T) {
	for alone, want := range map[bool]jobs.State{true: jobs.Waiting, false: jobs.Running} {
		store := jobStore(t, t.TempDir())
		defer store.Close()
		j, plan := twoSlices("j")
		if err := store.Create(t.Context(), j, plan); err != nil {
			t.Fatal(err)
		}
		s, err := store.Slice(t.Context(), "j", 1)
		if err == nil {
			_, err = store.Put(t.Context(), s.Claim("a process", "token"))
		}
		if err != nil {
			t.Fatal(err)
		}
		all, err := store.States(t.Context(), "j")
		if err != nil {
			t.Fatal(err)
		}
		if err := (jobRun{store: shared{nodeJobs{store}, alone}}).orphans(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		s, err = store.Slice(t.Context(), "j", 1)
		if err != nil || s.State != want || s.Tries != 1 {
			t.Errorf("alone %v: %+v, %v", alone, s, err)
		}
	}
}

type shared struct {
	jobBackend
	alone bool
}

func (s shared) Alone() bool { return s.alone }

func TestJobsAreShownCancelledAndResumed(t *testing.T) {
	dir := t.TempDir()
	all, err := runJob(context.Background(), t, dir, func(_ context.Context, task jobs.Task) (json.RawMessage, error) {
		if task.Slice.Number == 1 {
			return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "read x", Err: errors.New("it changed")}
		}
		return nil, nil
	})
	if err != nil || all[1].State != jobs.Failed {
		t.Fatalf("%v %+v", err, all)
	}
	if r := call("jobs", "show", "j", "--jobs", dir); r.code != exitOK || !strings.Contains(r.out, "1  failed      1          second  read x: it changed") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "resume", "j", "--jobs", dir); r.code != exitOK || !strings.Contains(r.out, "j    running  1 of 2") || !strings.Contains(r.errors, "again") {
		t.Errorf("%+v", r)
	}
	if r := call("jobs", "cancel", "j", "--jobs", dir, "--json"); r.code != exitOK || !strings.Contains(r.out, `"state": "cancelled"`) {
		t.Errorf("%+v", r)
	}
	if _, err := runJob(context.Background(), t, dir, nil); err == nil || !strings.Contains(err.Error(), "standpipe jobs resume j") {
		t.Errorf("a cancelled job ran: %v", err)
	}
}

func TestAStoreThatIsAbsentOrInUseIsNamed(t *testing.T) {
	dir := t.TempDir()
	if r := call("jobs", "list", "--jobs", dir+"/none"); r.code != exitFailed || !strings.Contains(r.errors, "there is no job store in") {
		t.Errorf("%+v", r)
	}
	store := jobStore(t, dir)
	defer store.Close()
	if r := call("jobs", "list", "--jobs", dir); r.code != exitFailed || !strings.Contains(r.errors, "another process is using it") || !strings.Contains(r.errors, "Ctrl-C") {
		t.Errorf("%+v", r)
	}
}
