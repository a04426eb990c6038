package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/internal/sim"
	"github.com/standpipe/standpipe/manifest"
	sinkmem "github.com/standpipe/standpipe/sink/memory"
)

// A bucket is what the workers of a simulation write to.
type bucket struct {
	sink      *sinkmem.Sink
	stream    string          // as manifests name it
	discarded map[string]bool // upload ids that a worker discarded
}

// visible counts every line of every object that is no state.
func (b *bucket) visible() map[string]int {
	seen := map[string]int{}
	for _, o := range b.sink.Objects() {
		if strings.HasPrefix(o.Key, manifest.StatePrefix) {
			continue
		}
		for line := range strings.Lines(string(o.Body)) {
			seen[strings.TrimSuffix(line, "\n")]++
		}
	}
	return seen
}

// checkPlan is I5: a worker never discards an upload that a prepared intent names (R5).
func (b *bucket) checkPlan(i Intent) string {
	plan := i.Plan
	if plan == nil {
		body, err := b.sink.Read(context.Background(), i.PlanKey, planLimit)
		if err != nil {
			return "I5 the prepared intent's plan cannot be read: " + err.Error()
		}
		p, err := decodePlan(body, i.PlanSHA256)
		if err != nil {
			return "I5 " + err.Error()
		}
		plan = &p
	}
	for _, o := range plan.Objects {
		if b.discarded[o.ID] {
			return fmt.Sprintf("I5 upload %s of the prepared intent %s was discarded by a worker", o.ID, i.ID)
		}
	}
	return ""
}

// manifest reads manifest n of a lease's chain.
func (b *bucket) manifest(l checkpoint.Lease, n int64) (m manifest.Manifest, err error) {
	body, err := b.sink.Read(context.Background(), manifest.Key(manifest.Origin{Stream: b.stream, Incarnation: l.Incarnation, Shard: l.Shard}, n), 1<<20)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(body, &m)
}

// A ledger is what was put into one shard, and how far its lease has been seen.
type ledger struct {
	shard  *sim.Shard
	lines  map[string]int   // line → index of its record
	lowest checkpoint.Lease // the furthest lease seen, for I4
}

// record makes a record of none to three lines. Arrivals go back and forth
// over a few seconds, so that most flushes have several objects.
func (g *ledger) record(r *rand.Rand, n int) standpipe.Record {
	var data []byte
	for k := range r.IntN(4) {
		line := fmt.Sprintf("%s record %d line %d", g.shard.Info.ID, n, k)
		g.lines[line] = n
		data = fmt.Appendf(data, "%s\n", line)
	}
	return standpipe.Record{
		Sequence: fmt.Appendf(nil, "%d", 1000+n*10), Data: data,
		Arrival: time.Date(1999, 12, 31, 23, 59, 58+r.IntN(3), 0, time.UTC), // a run begins at midnight
	}
}

// check is every invariant of one shard, asked between any two steps.
func (g *ledger) check(l checkpoint.Lease, b *bucket) string {
	return g.checkLines(l, b, b.visible())
}

func (g *ledger) checkLines(l checkpoint.Lease, b *bucket, seen map[string]int) string {
	through := g.last(l.Checkpoint)
	pending := through
	if l.Pending != nil {
		pending = g.last(l.Pending.Position)
	}
	told := g.told(l, b)
	for line, record := range g.lines {
		switch n := seen[line]; {
		case n > 1:
			return fmt.Sprintf("I1 %q is visible %d times", line, n)
		case n == 0 && record <= through && !told[record]:
			return fmt.Sprintf("I2 %q is before the checkpoint %s and not visible", line, l.Checkpoint)
		case n == 1 && record > pending:
			return fmt.Sprintf("I3 %q is visible but neither committed nor prepared", line)
		}
	}
	before := g.lowest
	g.lowest = l
	switch {
	case before.Shard != "" && (l.Flush < before.Flush || l.Epoch < before.Epoch || l.Commits < before.Commits || l.Checkpoint.Compare(before.Checkpoint) < 0):
		return fmt.Sprintf("I4 the lease went backwards from %+v to %+v", before, l)
	case l.Pending == nil:
		return ""
	}
	i, err := decodeIntent(l.Pending.State)
	if err != nil {
		return "I4 " + err.Error()
	}
	if i.Base != l.Checkpoint {
		return fmt.Sprintf("I4 intent %s starts after %s, the checkpoint is %s", i.ID, i.Base, l.Checkpoint)
	}
	return b.checkPlan(i)
}

// told is which of the records that retention took are in a gap of a committed
// manifest.
func (g *ledger) told(l checkpoint.Lease, b *bucket) map[int]bool {
	told := map[int]bool{}
	for n := int64(1); n <= l.Commits && g.shard.Trimmed > 0; n++ {
		m, err := b.manifest(l, n)
		if err != nil {
			continue // checkEnd says so
		}
		for _, gap := range m.Gaps {
			end := g.shard.Trimmed
			if gap.Before != "" {
				end = min(end, g.last(standpipe.Position{Sequence: gap.Before}))
			}
			for k := g.last(gap.After) + 1; k < end; k++ {
				told[k] = true
			}
		}
	}
	return told
}

// last is the index of the last record at or before p.
func (g *ledger) last(p standpipe.Position) int {
	switch {
	case p.AtEnd():
		return len(g.shard.Records)
	case p.AtStart():
		return -1
	}
	for n, r := range g.shard.Records {
		if standpipe.CompareSequence(string(r.Sequence), p.Sequence) > 0 {
			return n - 1
		}
	}
	return len(g.shard.Records) - 1
}

// checkEnd asks at the end what only then is true: the chain of manifests is
// the proof of the whole shard. It returns the keys that the chain names.
func (g *ledger) checkEnd(b *bucket, l checkpoint.Lease) (keys []string, violation string) {
	previous := standpipe.Position{Sequence: standpipe.TrimHorizon}
	var all, want standpipe.Digest
	var records int64
	for n := int64(1); n <= l.Commits; n++ {
		m, err := b.manifest(l, n)
		if err != nil {
			return nil, fmt.Sprintf("M manifest %d of %s: %v", n, l.Shard, err)
		}
		if m.Number != n || m.Previous != previous {
			return nil, fmt.Sprintf("M manifest %d of %s has number %d and follows %s, want %s", n, l.Shard, m.Number, m.Previous, previous)
		}
		previous = m.Last
		records += m.Counts.Records
		d, err := standpipe.ParseDigest(m.Counts.Lines, m.Hash)
		if err != nil {
			return nil, "M " + err.Error()
		}
		all.Merge(d)
		for _, o := range m.Objects {
			keys = append(keys, o.Key)
		}
	}
	told := g.told(l, b)
	for line, record := range g.lines {
		if !told[record] {
			want.Add([]byte(line))
		}
	}
	switch {
	case !previous.AtEnd():
		return nil, "M the last manifest does not end the shard"
	case records+int64(len(told)) != int64(len(g.shard.Records)):
		return nil, fmt.Sprintf("M the manifests of %s count %d records of %d, and tell of %d that were trimmed", l.Shard, records, len(g.shard.Records), len(told))
	case all != want:
		return nil, "M the manifests' hash is not that of the stream's lines"
	}
	return keys, ""
}

// checkStray demands that every visible object is in a manifest and holds
// only lines that were put.
func (b *bucket) checkStray(keys []string, lines ...map[string]int) string {
	named := map[string]bool{}
	for _, k := range keys {
		named[k] = true
	}
	for _, o := range b.sink.Objects() {
		if !strings.HasPrefix(o.Key, manifest.StatePrefix) && !named[o.Key] {
			return "M object " + o.Key + " is in no manifest"
		}
	}
	for line := range b.visible() {
		known := false
		for _, of := range lines {
			_, ok := of[line]
			known = known || ok
		}
		if !known {
			return fmt.Sprintf("M %q is visible and was never in the stream", line)
		}
	}
	return ""
}
