package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/internal/awsclient"
)

// A Form is how records are printed.
type Form string

// The forms.
const (
	// Lines prints each line of each record, ended by one newline.
	Lines Form = "lines"
	// JSON prints one object per record, see Object.
	JSON Form = "json"
	// Raw prints the data as it is, with nothing between records.
	Raw Form = "raw"
)

// Config says what to follow and what to print.
type Config struct {
	Client *consumer.Client
	// From is where the shards that exist begin; those that appear later are
	// read whole.
	From consumer.Start
	// Began is the time of the command: without Follow, what arrived later
	// need not be waited for.
	Began time.Time
	// To leaves out what arrived at that time or later; zero is no end.
	To time.Time
	// Shards to read, or nil for all and their children to come.
	Shards []standpipe.ShardID
	// Match, if any, must match a line (Form Lines) or a record's data.
	Match *regexp.Regexp
	// Count ends the run after so many lines (Form Lines) or records; 0 is no end.
	Count int64
	// Deaggregation is what becomes of KPL aggregates.
	Deaggregation consumer.Deaggregation
	// Follow waits for more at the tip of the stream.
	Follow bool
	Form   Form
	// Out is written to by one goroutine at a time.
	Out io.Writer
	// Note is told what a reader should know but did not ask for, from several
	// goroutines.
	Note func(format string, args ...any)
}

// Limits is the share of a shard one tail takes: half of its bandwidth, and one
// call of its five per second.
func Limits() consumer.Limits {
	l := consumer.DefaultLimits()
	l.BytesPerSecond /= 2
	return l
}

// memory is what all pages in hand may take together, in bytes: four of the
// largest.
const memory = 4 * consumer.MaxPage

// errEnough ends the run: Count was reached.
var errEnough = errors.New("enough")

// Run reads until nothing is left to read, Count is reached, a repeat can't
// help (the error), or ctx ends (its cause).
func Run(ctx context.Context, cfg Config) error {
	stream, err := cfg.Client.Describe(ctx)
	if err != nil {
		return plain("describe stream "+cfg.Client.Name(), err)
	}
	shards, err := cfg.Client.Shards(ctx)
	if err != nil {
		return plain("list shards of "+cfg.Client.Name(), err)
	}
	f := &follower{
		cfg: cfg, memory: semaphore.NewWeighted(memory), out: &printer{cfg: &cfg},
		known: make(map[standpipe.ShardID]*member),
	}
	if err := f.choose(shards); err != nil {
		return err
	}
	if horizon := cfg.Began.Add(-stream.Retention); stream.Retention > 0 && cfg.From.Position.Sequence == standpipe.AtTimestamp && cfg.From.Time.Before(horizon) {
		cfg.Note("%s keeps %d hours: reading from the oldest record there is", stream.Name, int(stream.Retention.Hours()))
	}
	f.group, ctx = errgroup.WithContext(ctx)
	f.begin(ctx)
	err = f.group.Wait()
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// A follower knows which shards are read, which wait and which are done.
type follower struct {
	cfg    Config
	group  *errgroup.Group
	memory *semaphore.Weighted
	out    *printer

	mu    sync.Mutex
	known map[standpipe.ShardID]*member // guarded by mu
}

// A member is one shard that is followed.
type member struct {
	shard          standpipe.Shard
	from           consumer.Start
	started, ended bool
}

// choose decides which of the shards that exist are read.
func (f *follower) choose(shards []standpipe.Shard) error {
	listed := make(map[standpipe.ShardID]bool, len(shards))
	wanted := make(map[standpipe.ShardID]bool, len(f.cfg.Shards))
	for _, s := range shards {
		listed[s.ID] = true
	}
	for _, id := range f.cfg.Shards {
		if !listed[id] {
			return &standpipe.Error{
				Class: standpipe.NotFound, Op: fmt.Sprintf("shard %s is not in stream %s", id, f.cfg.Client.Name()),
				Hint: "it has " + names(shards),
			}
		}
		wanted[id] = true
	}
	for _, s := range shards {
		// After the tip of a closed shard nothing comes.
		over := s.Closed && f.cfg.From.Position.Sequence == standpipe.Latest
		if wanted[s.ID] || len(wanted) == 0 && !over {
			f.known[s.ID] = &member{shard: s, from: f.cfg.From}
		}
	}
	return nil
}

// names lists the first few shards.
func names(shards []standpipe.Shard) string {
	const most = 4
	var ids []string
	for i, s := range consumer.Order(shards) {
		if i == most {
			ids = append(ids, fmt.Sprintf("and %d more", len(shards)-most))
			break
		}
		ids = append(ids, string(s.ID))
	}
	return strings.Join(ids, ", ")
}

// begin starts every shard that waits for no parent.
func (f *follower) begin(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	shards := make([]standpipe.Shard, 0, len(f.known))
	for _, m := range f.known {
		shards = append(shards, m.shard)
	}
	for _, s := range consumer.Startable(shards, func(id standpipe.ShardID) bool { return f.known[id].ended }) {
		if m := f.known[s.ID]; !m.started {
			m.started = true
			f.group.Go(func() error { return f.follow(ctx, m.shard, m.from) })
		}
	}
}

// ended lets the children of a shard begin. Children nobody knew yet came into
// being while their parent was read, so they are read from their beginning;
// without Follow they are later than what was asked for.
func (f *follower) ended(ctx context.Context, id standpipe.ShardID, children []standpipe.Shard) {
	f.mu.Lock()
	f.known[id].ended = true
	for _, c := range children {
		if f.known[c.ID] == nil && len(f.cfg.Shards) == 0 && f.cfg.Follow {
			f.known[c.ID] = &member{shard: c, from: consumer.Start{Position: standpipe.Position{Sequence: standpipe.TrimHorizon}}}
		}
	}
	f.mu.Unlock()
	f.begin(ctx)
}

// plain takes the SDK's envelope off what Kinesis answered, and off errors of
// the connection and of missing credentials.
func plain(op string, err error) error {
	_, unreached := errors.AsType[*net.OpError](err)
	if unreached || awsclient.Code(err) != "" || standpipe.ClassOf(err) == standpipe.Denied {
		return awsclient.Classify(op, err)
	}
	return err
}
