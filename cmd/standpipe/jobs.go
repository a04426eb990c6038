package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
)

type jobsCommand struct {
	List   jobsListCommand   `cmd:"" help:"List the jobs, oldest first."`
	Show   jobsShowCommand   `cmd:"" help:"Show a job and each of its slices."`
	Cancel jobsCancelCommand `cmd:"" help:"Stop a job for good; what is done stays done."`
	Resume jobsResumeCommand `cmd:"" help:"Take a cancellation back and give failed slices new tries."`
	Delete jobsDeleteCommand `cmd:"" help:"Forget a job that has ended or was cancelled."`
}

func (jobsCommand) Help() string {
	return `Long work (redrive and its like) is cut into slices, and a job store keeps what is done. The command
that began a job does the work: the same command again goes on after an interruption, and ends with
the same report.

--jobs PLACE says where, and is the same for every command. It may stand in STANDPIPE_JOBS, which
keeps a password off the command line, or in a configuration (Standpipe.Jobs).

A folder is for one machine. While a command works on its jobs it holds the file and shows its own
progress; Ctrl-C stops it, and these commands have to wait.

redis://HOST:6379/0 is for several: give the same command, with the same flags, on another machine
and it joins the job; each prints the report when all slices have ended. A DynamoDB table is the record
(standpipe-jobs; CHECKPOINT-TABLE-jobs with a configuration; table=NAME says otherwise), made with
create=true. Redis only dispatches and may be emptied at any time. cancel and resume reach jobs that
are worked on elsewhere within seconds.

Examples:

    standpipe jobs list
    standpipe jobs show redrive-5b1f0c9a2d7e-1 --json
    standpipe jobs cancel redrive-5b1f0c9a2d7e-1
    standpipe jobs resume redrive-5b1f0c9a2d7e-1
    standpipe jobs delete redrive-5b1f0c9a2d7e-1
    STANDPIPE_JOBS='rediss://:PASSWORD@cache.internal:6379/0?create=true' standpipe jobs list`
}

// jobsFlags are the flags of jobs' own commands.
type jobsFlags struct {
	jobsFolder
	Config string `short:"c" placeholder:"FILE" help:"Take the place, and a fleet's region and table, from this configuration."`
}

// found opens the store that the flags name.
func (f jobsFlags) found(out *console) (jobBackend, error) {
	if f.Config == "" {
		return f.existing()
	}
	c, err := loadConfig(f.Config, out)
	if err != nil {
		return nil, err
	}
	return f.of(c).existing()
}

// A jobReport is a job as the commands show it.
type jobReport struct {
	jobs.Job
	State   string       `json:"state"`
	Summary jobs.Summary `json:"summary"`
	// Parts are left out of lists.
	Parts []jobs.Slice `json:"parts,omitempty"`
}

func reportJob(ctx context.Context, store jobs.Store, j jobs.Job) (jobReport, error) {
	parts, err := store.States(ctx, j.ID)
	sum := jobs.Summarize(parts)
	return jobReport{Job: j, State: sum.State(j), Summary: sum}, err
}

func (r jobReport) row(out *console) []cell {
	c := cell{text: r.State}
	if r.State == "failed" {
		c.dress = out.red
	}
	return []cell{
		{text: r.ID},
		c,
		{text: fmt.Sprintf("%d of %d", r.Summary.Done, r.Slices), right: true},
		{text: fmt.Sprint(r.Summary.Failed), right: true},
		{text: r.Created.UTC().Format(time.RFC3339)},
		{text: r.Title},
	}
}

func jobsHeader(out *console) []cell {
	var row []cell
	for _, title := range []string{"JOB", "STATE", "DONE", "FAILED", "CREATED", "WHAT"} {
		row = append(row, cell{text: title, dress: out.bold, right: title == "DONE" || title == "FAILED"})
	}
	return row
}

type jobsListCommand struct {
	jobsFlags
	JSON bool `help:"Write JSON."`
}

func (c *jobsListCommand) Run(ctx context.Context, out *console) (err error) {
	store, err := c.found(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	all, err := store.Jobs(ctx)
	if err != nil {
		return err
	}
	reports, rows := []jobReport{}, [][]cell{jobsHeader(out)}
	for _, j := range all {
		r, err := reportJob(ctx, store, j)
		if err != nil {
			return err
		}
		reports, rows = append(reports, r), append(rows, r.row(out))
	}
	if c.JSON {
		return out.writeJSON(reports)
	}
	if err := writeTable(out.stdout, rows); err != nil {
		return err
	}
	if old := olderThan(reports, time.Now().Add(-jobKeep)); len(old) > 0 {
		out.note("standpipe: %s ended and began more than %d days ago; standpipe jobs delete forgets them: %s", plural(len(old), "job"), int(jobKeep.Hours()/24), strings.Join(old, " "))
	}
	return nil
}

// jobKeep is after what time a job that has ended is named as old.
const jobKeep = 30 * 24 * time.Hour

func olderThan(reports []jobReport, t time.Time) (ids []string) {
	for _, r := range reports {
		if r.Summary.Ended() && r.Created.Before(t) {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

type jobsShowCommand struct {
	jobsFlags
	JSON bool   `help:"Write JSON, with what each slice was given and what it found."`
	ID   string `arg:"" help:"A job's id, see jobs list."`
}

func (c *jobsShowCommand) Run(ctx context.Context, out *console) (err error) {
	return c.with(ctx, out, c.ID, func(store jobs.Store, j jobs.Job) error {
		parts, err := store.Slices(ctx, j.ID)
		if err != nil {
			return err
		}
		sum := jobs.Summarize(parts)
		r := jobReport{Job: j, State: sum.State(j), Summary: sum, Parts: parts}
		if c.JSON {
			return out.writeJSON(r)
		}
		if err := writeTable(out.stdout, [][]cell{jobsHeader(out), r.row(out)}); err != nil {
			return err
		}
		fmt.Fprintln(out.stdout)
		rows := [][]cell{{{text: "SLICE", dress: out.bold, right: true}, {text: "STATE", dress: out.bold}, {text: "TRIES", dress: out.bold, right: true}, {text: "WORKER", dress: out.bold}, {text: "PART", dress: out.bold}, {text: "ERROR", dress: out.bold}}}
		for _, s := range r.Parts {
			rows = append(rows, []cell{{text: fmt.Sprint(s.Number), right: true}, {text: string(s.State)}, {text: fmt.Sprint(s.Tries), right: true}, {text: s.Owner}, {text: s.Name}, {text: s.Error}})
		}
		return writeTable(out.stdout, rows)
	})
}

// with opens the store and reads one job of it for f.
func (f jobsFlags) with(ctx context.Context, out *console, id string, use func(jobs.Store, jobs.Job) error) (err error) {
	store, err := f.found(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	j, err := store.Job(ctx, id)
	if errors.Is(err, jobs.ErrNotFound) {
		return &standpipe.Error{Class: standpipe.NotFound, Op: "there is no job " + id, Hint: "standpipe jobs list shows them"}
	}
	if err != nil {
		return err
	}
	return use(store, j)
}

type jobsCancelCommand struct {
	jobsFlags
	JSON bool   `help:"Write the job as JSON."`
	ID   string `arg:"" help:"A job's id, see jobs list."`
}

func (c *jobsCancelCommand) Run(ctx context.Context, out *console) error {
	return c.change(ctx, out, c.ID, c.JSON, jobs.Cancel)
}

type jobsResumeCommand struct {
	jobsFlags
	JSON bool   `help:"Write the job as JSON."`
	ID   string `arg:"" help:"A job's id, see jobs list."`
}

func (c *jobsResumeCommand) Run(ctx context.Context, out *console) error {
	err := c.change(ctx, out, c.ID, c.JSON, jobs.Resume)
	if err == nil {
		out.note("standpipe: it goes on wherever it is worked on, and when the command that began it is given again")
	}
	return err
}

func (f jobsFlags) change(ctx context.Context, out *console, id string, asJSON bool, do func(context.Context, jobs.Store, string) (jobs.Job, error)) error {
	return f.with(ctx, out, id, func(store jobs.Store, _ jobs.Job) error {
		j, err := do(ctx, store, id)
		if err != nil {
			return err
		}
		r, err := reportJob(ctx, store, j)
		if err != nil {
			return err
		}
		if asJSON {
			return out.writeJSON(r)
		}
		return writeTable(out.stdout, [][]cell{jobsHeader(out), r.row(out)})
	})
}

type jobsDeleteCommand struct {
	jobsFlags
	DryRun bool   `help:"Show what would be forgotten; forget nothing."`
	JSON   bool   `help:"Write the job as JSON."`
	ID     string `arg:"" help:"A job's id, see jobs list."`
}

func (jobsDeleteCommand) Help() string {
	return `Forgets a job, its slices and what they found. What they did stays. The command that began the job
would begin anew: a redrive into a stream, for one, would send everything again.

A job that has neither ended nor been cancelled is refused: standpipe jobs cancel ID comes first.`
}

func (c *jobsDeleteCommand) Run(ctx context.Context, out *console) error {
	return c.with(ctx, out, c.ID, func(store jobs.Store, j jobs.Job) error {
		r, err := reportJob(ctx, store, j)
		switch {
		case err != nil && standpipe.ClassOf(err) == standpipe.Fatal:
			// Rows of it are missing, and forgetting it is what mends that.
			out.note("standpipe: %v", err)
			r.State = "damaged"
		case err != nil:
			return err
		case !j.Cancelled && !r.Summary.Ended():
			return &standpipe.Error{
				Class: standpipe.Fatal, Op: "delete job " + j.ID, Err: fmt.Errorf("it has not ended, %d of %s are done", r.Summary.Done, plural(j.Slices, "slice")),
				Hint: "finish it, or standpipe jobs cancel " + j.ID + " first",
			}
		}
		verb := "would be forgotten"
		if !c.DryRun {
			verb = "forgotten"
			if err := store.Delete(ctx, j.ID); err != nil {
				return err
			}
		}
		if c.JSON {
			return out.writeJSON(r)
		}
		if err := writeTable(out.stdout, [][]cell{jobsHeader(out), r.row(out)}); err != nil {
			return err
		}
		out.note("standpipe: %s: the job, its spec and what its %s found", verb, plural(j.Slices, "slice"))
		return nil
	})
}
