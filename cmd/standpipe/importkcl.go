package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/kcl"
)

type importKCLCommand struct {
	kclFlags `embed:""`

	DiscardPending bool   `help:"Let positions go that the application prepared and did not commit."`
	StartTime      string `placeholder:"TIME" help:"Where shards begin whose row says LATEST or AT_TIMESTAMP: RFC 3339, or now."`
}

func (importKCLCommand) Help() string {
	return `Continues where an application of the Kinesis Client Library 1.x, 2.x or 3.x stopped, to the record,
inside a KPL aggregate if need be.

When --table is the table of Standpipe.Checkpoint, its rows are taken over in place: stop the
application first. The table is watched for twice the failover time, and refused while a counter
moves or a 3.x worker or leader was alive a moment ago. export-kcl gives it back.

When Standpipe.Checkpoint names another table or is embedded, the leases are copied there and
--table is only read. This is the way for a table of several streams; rows of other streams
are skipped. Leases that are there already stay as they are.

A dry run shows what would become of each row; it does not wait to see whether anybody is at work.

Exit codes: 0 done, or with --dry-run could be; 1 a row or a live application is in the way,
nothing was changed; 2 wrong flags or configuration.

Examples:

    standpipe import-kcl -c standpipe.yaml --table my-kcl-app --dry-run
    standpipe import-kcl -c standpipe.yaml --table my-kcl-app
    standpipe import-kcl -c standpipe.yaml --table my-kcl-app --start-time 2026-11-20T00:00:00Z`
}

func (i *importKCLCommand) Run(ctx context.Context, g *globals, out *console) error {
	start, err := parseStart(i.StartTime, time.Now())
	if err != nil {
		return err
	}
	k, err := i.open(ctx, g, out)
	if err != nil {
		return err
	}
	defer k.table.Close()
	choices := kcl.Choices{InPlace: k.ours, DiscardPending: i.DiscardPending, Start: start, Incarnation: incarnation}
	picture, err := k.look(ctx, k.ours)
	if err != nil {
		return err
	}
	plan := kcl.Adopt(kcl.Rows(picture.Table), k.source, choices)
	if err := k.sameStream(plan); err != nil {
		return err
	}
	rows := importRows(plan, k.ours)
	if err := errors.Join(k.show(rows), refusals(rows)); err != nil || i.DryRun {
		return err
	}
	return k.adopt(ctx, plan)
}

func parseStart(text string, now time.Time) (time.Time, error) {
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usagef("--start-time %s: write a time such as 2026-11-20T00:00:00+09:00, or now", text)
	}
	return t, nil
}

// incarnation names a chain of manifests.
func incarnation() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// sameStream refuses a table that has nothing to do with the stream.
func (k *kclTable) sameStream(plan []kcl.Adoption) error {
	for _, a := range plan {
		known := slices.ContainsFunc(k.source.Shards, func(s standpipe.Shard) bool { return s.ID == a.Row.Lease.Shard })
		if known && (a.Lease.Shard != "" || a.Refusal != "" || a.Row.Ours) {
			return nil
		}
	}
	return &standpipe.Error{
		Class: standpipe.Fatal, Op: "import table " + k.flags.Table,
		Err:  fmt.Errorf("none of its %s is of a shard of stream %s", plural(len(plan), "row"), k.source.Name),
		Hint: "does the application with that table read this stream? Look at KinesisStreamARN and --table",
	}
}

func importRows(plan []kcl.Adoption, inPlace bool) []kclRow {
	rows := make([]kclRow, 0, len(plan))
	for _, a := range plan {
		r := kclRow{
			Row: a.Row.Key, Shard: string(a.Row.Lease.Shard), Checkpoint: a.Row.Lease.Checkpoint.String(),
			Owner: a.Row.Lease.Owner, Action: actionCopy, Notes: a.Notes,
		}
		switch {
		case a.Refusal != "":
			r.Action, r.Notes = actionRefuse, append([]string{a.Refusal}, a.Notes...)
		case a.Skip != "":
			r.Action, r.Notes = actionSkip, []string{a.Skip}
		case inPlace:
			r.Action = actionAdopt
		}
		rows = append(rows, r)
	}
	return rows
}

// adopt does what the plan says. A second run goes on where a first one stopped.
func (k *kclTable) adopt(ctx context.Context, plan []kcl.Adoption) error {
	todo := slices.DeleteFunc(plan, func(a kcl.Adoption) bool { return a.Skip != "" })
	if k.ours {
		for _, a := range todo {
			if err := k.table.Rewrite(ctx, a.InPlace(k.table.WriteID())); err != nil {
				return err
			}
		}
		k.out.note("%s taken over; start standpipe run", plural(len(todo), "lease"))
		return nil
	}
	store, err := openStore(ctx, k.cfg, k.settings)
	if err != nil {
		return err
	}
	made := 0
	for _, a := range todo {
		a.Lease.Counter, a.Lease.OwnerSwitches = 0, 0
		switch err := store.Create(ctx, a.Lease); {
		case errors.Is(err, checkpoint.ErrExists):
			k.out.note("%s has a lease already, it stays as it is", a.Lease.Shard)
		case err != nil:
			return errors.Join(err, store.Close())
		default:
			made++
		}
	}
	k.out.note("%s copied; start standpipe run", plural(made, "lease"))
	return store.Close()
}
