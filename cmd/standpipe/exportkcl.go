package main

import (
	"context"
	"errors"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/kcl"
	"github.com/standpipe/standpipe/config"
)

type exportKCLCommand struct {
	kclFlags `embed:""`

	Clean bool `help:"Remove all attributes of standpipe, also those that KCL leaves alone."`
}

func (exportKCLCommand) Help() string {
	return `Hands the leases of Standpipe.Checkpoint to an application of the Kinesis Client Library, which
continues after the last record that is in a visible object. Stop every standpipe first: with
SIGTERM it commits what it has. A table is watched before it is written to, as import-kcl does.

When --table is the table of Standpipe.Checkpoint, its rows are handed back in place; workers' rows
are removed. Otherwise the leases are written into --table, which must be there; a row that is
further than standpipe is never moved back.

standpipe does not touch handed-back rows again until import-kcl takes them over.

Exit codes: 0 done, or with --dry-run could be; 1 a prepared flush or somebody at work is in the
way, nothing was changed; 2 wrong flags or configuration.

Examples:

    standpipe export-kcl -c standpipe.yaml --table my-kcl-app --dry-run
    standpipe export-kcl -c standpipe.yaml --table my-kcl-app --clean`
}

func (x *exportKCLCommand) Run(ctx context.Context, g *globals, out *console) error {
	k, err := x.open(ctx, g, out)
	if err != nil {
		return err
	}
	defer k.table.Close()
	if k.cfg.Standpipe.Deaggregation == config.DeaggregateOff {
		out.note("Standpipe.Deaggregation is off: KCL will deliver the rest of each shard's last aggregate once more")
	}
	picture, err := k.look(ctx, true)
	if err != nil {
		return err
	}
	roster, err := k.leases(ctx, picture)
	if err != nil {
		return err
	}
	if x.Force {
		roster.Leases = disowned(roster.Leases)
	}
	plan := kcl.Return(roster.Leases, roster.Workers, kcl.Rows(picture.Table), k.source, x.Clean)
	rows := exportRows(plan, roster.Workers)
	if err := errors.Join(k.show(rows), refusals(rows)); err != nil || x.DryRun {
		return err
	}
	return k.handBack(ctx, plan, roster.Workers)
}

// leases are those of the configuration's store. Rows that were handed back
// before are left out, so that a second run goes on where a first one stopped.
func (k *kclTable) leases(ctx context.Context, p kcl.Picture) (r checkpoint.Roster, err error) {
	if !k.ours {
		store, err := openStore(ctx, k.cfg, k.settings)
		if err != nil {
			return r, err
		}
		r, err = store.Roster(ctx)
		if err == nil && len(r.Workers) > 0 && !k.flags.Force {
			err = &standpipe.Error{
				Class: standpipe.Fenced, Op: "export the leases", Err: errors.New(plural(len(r.Workers), "worker") + " of standpipe may be at work on it"),
				Hint: "stop them with SIGTERM and run the command again; --force if they are gone for good",
			}
		}
		r.Workers = nil
		return r, errors.Join(err, store.Close())
	}
	for _, item := range p.Table {
		if kcl.IsWorker(item) {
			w, err := kcl.DecodeWorker(item)
			if err != nil {
				return r, err
			}
			r.Workers = append(r.Workers, w)
		}
	}
	for _, row := range kcl.Rows(p.Table) {
		if row.Ours && row.Err != nil {
			return r, row.Err
		}
		if row.Ours {
			r.Leases = append(r.Leases, row.Lease)
		}
	}
	return r, nil
}

// disowned takes --force at its word: no owner is at work.
func disowned(leases []checkpoint.Lease) []checkpoint.Lease {
	for i := range leases {
		leases[i].Owner = ""
	}
	return leases
}

func exportRows(plan []kcl.HandBack, workers []checkpoint.Worker) []kclRow {
	rows := make([]kclRow, 0, len(plan)+len(workers))
	for _, h := range plan {
		r := kclRow{
			Row: h.Rewrite.Key, Shard: string(h.Lease.Shard), Checkpoint: h.Lease.Checkpoint.String(),
			Owner: h.Lease.Owner, Action: actionReturn, Notes: h.Notes,
		}
		switch {
		case h.Refusal != "":
			r.Action, r.Notes = actionRefuse, append([]string{h.Refusal}, h.Notes...)
		case h.Rewrite.Counter == nil:
			r.Action = actionMake
		}
		rows = append(rows, r)
	}
	for _, w := range workers {
		rows = append(rows, kclRow{Row: kcl.WorkerKey(w.ID), Owner: w.ID, Action: actionRemove, Notes: []string{"row of a worker that has stopped"}})
	}
	return rows
}

func (k *kclTable) handBack(ctx context.Context, plan []kcl.HandBack, workers []checkpoint.Worker) error {
	for _, h := range plan {
		if err := k.table.Rewrite(ctx, h.Rewrite); err != nil {
			return err
		}
	}
	for _, w := range workers {
		if err := k.table.Remove(ctx, w.ID); err != nil {
			return err
		}
	}
	k.out.note("%s handed back; the application can start", plural(len(plan), "lease"))
	return nil
}
