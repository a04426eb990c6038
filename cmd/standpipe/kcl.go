package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint/dynamodb"
	"github.com/standpipe/standpipe/checkpoint/kcl"
	"github.com/standpipe/standpipe/config"
	"github.com/standpipe/standpipe/internal/backoff"
)

// kclFlags are those that import-kcl and export-kcl share.
type kclFlags struct {
	Config   string        `short:"c" required:"" placeholder:"FILE" help:"Configuration of the delivery stream."`
	Table    string        `required:"" placeholder:"NAME" help:"Lease table of the KCL application: its application name."`
	DryRun   bool          `help:"Show what would be done and do nothing."`
	JSON     bool          `help:"Write the plan as JSON."`
	Failover time.Duration `default:"10s" help:"The application's failoverTimeMillis. The table has to be still for twice as long."`
	Force    bool          `help:"Do not look whether anybody is at work on the table."`
}

// A kclTable is a lease table and what is to be done with it.
type kclTable struct {
	flags    kclFlags
	cfg      *config.Config
	settings aws.Config
	table    *dynamodb.Table
	source   kcl.Source
	// ours: the table is the one of the configuration, so rows stay where they are.
	ours bool
	out  *console
}

// open reads the configuration, describes the stream and finds the table.
func (f kclFlags) open(ctx context.Context, g *globals, out *console) (*kclTable, error) {
	if f.Failover <= 0 {
		return nil, usagef("--failover %s: give the application's failoverTimeMillis, 10s by default", f.Failover)
	}
	c, err := loadConfig(f.Config, out)
	if err != nil {
		return nil, err
	}
	settings, err := loadAWS(ctx, g.Region, c.KinesisStreamSourceConfiguration.Region())
	if err != nil {
		return nil, err
	}
	k := &kclTable{flags: f, cfg: c, settings: settings, out: out}
	k.ours = c.Standpipe.Checkpoint.Type == config.CheckpointDynamoDB && c.Standpipe.Checkpoint.Table == f.Table
	if k.source, err = describeSource(ctx, c, settings); err != nil {
		return nil, err
	}
	k.table = tableOf(c, settings, f.Table)
	if err := k.table.Ready(ctx); err != nil {
		k.table.Close()
		if e, ok := errors.AsType[*standpipe.Error](err); ok && !k.ours && e.Class == standpipe.NotFound {
			e.Hint = "there is no table " + f.Table + " in this region and account: is --table right? It is the name of the KCL application"
		}
		return nil, err
	}
	return k, nil
}

func describeSource(ctx context.Context, c *config.Config, settings aws.Config) (s kcl.Source, err error) {
	client := kinesisClient(c, settings)
	defer client.Close()
	if s.Stream, err = client.Describe(ctx); err != nil {
		return s, err
	}
	if parts := strings.Split(c.KinesisStreamSourceConfiguration.KinesisStreamARN, ":"); len(parts) > 4 {
		s.Account = parts[4]
	}
	s.Shards, err = client.Shards(ctx)
	return s, err
}

// look returns the table's picture. Whoever is about to change rows looks long
// enough to see others at work; a dry run does not wait.
func (k *kclTable) look(ctx context.Context, changes bool) (kcl.Picture, error) {
	if !changes || k.flags.DryRun {
		return k.table.Picture(ctx)
	}
	return k.still(ctx)
}

// still returns the table's picture after it was watched for long enough that
// anybody at work would have shown; an error names who did.
func (k *kclTable) still(ctx context.Context) (kcl.Picture, error) {
	before, err := k.table.Picture(ctx)
	if err != nil || k.flags.Force {
		return before, err
	}
	watch := kcl.WatchFor(before, k.flags.Failover)
	k.out.note("watching table %s for %s: nobody may be at work on it", k.flags.Table, watch)
	if err := backoff.Sleep(ctx, watch); err != nil {
		return before, err
	}
	after, err := k.table.Picture(ctx)
	if err != nil {
		return after, err
	}
	if reasons := kcl.Alive(before, after, time.Now()); len(reasons) > 0 {
		return after, &standpipe.Error{
			Class: standpipe.Fenced, Op: "watch table " + k.flags.Table,
			Err:  errors.New("somebody is at work on it:\n  " + strings.Join(shorten(reasons, 10), "\n  ")),
			Hint: "stop every worker of it, then run the command again; --force skips the look",
		}
	}
	return after, nil
}

// shorten keeps the first lines of a list that may be as long as a table.
func shorten(lines []string, most int) []string {
	if len(lines) <= most {
		return lines
	}
	return append(lines[:most:most], fmt.Sprintf("and %d more", len(lines)-most))
}

// A kclRow is one line of a plan, for people and for programs.
type kclRow struct {
	Row        string   `json:"row"`
	Shard      string   `json:"shard"`
	Checkpoint string   `json:"checkpoint"`
	Owner      string   `json:"owner,omitempty"`
	Action     string   `json:"action"`
	Notes      []string `json:"notes,omitempty"`
}

// The actions of a plan.
const (
	actionAdopt  = "take over"
	actionCopy   = "copy"
	actionReturn = "hand back"
	actionMake   = "make"
	actionRemove = "remove"
	actionSkip   = "skip"
	actionRefuse = "refused"
)

// show writes the plan.
func (k *kclTable) show(rows []kclRow) error {
	if k.flags.JSON {
		return k.out.writeJSON(map[string]any{"table": k.flags.Table, "stream": k.source.Name, "dryRun": k.flags.DryRun, "rows": rows})
	}
	table := [][]cell{{{text: "SHARD", dress: k.out.bold}, {text: "CHECKPOINT", dress: k.out.bold}, {text: "OWNER", dress: k.out.bold}, {text: "ACTION", dress: k.out.bold}, {text: "NOTES", dress: k.out.bold}}}
	for _, r := range rows {
		action := cell{text: r.Action}
		if r.Action == actionRefuse {
			action.dress = k.out.red
		}
		table = append(table, []cell{{text: r.Shard}, {text: r.Checkpoint}, {text: orDash(r.Owner)}, action, {text: strings.Join(r.Notes, "; ")}})
	}
	return writeTable(k.out.stdout, table)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// refusals is the error of a plan with rows that cannot be done, nil without.
func refusals(rows []kclRow) error {
	n := 0
	for _, r := range rows {
		if r.Action == actionRefuse {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s refused, nothing was changed; the notes say why and what to do", plural(n, "row"))
}
