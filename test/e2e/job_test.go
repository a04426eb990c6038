package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

const (
	// jobStill is longer than a slice's claim may stand still (15 s): who got
	// nothing on for so long had nothing to do.
	jobStill = 20 * time.Second
	// jobRest bounds what is left after the last kill.
	jobRest = 2 * time.Minute
)

// A task is a command that runs as a job, and how its effects are judged.
type task struct {
	args []string
	// works says which calls to S3 get the job on, and calls how many of them it
	// takes.
	works func(harness.Call) bool
	calls int
	first int // calls before the first kill: a slice is done then
	exit  int
	// slices is how many there are at least.
	slices int
	kills  int
	// parallel is how many slices a process works on at a time.
	parallel int
	// forgets says that a node deletes the job when its report is printed.
	forgets bool
}

// A jobStore is where a job is kept: the --jobs flag, and the servers behind it.
type jobStore struct {
	place string
	env   []string
	// members is how many processes can share it.
	members int
	redis   *harness.Redis // nil when there is none
}

// nodeStore is the job store of a node: one file, one process.
func nodeStore(t *testing.T) jobStore {
	return jobStore{place: filepath.Join(t.TempDir(), "jobs"), members: 1}
}

// A jobState is a job as `jobs list --json` shows it.
type jobState struct {
	ID, State string
	Slices    int
	Summary   struct{ Waiting, Running, Done, Failed int }
}

// jobStates are the jobs of a store: a comparison has one for each pass.
type jobStates []jobState

// middle says whether some slices of a job are done and some are not.
func (all jobStates) middle() bool {
	return slices.ContainsFunc(all, func(s jobState) bool { return s.Summary.Done > 0 && s.Summary.Done < s.Slices })
}

// left says whether some slices are not done.
func (all jobStates) left() bool {
	return slices.ContainsFunc(all, func(s jobState) bool { return s.Summary.Done < s.Slices })
}

func (all jobStates) done() (n int) {
	for _, s := range all {
		n += s.Summary.Done
	}
	return n
}

func (all jobStates) String() string {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = fmt.Sprintf("%s %s %d+%d of %d", s.ID, s.State, s.Summary.Done, s.Summary.Running, s.Slices)
	}
	return strings.Join(words, ", ")
}

// jobRun is a task under way.
type jobRun struct {
	task
	store jobStore
	env   []string
	dir   string // where the last process of each member writes its report
	team  *harness.Team
	begun int
	// emptied is how many keys Redis has lost: a job that does not use it would
	// prove nothing.
	emptied int64
}

// start starts a member of the team.
func (r *jobRun) start(t *testing.T) func(member int, s3 string) *harness.Process {
	return func(member int, s3 string) *harness.Process {
		cmd := exec.Command(program, append(slices.Clone(r.args), "--jobs", r.store.place)...)
		cmd.Env = append(slices.Concat(r.env, r.store.env), "AWS_ENDPOINT_URL_S3="+s3)
		out, err := os.Create(r.output(member))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = out.Close() })
		cmd.Stdout = out
		r.begun++
		return harness.Start(t, fmt.Sprintf("standpipe %s, member %d, start %d", r.args[0], member, r.begun), cmd)
	}
}

func (r *jobRun) output(member int) string {
	return filepath.Join(r.dir, fmt.Sprintf("report-%d", member))
}

// report is what a member has printed.
func (r *jobRun) report(t *testing.T, member int) string {
	t.Helper()
	b, err := os.ReadFile(r.output(member))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ask runs `standpipe jobs` with --json.
func (r *jobRun) ask(ctx context.Context, into any, args ...string) error {
	cmd := exec.CommandContext(ctx, program, slices.Concat([]string{"jobs"}, args, []string{"--json", "--jobs", r.store.place})...)
	cmd.Env = slices.Concat(r.env, r.store.env)
	out, err := cmd.Output()
	if err != nil {
		notes := []byte{}
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			notes = failed.Stderr
		}
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, notes)
	}
	return json.Unmarshal(out, into)
}

// state reads the jobs of the store.
func (r *jobRun) state(t *testing.T) (all jobStates) {
	t.Helper()
	if err := r.ask(limited(t, testLimit), &all, "list"); err != nil {
		t.Fatal(err)
	}
	return all
}

// torment starts the task's processes, kills them at random moments and
// starts them again, empties Redis under them, and waits for the end. While the
// store is looked at and something is done to Redis the others stand still.
func torment(t *testing.T, k task, store jobStore, s *stack, seed uint64) *jobRun {
	t.Helper()
	r := &jobRun{task: k, store: store, env: s.endpoints.Environment(), dir: t.TempDir()}
	// The last one leaves a quarter of the work.
	blows := harness.Blows(rand.New(rand.NewPCG(seed, 5)), k.kills, k.first, k.calls*3/4)
	r.team = harness.NewTeam(t, store.members, s.endpoints.S3, k.works, r.start(t))
	middle, midst := 0, 0
	var now jobStates
	for i, b := range blows {
		member, in, err := r.team.Strike(b, jobStill)
		if err != nil {
			t.Fatalf("kill %d, %+v: %v", i+1, b, err)
		}
		if in {
			midst++
		}
		before := now
		now = r.state(t)
		t.Logf("kill %d, %+v, member %d: %v", i+1, b, member, now)
		if now.done() < before.done() {
			t.Errorf("%d slices were done, now %d", before.done(), now.done())
		}
		if now.middle() {
			middle++
		}
		r.upset(t, i+1)
		// The last one that dies in a fleet stays dead, and with it the last who
		// could dispatch everything anew because it has just begun.
		if i+1 < k.kills || store.members == 1 {
			r.team.Start(member)
		}
		r.team.Resume()
	}
	t.Logf("%d kills, %d of them in the midst of a call, %d between the first and the last slice", k.kills, midst, middle)
	if 4*middle < 3*k.kills {
		t.Errorf("only %d of %d kills came between the first and the last slice", middle, k.kills)
	}
	if !now.left() {
		t.Errorf("nothing was left after the last kill: %v", now)
	}
	r.settle(t)
	return r
}

// upset does to Redis what its promise allows: it is emptied at each third of
// the kills and after the last one, and restarted between.
func (r *jobRun) upset(t *testing.T, kill int) {
	t.Helper()
	switch {
	case r.store.redis == nil:
	case kill == r.kills/2:
		r.store.redis.Restart(t)
	case kill == r.kills/3, kill == 2*r.kills/3, kill == r.kills:
		keys, err := r.store.redis.Flush(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("Redis was emptied of %d keys", keys)
		r.emptied += keys
	}
}

// settle waits for the end.
func (r *jobRun) settle(t *testing.T) {
	t.Helper()
	begun := time.Now()
	if err := r.team.Wait(jobRest, r.exit); err != nil {
		t.Fatal(err)
	}
	end := r.state(t)
	t.Logf("ended %v after the last kill: %v", time.Since(begun).Round(time.Millisecond), end)
	for i, job := range end {
		if job.State != "done" || job.Summary.Done != job.Slices || i == 0 && job.Slices < r.slices {
			t.Errorf("job %s is %s: %+v of %d slices, want at least %d", job.ID, job.State, job.Summary, job.Slices, r.slices)
		}
	}
	if len(end) == 0 && !r.forgets {
		t.Error("the store has forgotten the job")
	}
	// Who is killed has begun some slices in vain. Any other claim has met one
	// that somebody worked on.
	if again, lost := r.again(t, end), r.kills*r.parallel; again > lost {
		t.Errorf("%d slices were begun again, by %d kills at most %d", again, r.kills, lost)
	}
	if r.store.redis != nil && r.emptied == 0 {
		t.Error("Redis was empty all the time: nothing is dispatched by it")
	}
	if twice := r.team.Tally.Twice(); len(twice) > 0 {
		t.Errorf("%d objects were written more than once, as %q", len(twice), twice[0])
	}
}

// again is how many slices were claimed that had been claimed before.
func (r *jobRun) again(t *testing.T, all jobStates) (n int) {
	t.Helper()
	for _, job := range all {
		var shown struct{ Parts []struct{ Tries int } }
		if err := r.ask(limited(t, testLimit), &shown, "show", job.ID); err != nil {
			t.Fatal(err)
		}
		for _, s := range shown.Parts {
			n += s.Tries - 1
		}
	}
	t.Logf("%d slices were begun again", n)
	return n
}

// hashes reads every object below a prefix.
func hashes(t *testing.T, s *stack, bucket, prefix string) map[string]string {
	t.Helper()
	a := &harness.Archive{Client: s.s3, Bucket: bucket, Prefix: prefix}
	all, err := a.Sums(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same says how two sets of objects differ.
func same(t *testing.T, want, got map[string]string) {
	t.Helper()
	if maps.Equal(want, got) {
		return
	}
	wrong := 0
	for key, sum := range want {
		if got[key] != sum {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: want %q, got %q", key, sum, got[key])
			}
		}
	}
	for key := range got {
		if _, there := want[key]; !there {
			if wrong++; wrong <= 5 {
				t.Errorf("%s is there and nobody expects it", key)
			}
		}
	}
	t.Errorf("%d objects differ from an undisturbed run's: want %d, got %d", wrong, len(want), len(got))
}
