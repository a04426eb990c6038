package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vmihailenco/taskq/v3"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
)

type jobsCommand struct {
	List   jobsListCommand   `cmd:"" help:"List the jobs, oldest first."`
	Show   jobsShowCommand   `cmd:"" help:"Show a job and each of its slices."`
	Cancel jobsCancelCommand `cmd:"" help:"Stop a job for good; what is done stays done."`
	Resume jobsResumeCommand `cmd:"" help:"Take a cancellation back and give failed slices new tries."`
}

func (jobsCommand) Help() string {
	return `Long work (redrive and its like) is cut into slices, and a file in the --jobs folder keeps what is
done. The command that began a job does the work: run it again to go on after an interruption. While
it runs it holds the file and shows its own progress; Ctrl-C stops it.

Examples:

    standpipe jobs list
    standpipe jobs show redrive-5b1f0c9a2d7e-1 --json
    standpipe jobs cancel redrive-5b1f0c9a2d7e-1
    standpipe jobs resume redrive-5b1f0c9a2d7e-1`
}

// A jobsFolder is where a node keeps its jobs.
type jobsFolder struct {
	Jobs string `default:"./.standpipe/jobs" placeholder:"DIR" help:"Folder of the job store (default: ./.standpipe/jobs)."`
}

// open opens, or makes, the store.
func (f jobsFolder) open() (jobBackend, error) {
	store, err := embedded.Open(f.Jobs)
	return nodeJobs{store}, err
}

// nodeJobs is the backend of one node: store and queue in one file.
type nodeJobs struct{ *embedded.Store }

func (n nodeJobs) NewQueue(o *taskq.QueueOptions) jobs.Queue { return n.Store.NewQueue(o) }

// there reports whether a store exists.
func (f jobsFolder) there() (bool, error) {
	_, err := os.Stat(filepath.Join(f.Jobs, embedded.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// existing opens a store that must be there: looking at jobs makes none.
func (f jobsFolder) existing() (jobBackend, error) {
	there, err := f.there()
	if err != nil {
		return nil, fmt.Errorf("open the job store in %s: %w", f.Jobs, err)
	}
	if !there {
		return nil, &standpipe.Error{
			Class: standpipe.NotFound, Op: "there is no job store in " + f.Jobs,
			Hint: "--jobs names the folder that was given to the command that began the job",
		}
	}
	return f.open()
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
	parts, err := store.Slices(ctx, j.ID)
	sum := jobs.Summarize(parts)
	return jobReport{Job: j, State: sum.State(j), Summary: sum, Parts: parts}, err
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
	jobsFolder
	JSON bool `help:"Write JSON."`
}

func (c *jobsListCommand) Run(ctx context.Context, out *console) (err error) {
	store, err := c.existing()
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
		r.Parts = nil
		reports, rows = append(reports, r), append(rows, r.row(out))
	}
	if c.JSON {
		return out.writeJSON(reports)
	}
	return writeTable(out.stdout, rows)
}

type jobsShowCommand struct {
	jobsFolder
	JSON bool   `help:"Write JSON, with what each slice was given and what it found."`
	ID   string `arg:"" help:"A job's id, see jobs list."`
}

func (c *jobsShowCommand) Run(ctx context.Context, out *console) (err error) {
	return c.with(ctx, c.ID, func(store jobs.Store, j jobs.Job) error {
		r, err := reportJob(ctx, store, j)
		if err != nil {
			return err
		}
		if c.JSON {
			return out.writeJSON(r)
		}
		if err := writeTable(out.stdout, [][]cell{jobsHeader(out), r.row(out)}); err != nil {
			return err
		}
		fmt.Fprintln(out.stdout)
		rows := [][]cell{{{text: "SLICE", dress: out.bold, right: true}, {text: "STATE", dress: out.bold}, {text: "TRIES", dress: out.bold, right: true}, {text: "PART", dress: out.bold}, {text: "ERROR", dress: out.bold}}}
		for _, s := range r.Parts {
			rows = append(rows, []cell{{text: fmt.Sprint(s.Number), right: true}, {text: string(s.State)}, {text: fmt.Sprint(s.Tries), right: true}, {text: s.Name}, {text: s.Error}})
		}
		return writeTable(out.stdout, rows)
	})
}

// with opens the store and reads one job of it for f.
func (f jobsFolder) with(ctx context.Context, id string, use func(jobs.Store, jobs.Job) error) (err error) {
	store, err := f.existing()
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
	jobsFolder
	JSON bool   `help:"Write the job as JSON."`
	ID   string `arg:"" help:"A job's id, see jobs list."`
}

func (c *jobsCancelCommand) Run(ctx context.Context, out *console) error {
	return c.change(ctx, out, c.ID, c.JSON, jobs.Cancel)
}

type jobsResumeCommand struct {
	jobsFolder
	JSON bool   `help:"Write the job as JSON."`
	ID   string `arg:"" help:"A job's id, see jobs list."`
}

func (c *jobsResumeCommand) Run(ctx context.Context, out *console) error {
	err := c.change(ctx, out, c.ID, c.JSON, jobs.Resume)
	if err == nil {
		out.note("standpipe: run the command that began the job again: it goes on")
	}
	return err
}

func (f jobsFolder) change(ctx context.Context, out *console, id string, asJSON bool, do func(context.Context, jobs.Store, string) (jobs.Job, error)) error {
	return f.with(ctx, id, func(store jobs.Store, _ jobs.Job) error {
		j, err := do(ctx, store, id)
		if err != nil {
			return err
		}
		r, err := reportJob(ctx, store, j)
		if err != nil {
			return err
		}
		if asJSON {
			r.Parts = nil
			return out.writeJSON(r)
		}
		return writeTable(out.stdout, [][]cell{jobsHeader(out), r.row(out)})
	})
}
