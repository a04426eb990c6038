package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/compare"
	"github.com/standpipe/standpipe/internal/backoff"
	"github.com/standpipe/standpipe/jobs"
)

// compareKind is the kind of a comparison's jobs.
const compareKind = "compare"

// A compareWork is one comparison as jobs: one for each pass over the objects.
// Their ids begin with a hash of what is compared, so that the same command
// finds them again, here and elsewhere.
type compareWork struct {
	out    *console
	store  *leanStore
	cfg    compare.Config
	prefix string
	last   string // the job worked on last
	// stillness is how long slices stand still when nobody works on them.
	stillness time.Duration
}

func newCompareWork(out *console, store jobBackend, cfg compare.Config) *compareWork {
	return &compareWork{
		out: out, store: newLeanStore(store), cfg: cfg,
		prefix: compareKind + "-" + cfg.Fingerprint() + "-", stillness: compareStillness,
	}
}

// run compares: with resume, goes on with what there is, else anew.
func (w *compareWork) run(ctx context.Context, resume bool) (*compare.Report, error) {
	if !resume {
		if err := w.forget(ctx); err != nil {
			return nil, err
		}
	}
	for {
		plan, err := w.planned(ctx)
		if err != nil {
			return nil, err
		}
		if plan == nil && resume {
			w.out.note("standpipe: there is nothing to resume: a comparison begins")
		}
		cfg := w.cfg
		cfg.Plan, cfg.Execute = plan, w.execute
		report, err := compare.Run(ctx, cfg)
		if errors.Is(err, errOtherPlan) && resume {
			continue // another machine was faster: its plan counts
		}
		return report, err
	}
}

// errOtherPlan: the jobs in the store are not those of our plan, or not there.
var errOtherPlan = errors.New("the same comparison was begun anew elsewhere, or its job was deleted: give --resume to join it")

// scanID is the id of the first pass, which holds the plan.
func (w *compareWork) scanID() string { return w.prefix + compareJobs[compare.PhaseScan] }

// compareJobs are the words for the passes in ids and titles.
var compareJobs = map[string]string{compare.PhaseScan: "scan", compare.PhaseLocate: "locate"}

// planned is the plan of the comparison there is, or nil.
func (w *compareWork) planned(ctx context.Context) (*compare.Plan, error) {
	j, err := w.store.Job(ctx, w.scanID())
	if errors.Is(err, jobs.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", w.scanID(), err)
	}
	var p compare.Pass
	if err := json.Unmarshal(j.Spec, &p); err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	parts, err := w.store.Slices(ctx, j.ID)
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	plan := &compare.Plan{Now: p.Now, JSON: p.JSON}
	for _, part := range parts {
		var s compare.Slice
		if err := json.Unmarshal(part.Spec, &s); err != nil {
			return nil, fmt.Errorf("read slice %d of job %s: %w", part.Number, j.ID, err)
		}
		plan.Slices = append(plan.Slices, s)
	}
	sum := jobs.Summarize(parts)
	w.out.note("standpipe: going on with the comparison of %s: %d of %d slices of its first pass are done", p.Now.UTC().Format(time.RFC3339), sum.Done, len(parts))
	return plan, nil
}

// compareStillness is somewhat more than the claim timeout of jobs.
const compareStillness = 20 * time.Second

// forget deletes the jobs of an earlier comparison of the same things, if nobody
// works on them.
func (w *compareWork) forget(ctx context.Context) error {
	all, err := w.mine(ctx)
	if err != nil {
		return err
	}
	if !w.store.Alone() {
		if err := w.idle(ctx, all); err != nil {
			return err
		}
	}
	for _, j := range all {
		if err := w.store.Delete(ctx, j.ID); err != nil {
			return fmt.Errorf("delete job %s: %w", j.ID, err)
		}
	}
	return nil
}

// mine are the jobs of this comparison.
func (w *compareWork) mine(ctx context.Context) ([]jobs.Job, error) {
	all, err := w.store.Jobs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the jobs: %w", err)
	}
	var mine []jobs.Job
	for _, j := range all {
		if strings.HasPrefix(j.ID, w.prefix) {
			mine = append(mine, j)
		}
	}
	return mine, nil
}

// idle is an error when somebody works on one of the jobs. It looks twice:
// whoever works moves a revision every few seconds.
func (w *compareWork) idle(ctx context.Context, all []jobs.Job) error {
	for _, j := range all {
		before, err := w.revisions(ctx, j)
		if err != nil || before == nil {
			return err
		}
		w.out.note("standpipe: job %s has not ended; looking for %v whether somebody works on it", j.ID, w.stillness)
		if err := backoff.Sleep(ctx, w.stillness); err != nil {
			return err
		}
		after, err := w.revisions(ctx, j)
		if err != nil {
			return err
		}
		if !bytes.Equal(before, after) {
			return &standpipe.Error{
				Class: standpipe.Fatal, Op: "begin a comparison", Err: fmt.Errorf("another machine works on the same one, job %s", j.ID),
				Hint: "join it with --resume, or stop it by standpipe jobs cancel " + j.ID,
			}
		}
	}
	return nil
}

// revisions is a picture of a job's slices that changes when one of them does;
// nil when the job has ended or was cancelled.
func (w *compareWork) revisions(ctx context.Context, j jobs.Job) ([]byte, error) {
	parts, err := w.store.Slices(ctx, j.ID)
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", j.ID, err)
	}
	if j.Cancelled || jobs.Summarize(parts).Ended() {
		return nil, nil
	}
	var b []byte
	for _, s := range parts {
		b = fmt.Appendf(b, "%d ", s.Revision)
	}
	return b, nil
}

// execute is the comparison's compare.Executor.
func (w *compareWork) execute(ctx context.Context, p compare.Pass, all []compare.Slice, take func(int, compare.Outcome) error) error {
	if len(all) == 0 {
		return nil
	}
	j, plan, err := w.job(p, all)
	if err != nil {
		return err
	}
	if err := w.again(ctx, j.ID); err != nil {
		return err
	}
	if err := w.store.Create(ctx, j, plan); err != nil && !errors.Is(err, jobs.ErrExists) {
		return fmt.Errorf("create job %s: %w", j.ID, err)
	}
	if err := w.ours(ctx, j); err != nil {
		return err
	}
	w.last = j.ID
	if err := w.work(ctx, p, j, plan, all); err != nil {
		return err
	}
	if err := w.ours(ctx, j); err != nil {
		return err
	}
	for i := range all {
		s, err := w.store.Slice(ctx, j.ID, i)
		if err != nil {
			return fmt.Errorf("read slice %d of job %s: %w", i, j.ID, err)
		}
		if !s.Ended() && s.Result == nil {
			return errOtherPlan
		}
		if err := take(i, outcomeOf(s)); err != nil {
			return fmt.Errorf("job %s: %w", j.ID, err)
		}
	}
	return nil
}

// work runs a job to its end.
func (w *compareWork) work(ctx context.Context, p compare.Pass, j jobs.Job, plan []jobs.Slice, all []compare.Slice) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w.store.follow(j.ID, all, shares{phase: p.Phase, tell: w.cfg.Progress}, func() { stop(errOtherPlan) })
	run := jobRun{
		out: w.out, store: w.store, parallel: w.cfg.Workers, quiet: true, // the progress is ours
		handlers: map[string]jobs.Handler{compareKind: w.do},
	}
	_, err := run.run(ctx, j, plan)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// ours is an error when the job in the store is not the one we know: somebody
// else planned the same comparison, or began it anew.
func (w *compareWork) ours(ctx context.Context, j jobs.Job) error {
	stored, err := w.store.Job(ctx, j.ID)
	if errors.Is(err, jobs.ErrNotFound) || err == nil && !sameJSON(stored.Spec, j.Spec) {
		return errOtherPlan
	}
	if err != nil {
		return fmt.Errorf("read job %s: %w", j.ID, err)
	}
	return nil
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

func outcomeOf(s jobs.Slice) compare.Outcome {
	if s.State == jobs.Failed {
		return compare.Outcome{Failed: s.Error}
	}
	return compare.Outcome{Result: s.Result} // a slice that is given new tries keeps it
}

// job is a pass as a job.
func (w *compareWork) job(p compare.Pass, all []compare.Slice) (jobs.Job, []jobs.Slice, error) {
	spec, err := json.Marshal(p)
	if err != nil {
		return jobs.Job{}, nil, fmt.Errorf("encode the pass: %w", err)
	}
	word := compareJobs[p.Phase]
	id := w.prefix + word
	if p.Phase != compare.PhaseScan {
		sum := sha256.Sum256(spec)
		id += "-" + hex.EncodeToString(sum[:6]) // what is looked for depends on what was read
	}
	j := jobs.Job{ID: id, Kind: compareKind, Spec: spec, Created: p.Now, Slices: len(all), Title: fmt.Sprintf("%s %s and %s", word, p.Places[compare.A], p.Places[compare.B])}
	plan := make([]jobs.Slice, len(all))
	for i, s := range all {
		spec, err := json.Marshal(s)
		if err != nil {
			return j, nil, fmt.Errorf("encode slice %d: %w", i, err)
		}
		plan[i] = jobs.Slice{Job: id, Number: i, Name: s.Name, Spec: spec, State: jobs.Waiting}
	}
	return j, plan, nil
}

// do is the handler of a slice.
func (w *compareWork) do(ctx context.Context, t jobs.Task) (json.RawMessage, error) {
	var (
		p compare.Pass
		s compare.Slice
	)
	if err := errors.Join(json.Unmarshal(t.Job.Spec, &p), json.Unmarshal(t.Slice.Spec, &s)); err != nil {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "read the slice", Err: err}
	}
	if p.Places != w.cfg.Places {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: "compare", Err: fmt.Errorf("the job is about %s and %s", p.Places[compare.A], p.Places[compare.B])}
	}
	return p.Run(ctx, w.cfg.Stores, s, func(o compare.Object, lines int64) { w.store.seen(t.Slice.Number, o, lines) })
}

// again gives new tries to the slices of an ended job that failed or met
// objects they could not read.
func (w *compareWork) again(ctx context.Context, id string) error {
	j, err := w.store.Job(ctx, id)
	if errors.Is(err, jobs.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read job %s: %w", id, err)
	}
	parts, err := w.store.Slices(ctx, id)
	if err != nil || !jobs.Summarize(parts).Ended() {
		return err
	}
	for i := range j.Slices {
		s, err := w.store.Slice(ctx, id, i)
		if err != nil {
			return fmt.Errorf("read slice %d of job %s: %w", i, id, err)
		}
		if s.State == jobs.Done && !compare.Troubled(s.Result) {
			continue
		}
		if _, err := w.store.Put(ctx, s.Resume()); err != nil && !errors.Is(err, jobs.ErrChanged) {
			return fmt.Errorf("resume slice %d of job %s: %w", i, id, err)
		}
	}
	return nil
}

// kept is the job that holds what was done, "" when there is none yet.
func (w *compareWork) kept() string { return w.last }

// end deletes the jobs when nobody can have a use for them: on one node after a
// whole report. A fleet's stay until the next comparison of the same things
// begins, because other machines print the report too.
func (w *compareWork) end(ctx context.Context, r *compare.Report) error {
	if !w.store.Alone() || len(r.Problems) > 0 {
		return nil
	}
	return w.forget(context.WithoutCancel(ctx))
}
