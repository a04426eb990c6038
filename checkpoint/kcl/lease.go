package kcl

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// mandatory are the attributes whose absence makes KCL 2.x give up the whole
// table and KCL 3.x skip the row.
var mandatory = []string{Counter, Switches, Checkpoint, Sub}

// EncodeLease is the whole item of a lease, as Create writes it.
func EncodeLease(l checkpoint.Lease) Item {
	item := Item{
		Key: S(string(l.Shard)), Counter: N(l.Counter), Switches: N(l.OwnerSwitches),
		Checkpoint: S(l.Checkpoint.Sequence), Sub: N(l.Checkpoint.Sub),
		Epoch: N(l.Epoch), Flush: N(l.Flush), Commits: N(l.Commits),
	}
	for name, value := range map[string]string{
		Owner: l.Owner, Successor: l.Successor, HashStart: l.HashStart, HashEnd: l.HashEnd, Incarnation: l.Incarnation,
	} {
		if value != "" {
			item[name] = S(value)
		}
	}
	if len(l.Parents) > 0 {
		item[Parents] = SS(l.Parents)
	}
	if len(l.Children) > 0 {
		item[Children] = SS(l.Children)
	}
	if p := l.Pending; p != nil {
		item[PendingSeq], item[PendingSub] = S(p.Position.Sequence), N(p.Position.Sub)
		if len(p.State) > 0 {
			item[PendingData] = B(p.State)
		}
	}
	if !l.StreamCreated.IsZero() {
		item[StreamCreated] = Time(l.StreamCreated)
	}
	if !l.StartTime.IsZero() {
		item[StartTime] = Time(l.StartTime)
	}
	if !l.Seen.IsZero() {
		item[Seen] = Time(l.Seen)
	}
	if l.Gaps != 0 {
		item[Gaps] = N(l.Gaps)
	}
	if l.LastGap != nil {
		item[LastGap] = S(EncodeGap(*l.LastGap))
	}
	return item
}

// DecodeLease reads the item of a lease, whoever wrote it: what only standpipe
// writes may be absent. The shard is the key; see ParseRow for multi-stream keys.
func DecodeLease(item Item) (checkpoint.Lease, error) {
	r := &reader{item: item}
	for _, name := range mandatory {
		if item[name] == nil && r.err == nil {
			r.err = fmt.Errorf("attribute %s is missing", name)
		}
	}
	l := checkpoint.Lease{
		Shard: standpipe.ShardID(read(r, text, Key)), Owner: read(r, text, Owner), Successor: read(r, text, Successor),
		Counter: read(r, number, Counter), OwnerSwitches: read(r, number, Switches),
		Parents: read(r, set[standpipe.ShardID], Parents), Children: read(r, set[standpipe.ShardID], Children),
		HashStart: read(r, text, HashStart), HashEnd: read(r, text, HashEnd),
		Epoch: read(r, number, Epoch), Flush: read(r, number, Flush), Commits: read(r, number, Commits),
		Incarnation: read(r, text, Incarnation), StreamCreated: read(r, moment, StreamCreated),
		StartTime: read(r, moment, StartTime), Seen: read(r, moment, Seen),
		Gaps: read(r, number, Gaps), LastGap: read(r, gap, LastGap),
	}
	l.Checkpoint = read(r, positionOf(Checkpoint, Sub), Checkpoint)
	if item[PendingSeq] != nil {
		p := checkpoint.Pending{Position: read(r, positionOf(PendingSeq, PendingSub), PendingSeq)}
		// KCL's create writes this attribute as a number by mistake, up to 3.5.1
		// at least: only a binary one is a state.
		if b, ok := item[PendingData].(*types.AttributeValueMemberB); ok && len(b.Value) > 0 {
			p.State = b.Value
		}
		l.Pending = &p
	}
	if r.err != nil {
		return checkpoint.Lease{}, fmt.Errorf("lease %q: %w", l.Shard, r.err)
	}
	return l, nil
}

func positionOf(sequence, sub string) func(Item, string) (standpipe.Position, error) {
	return func(item Item, _ string) (p standpipe.Position, err error) {
		r := &reader{item: item}
		seq, n := read(r, text, sequence), read(r, number, sub)
		if r.err != nil {
			return p, r.err
		}
		if p, err = standpipe.ParsePosition(seq, n); err != nil {
			return p, fmt.Errorf("attribute %s: %w", sequence, err)
		}
		return p, nil
	}
}

// Ours says that standpipe wrote the row last, or took it over.
func Ours(item Item) bool { return item[Write] != nil }

// IsLease says that the item is a lease: no worker of ours, and none of the
// other rows that KCL 3.5 keeps in the table.
func IsLease(item Item) bool {
	if IsWorker(item) {
		return false
	}
	entity, ok := item[Entity].(*types.AttributeValueMemberS)
	return !ok || entity.Value == "LEASE"
}

// EncodeGap is a gap as its attribute has it.
func EncodeGap(g standpipe.Gap) string {
	b, err := json.Marshal(g)
	if err != nil { // cannot happen: plain data only
		panic(fmt.Sprintf("encode gap: %v", err))
	}
	return string(b)
}

func gap(item Item, name string) (*standpipe.Gap, error) {
	s, err := text(item, name)
	if err != nil || s == "" {
		return nil, err
	}
	var g standpipe.Gap
	if err := json.Unmarshal([]byte(s), &g); err != nil {
		return nil, fmt.Errorf("attribute %s is no gap: %w", name, err)
	}
	return &g, nil
}
