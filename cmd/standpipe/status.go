package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/status"
)

const (
	// statusTimeout is more than the reader takes to believe that a shard has left
	// the stream: two waits of five seconds and its calls.
	statusTimeout = 20 * time.Second
	// statusMax bounds an answer: 10,000 shards are about 4 MB.
	statusMax = 32 << 20
)

type statusCommand struct {
	Config          string         `short:"c" placeholder:"FILE" xor:"source" help:"Ask the checkpoint store and the stream of this configuration, not a process."`
	URL             string         `placeholder:"URL" xor:"source" help:"Ask this address (default: /api/status of STANDPIPE_STATUS_ADDRESS, else of 127.0.0.1:9410)."`
	JSON            bool           `help:"Write the report as JSON."`
	Watch           bool           `short:"w" help:"Again and again until Ctrl-C."`
	Interval        time.Duration  `default:"2s" help:"Time between two looks of --watch."`
	FailIfFreshness *time.Duration `placeholder:"AGE" help:"Exit 1 when the oldest undelivered record is older, or a shard was not read for longer, for cron and alarms."`
}

func (statusCommand) Help() string {
	return `A process knows its own shards best; of the others of its fleet it shows what their leases say.
With --config nobody is asked but the leases and, for what waits in each shard, the stream; that
works while no process runs. It reads one page of each shard.

Ages are seen from the process that reports. Behind is how far reading is behind the newest
record, with the time since the last page when none comes; oldest is the age of the oldest record that waits to be delivered.

Examples:

    standpipe status
    standpipe status --watch
    standpipe status -c standpipe.yaml
    standpipe status --fail-if-freshness 15m > /dev/null
    standpipe status --json | jq '.shards[] | select(.state == "failed")'`
}

func (s *statusCommand) Run(ctx context.Context, g *globals, out *console) error {
	switch {
	case s.Watch && s.FailIfFreshness != nil:
		return usagef("--fail-if-freshness looks once: leave --watch out")
	case s.FailIfFreshness != nil && *s.FailIfFreshness <= 0:
		return usagef("--fail-if-freshness %v: give a positive duration like 15m", *s.FailIfFreshness)
	case s.Interval <= 0:
		return usagef("--interval %v: give a positive duration like 2s", s.Interval)
	}
	ask, err := s.source(g, out)
	if err != nil {
		return err
	}
	if s.Watch {
		return s.watch(ctx, ask, out)
	}
	report, err := s.look(ctx, ask, out)
	if err != nil || s.FailIfFreshness == nil {
		return err
	}
	return judgeFreshness(report, *s.FailIfFreshness)
}

// judgeFreshness is an error when something waits for longer than limit, or may:
// the age of what cannot be read is not known.
func judgeFreshness(r status.Report, limit time.Duration) error {
	if age := r.FreshnessSeconds.Duration(); age > limit {
		return fmt.Errorf("the oldest undelivered record is %s old, the limit is %s", formatAge(age), formatAge(limit))
	}
	for _, s := range r.Shards {
		if unread := s.UnreadSeconds.Duration(); unread > limit {
			return fmt.Errorf("%s was not read for %s, the limit is %s: what waits in it is not known", s.ID, formatAge(unread), formatAge(limit))
		}
		if unanswered(r, s) {
			return fmt.Errorf("%s: %s", s.ID, s.Problem)
		}
	}
	return nil
}

// source is where the report comes from.
func (s *statusCommand) source(g *globals, out *console) (func(context.Context) (status.Report, error), error) {
	if s.Config != "" {
		c, err := loadConfig(s.Config, out)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context) (status.Report, error) { return storeReport(ctx, c, g.Region, time.Now()) }, nil
	}
	address, err := statusURL(s.URL, os.Getenv(statusAddressVariable), "/api/status")
	if err != nil {
		return nil, usage(err)
	}
	return func(ctx context.Context) (status.Report, error) { return processReport(ctx, address) }, nil
}

// unanswered says that the stream was asked what waits in a shard and did not
// tell. A process asks nothing: it says for how long it could not read.
func unanswered(r status.Report, s status.Shard) bool {
	return r.Worker.ID == "" && s.BehindSeconds == nil && (s.State == status.ShardDelivering || s.State == status.ShardUnowned)
}

// processReport asks a running process.
func processReport(ctx context.Context, address string) (report status.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	body, err := fetch(ctx, address, statusMax)
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(body, &report); err != nil || report.Schema == 0 {
		return report, errors.Join(fmt.Errorf("%s did not answer with a report: is that standpipe?", address), err)
	}
	if report.Schema != status.SchemaVersion {
		return report, fmt.Errorf("%s answers with schema %d, this command knows %d: use the version that runs there",
			address, report.Schema, status.SchemaVersion)
	}
	return report, nil
}

// watch looks until ctx ends, which is the ordinary end and no error. A look
// that fails is shown, and the next one may succeed: processes restart.
func (s *statusCommand) watch(ctx context.Context, ask func(context.Context) (status.Report, error), out *console) error {
	tick := time.NewTicker(s.Interval)
	defer tick.Stop()
	for {
		if out.stdoutTTY && !s.JSON {
			fmt.Fprint(out.stdout, "\x1b[H\x1b[2J")
		}
		if _, err := s.look(ctx, ask, out); err != nil && ctx.Err() == nil {
			out.note("standpipe: %v", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look asks once and shows the answer.
func (s *statusCommand) look(ctx context.Context, ask func(context.Context) (status.Report, error), out *console) (status.Report, error) {
	report, err := ask(ctx)
	switch {
	case err != nil:
		return report, err
	case s.JSON:
		return report, out.writeJSON(report.Normal())
	}
	return report, writeReport(out.stdout, report, out)
}

// paint is how a report marks what matters.
type paint interface {
	bold(s string) string
	red(s string) string
}

// writeReport renders a report for people. Ages are relative to its own time.
func writeReport(w io.Writer, r status.Report, p paint) error {
	var b strings.Builder
	name := r.Stream.Name
	if r.Stream.Delivery != "" && r.Stream.Delivery != name {
		name = r.Stream.Delivery + " (" + name + ")"
	}
	fmt.Fprintf(&b, "%s -> %s\n", p.bold(name), r.Stream.Destination)
	if r.Worker.ID != "" {
		fmt.Fprintf(&b, "worker %s  %s  up %s  at %s\n", dash(r.Worker.ID), dash(r.Worker.Version),
			formatAge(r.Worker.UptimeSeconds.Duration()), r.Time.UTC().Format(time.RFC3339))
	} else {
		fmt.Fprintf(&b, "from the leases, at %s\n", r.Time.UTC().Format(time.RFC3339))
	}
	writeFleet(&b, r, p)
	b.WriteString(freshnessLine(r, p))
	fmt.Fprintf(&b, "read %s records, %s   delivered %s lines   rejected %s   objects %s, %s\n\n",
		formatCount(r.Totals.RecordsRead), formatBytes(r.Totals.BytesRead), formatCount(r.Totals.LinesDelivered),
		redIf(p, r.Totals.LinesRejected > 0, formatCount(r.Totals.LinesRejected)),
		formatCount(r.Totals.ObjectsPublished), formatBytes(r.Totals.BytesPublished))
	if err := writeTable(&b, shardRows(r, p)); err != nil {
		return err
	}
	writeIntents(&b, r)
	writeTroubles(&b, r, p)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFleet says who shares the work; a worker that is alone has said so above.
func writeFleet(b *strings.Builder, r status.Report, p paint) {
	if len(r.Fleet) > 1 || (len(r.Fleet) == 1 && r.Worker.ID == "") {
		fmt.Fprintf(b, "fleet of %s:", plural(len(r.Fleet), "worker"))
		for _, w := range r.Fleet {
			leaving := ""
			if w.Leaving {
				leaving = " (leaving)"
			}
			fmt.Fprintf(b, "  %s %s%s", w.ID, plural(w.Shards, "shard"), leaving)
		}
		b.WriteString("\n")
	}
	switch {
	case r.Starved > 0:
		b.WriteString(p.red(plural(r.Starved, "shard")+" with nobody, and no worker may take more: raise Standpipe.Lease.MaxShards or add workers") + "\n")
	case r.Unowned > 0:
		b.WriteString(p.red(plural(r.Unowned, "shard")+" with nobody") + "\n")
	}
}

func freshnessLine(r status.Report, p paint) string {
	fresh := "nothing waits"
	if r.FreshnessSeconds != nil {
		fresh = "freshness " + formatAge(r.FreshnessSeconds.Duration())
		if limit := r.FreshnessLimitSeconds; limit != nil {
			// Twice the interval is where the alarm stands: one for the batch, one for delivery.
			late := *r.FreshnessSeconds > 2**limit
			fresh = redIf(p, late, fresh+" (interval "+formatAge(limit.Duration())+")")
		}
	}
	switch blind := blindness(r); {
	case blind == "":
	case r.FreshnessSeconds == nil:
		fresh = p.red(blind)
	default:
		fresh += "   " + p.red(blind)
	}
	s := fresh
	if r.HeadroomSeconds != nil {
		s += "   headroom " + formatAge(r.HeadroomSeconds.Duration())
	}
	s += "   buffered " + formatBytes(r.BufferedBytes)
	if r.BufferLimitBytes > 0 {
		s += " of " + formatBytes(r.BufferLimitBytes)
	}
	return s + "\n"
}

// blindness says why what waits is not known, "" when it is.
func blindness(r status.Report) string {
	var unread time.Duration
	for _, s := range r.Shards {
		if unanswered(r, s) {
			return "what waits is not known"
		}
		unread = max(unread, s.UnreadSeconds.Duration())
	}
	if unread == 0 {
		return ""
	}
	return "not read for " + formatAge(unread)
}

func redIf(p paint, yes bool, s string) string {
	if yes {
		return p.red(s)
	}
	return s
}

func shardRows(r status.Report, p paint) [][]cell {
	var head []cell
	for i, h := range []string{"SHARD", "STATE", "OWNER", "BEHIND", "BUFFERED", "OLDEST", "LAST OBJECT", "CHECKPOINT"} {
		head = append(head, cell{text: h, right: i >= 3 && i <= 6, dress: p.bold})
	}
	rows := [][]cell{head}
	for _, s := range r.Shards {
		state := cell{text: string(s.State)}
		if s.State == status.ShardFailed {
			state.dress = p.red
		}
		owner := s.Owner
		if s.Mine {
			owner = "this"
		}
		buffered := "-"
		if s.Mine {
			buffered = formatBytes(s.BufferedBytes)
		}
		last := "-"
		if s.LastObject != nil {
			last = formatAge(r.Time.Sub(s.LastObject.Time)) + " ago"
		}
		rows = append(rows, []cell{
			{text: string(s.ID)},
			state,
			{text: dash(owner)},
			{text: behind(s), right: true},
			{text: buffered, right: true},
			{text: seconds(s.OldestSeconds), right: true},
			{text: last, right: true},
			{text: position(s.Checkpoint)},
		})
	}
	return rows
}

func writeIntents(b *strings.Builder, r status.Report) {
	if len(r.Intents) == 0 {
		return
	}
	fmt.Fprintf(b, "\npending intents: %d\n", len(r.Intents))
	for _, i := range r.Intents {
		age := ""
		if !i.Prepared.IsZero() {
			age = "  prepared " + formatAge(r.Time.Sub(i.Prepared)) + " ago"
		}
		fmt.Fprintf(b, "  %s  %s  %d objects, %s  to %s%s\n", i.Shard, i.ID, i.Objects, formatBytes(i.Bytes), position(&i.Last), age)
	}
}

func writeTroubles(b *strings.Builder, r status.Report, p paint) {
	if len(r.Gaps) > 0 {
		fmt.Fprintf(b, "\n%s\n", p.red(fmt.Sprintf("gaps: %d (records that were gone before they could be read)", len(r.Gaps))))
		for _, g := range r.Gaps {
			fmt.Fprintf(b, "  %s  after %s until %s  found %s  %s\n", g.Shard, position(&g.After), position(g.Until),
				g.Found.UTC().Format(time.RFC3339), g.Cause)
		}
	}
	var lines []string
	for _, t := range r.Problems {
		lines = append(lines, formatAge(r.Time.Sub(t.Time))+" ago  "+t.Text)
	}
	for _, s := range r.Shards {
		if s.Problem != "" {
			lines = append(lines, string(s.ID)+"  "+s.Problem)
		}
	}
	if len(lines) > 0 {
		b.WriteString("\nlast problems\n  " + strings.Join(lines, "\n  ") + "\n")
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func seconds(s *status.Seconds) string {
	if s == nil {
		return "-"
	}
	return formatAge(s.Duration())
}

// behind is what Kinesis said at the last page and the time without one since.
func behind(s status.Shard) string {
	if s.UnreadSeconds == nil {
		return seconds(s.BehindSeconds)
	}
	return formatAge(s.BehindSeconds.Duration() + s.UnreadSeconds.Duration())
}

// position shortens a sequence number of 56 digits to its ends; --json has it whole.
func position(p *standpipe.Position) string {
	if p == nil {
		return "-"
	}
	s := p.String()
	if len(s) > 20 && standpipe.ValidSequence(p.Sequence) {
		return s[:4] + "..." + s[len(s)-12:]
	}
	return s
}
