package kcl_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/checkpointtest"
	"github.com/standpipe/standpipe/checkpoint/kcl"
)

const shard0, shard1 = "shardId-000000000000", "shardId-000000000001"

// row is a lease as KCL 2.x writes it; changes are attribute, value pairs, nil removes.
func row(key string, changes ...any) kcl.Item {
	item := kcl.Item{
		kcl.Key: kcl.S(key), kcl.Counter: kcl.N(41), kcl.Switches: kcl.N(0), kcl.Checkpoint: kcl.S("1001"), kcl.Sub: kcl.N(0),
		kcl.HashStart: kcl.S("0"), kcl.HashEnd: kcl.S("99"),
	}
	for i := 0; i < len(changes); i += 2 {
		name := changes[i].(string)
		switch v := changes[i+1].(type) {
		case nil:
			delete(item, name)
		case string:
			item[name] = kcl.S(v)
		case int:
			item[name] = kcl.N(int64(v))
		case []byte:
			item[name] = kcl.B(v)
		case []string:
			item[name] = kcl.SS(v)
		}
	}
	return item
}

var created = time.Date(2026, 11, 1, 10, 0, 0, 250e6, time.UTC)

func source() kcl.Source {
	return kcl.Source{
		Stream: standpipe.Stream{Name: "orders", Created: created}, Account: "123456789012",
		Shards: []standpipe.Shard{{ID: shard0, HashStart: "0", HashEnd: "49"}, {ID: shard1, HashStart: "50", HashEnd: "99", Parents: []standpipe.ShardID{"shardId-000000000009"}}},
	}
}

func adopt(c kcl.Choices, items ...kcl.Item) []kcl.Adoption {
	c.Incarnation = func() string { return "inc" }
	return kcl.Adopt(kcl.Rows(items), source(), c)
}

func TestALeaseIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := checkpointtest.Fresh(standpipe.ShardID(rapid.StringMatching(`shardId-[0-9]{12}`).Draw(t, "shard")))
		l.Owner = rapid.SampledFrom([]string{"", "me"}).Draw(t, "owner")
		l.Counter, l.Epoch, l.Flush = rapid.Int64Min(0).Draw(t, "counter"), rapid.Int64Min(0).Draw(t, "epoch"), rapid.Int64Min(0).Draw(t, "flush")
		if rapid.Bool().Draw(t, "pending") {
			l.Pending = &checkpoint.Pending{Position: standpipe.Position{Sequence: rapid.StringMatching(`[1-9][0-9]{0,55}`).Draw(t, "sequence")}, State: rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "state")}
		}
		got, err := kcl.DecodeLease(kcl.EncodeLease(l))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l, got, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// The four attributes without which KCL 2.x gives up the whole table, with the
// types KCL asks for.
func TestEveryRowHasWhatKCLCannotDoWithout(t *testing.T) {
	for name, item := range map[string]kcl.Item{
		"lease":  kcl.EncodeLease(checkpointtest.Fresh(shard0)),
		"worker": kcl.WorkerColumns(checkpoint.Worker{ID: "w"}),
	} {
		if name == "worker" {
			item[kcl.Counter] = kcl.N(1) // the heartbeat's
		}
		for attribute, want := range map[string]types.AttributeValue{
			kcl.Counter: kcl.N(0), kcl.Switches: kcl.N(0), kcl.Checkpoint: kcl.S(""), kcl.Sub: kcl.N(0),
		} {
			if got := fmt.Sprintf("%T", item[attribute]); got != fmt.Sprintf("%T", want) {
				t.Errorf("%s: %s is %s, want %T", name, attribute, got, want)
			}
		}
		if item[kcl.Owner] != nil {
			t.Errorf("%s: a free row has an owner", name)
		}
	}
	if c := kcl.WorkerColumns(checkpoint.Worker{ID: "w"})[kcl.Checkpoint].(*types.AttributeValueMemberS); c.Value != standpipe.ShardEnd {
		t.Errorf("to KCL a worker's row must be a lease that has ended, it is at %s", c.Value)
	}
}

func TestARowThatCannotBeReadSaysWhichAttributeIsWrong(t *testing.T) {
	for want, item := range map[string]kcl.Item{
		"leaseCounter is missing":                 row(shard0, kcl.Counter, nil),
		"ownerSwitchesSinceCheckpoint is missing": row(shard0, kcl.Switches, nil),
		"checkpoint is missing":                   row(shard0, kcl.Checkpoint, nil),
		"checkpointSubSequenceNumber is missing":  row(shard0, kcl.Sub, nil),
		"leaseCounter is not of type N":           row(shard0, kcl.Counter, "41"),
		"neither a sequence number nor":           row(shard0, kcl.Checkpoint, "yesterday"),
		"parentShardId is not of type SS":         row(shard0, kcl.Parents, shard1),
		"has sub-sequence number 2":               row(shard0, kcl.Checkpoint, "LATEST", kcl.Sub, 2),
	} {
		a := adopt(kcl.Choices{InPlace: true}, item)[0]
		if !strings.Contains(a.Refusal, want) || a.Lease.Shard != "" {
			t.Errorf("refusal %q, want %q", a.Refusal, want)
		}
	}
}

// Versions 1.x to 3.5 and the odd cases of each, as they are decided.
func TestWhatBecomesOfEachKindOfRow(t *testing.T) {
	start := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	multi := fmt.Sprintf("123456789012:orders:%d:%s", created.Unix(), shard1)
	for name, c := range map[string]struct {
		item    kcl.Item
		choices kcl.Choices
		refusal string
		skip    string
		note    string
		check   func(l checkpoint.Lease) bool
	}{
		"1.x without hash keys": {
			item: row(shard1, kcl.HashStart, nil, kcl.HashEnd, nil), note: "hash keys filled in",
			check: func(l checkpoint.Lease) bool {
				return l.HashStart == "50" && l.HashEnd == "99" && len(l.Parents) == 1
			},
		},
		"2.x with an owner": {
			item: row(shard0, kcl.Owner, "host:uuid"), note: "owner host:uuid is replaced",
			check: func(l checkpoint.Lease) bool { return l.Owner == "" && l.Checkpoint.Sequence == "1001" && l.Adopted() },
		},
		"3.x in a graceful hand-off": {item: row(shard0, kcl.Owner, "new", kcl.HandOffOwner, "old"), note: "hand-over from old"},
		"3.5 with its entity type":   {item: row(shard0, kcl.Entity, "LEASE"), check: func(l checkpoint.Lease) bool { return l.Shard == shard0 }},
		"inside an aggregate": {
			item: row(shard0, kcl.Sub, 2), note: "after user record 2",
			check: func(l checkpoint.Lease) bool { return l.Checkpoint.Sub == 2 && l.Adopted() },
		},
		"ended": {
			item: row(shard0, kcl.Checkpoint, "SHARD_END", kcl.Children, []string{"b", "a"}),
			check: func(l checkpoint.Lease) bool {
				return l.Checkpoint.AtEnd() && slices.Equal(l.Children, []standpipe.ShardID{"a", "b"})
			},
		},
		"at the horizon": {item: row(shard0, kcl.Checkpoint, "TRIM_HORIZON"), check: func(l checkpoint.Lease) bool { return l.Checkpoint.Sequence == "TRIM_HORIZON" && !l.Adopted() }},
		"LATEST":         {item: row(shard0, kcl.Checkpoint, "LATEST"), refusal: "--start-time"},
		"AT_TIMESTAMP":   {item: row(shard0, kcl.Checkpoint, "AT_TIMESTAMP"), refusal: "--start-time"},
		"LATEST with a time": {item: row(shard0, kcl.Checkpoint, "LATEST"), choices: kcl.Choices{Start: start}, note: "starts at 2026-11-20", check: func(l checkpoint.Lease) bool {
			return l.Checkpoint.Sequence == "AT_TIMESTAMP" && l.StartTime.Equal(start)
		}},
		"prepared":                   {item: row(shard0, kcl.PendingSeq, "1005", kcl.PendingSub, 0, kcl.PendingData, []byte("app")), refusal: "3 bytes of state; only the application"},
		"prepared and let go":        {item: row(shard0, kcl.PendingSeq, "1005", kcl.PendingSub, 0, kcl.PendingData, []byte("app")), choices: kcl.Choices{DiscardPending: true}, note: "discarded", check: func(l checkpoint.Lease) bool { return l.Pending == nil }},
		"state as a number (C.8 1)":  {item: row(shard0, kcl.PendingSeq, "1005", kcl.PendingSub, 0, kcl.PendingData, 0), refusal: "0 bytes of state"},
		"stray state without intent": {item: row(shard0, kcl.PendingData, 0), check: func(l checkpoint.Lease) bool { return l.Pending == nil }},
		"a shard that has left":      {item: row("shardId-000000000007"), note: "has left the stream"},
		"taken over before":          {item: row(shard0, kcl.Write, "id"), choices: kcl.Choices{InPlace: true}, skip: "already"},
		"ours, to be copied":         {item: row(shard0, kcl.Write, "id"), refusal: "is standpipe's"},
		"handed back, moved on by the application": {
			item: row(shard0, kcl.Epoch, 7, kcl.Flush, 9, kcl.Commits, 8, kcl.Incarnation, "old", kcl.Seen, "2026-11-01T00:00:00Z"), choices: kcl.Choices{InPlace: true},
			check: func(l checkpoint.Lease) bool {
				return l.Epoch == 7 && l.Flush == 0 && l.Commits == 0 && l.Incarnation == "inc" && l.Adopted()
			},
		},
		"multi-stream":              {item: row(multi), check: func(l checkpoint.Lease) bool { return l.Shard == shard1 && l.StreamCreated.Equal(created) }},
		"multi-stream in place":     {item: row(multi), choices: kcl.Choices{InPlace: true}, refusal: "multi-stream key"},
		"another stream":            {item: row("123456789012:other:1:" + shard0), skip: "belongs to stream 123456789012:other"},
		"the stream of another one": {item: row("999999999999:orders:1:" + shard0), skip: "belongs to stream 999999999999:orders"},
		"an earlier stream":         {item: row("123456789012:orders:1:" + shard0), refusal: "created at 1970-01-01T00:00:01Z"},
	} {
		a := adopt(c.choices, c.item)[0]
		if c.refusal == "" != (a.Refusal == "") || !strings.Contains(a.Refusal, c.refusal) || c.skip == "" != (a.Skip == "") || !strings.Contains(a.Skip, c.skip) {
			t.Errorf("%s: refusal %q, skip %q", name, a.Refusal, a.Skip)
		}
		if !strings.Contains(strings.Join(a.Notes, "; "), c.note) {
			t.Errorf("%s: notes %q, want %q", name, a.Notes, c.note)
		}
		if c.check != nil && !c.check(a.Lease) {
			t.Errorf("%s: lease %+v", name, a.Lease)
		}
	}
}

// Aim: what the application is done with is not delivered again. KCL removes the
// row of a shard when its children have begun, and the shard stays in the stream
// for as long as the retention. Method: shards whose children's rows say how far
// the application was, or do not.
func TestAShardWhoseRowTheApplicationRemovedIsDone(t *testing.T) {
	id := func(n int) standpipe.ShardID { return standpipe.ShardID(fmt.Sprintf("shardId-%012d", n)) }
	shard := func(n int, parents ...int) (s standpipe.Shard) {
		s = standpipe.Shard{ID: id(n), HashStart: "0", HashEnd: "99"}
		for _, p := range parents {
			s.Parents = append(s.Parents, id(p))
		}
		return s
	}
	from := source()
	// 0 → 1, 2; 2 + 3 → 4 → 5; 6 → 7; 8 → 9, 10; 11
	from.Shards = []standpipe.Shard{
		shard(0), shard(1, 0), shard(2, 0), shard(3), shard(4, 2, 3), shard(5, 4), shard(6), shard(7, 6), shard(8), shard(9, 8), shard(10, 8), shard(11),
	}
	items := []kcl.Item{
		row(string(id(1))),
		row(string(id(5)), kcl.Checkpoint, "SHARD_END"),          // 0, 2, 3 and 4 have no rows
		row(string(id(7)), kcl.Checkpoint, "TRIM_HORIZON"),       // nobody knows of 6
		row(string(id(8)), kcl.Checkpoint, "SHARD_END"),          // its children have none yet
		row("123456789012:other:1:" + string(id(11)+"00000000")), // another stream's
	}
	for _, inPlace := range []bool{false, true} {
		if inPlace { // in the second run after one that broke off
			items[0][kcl.Write] = kcl.S("id")
		}
		var done []standpipe.ShardID
		plan := kcl.Adopt(kcl.Rows(items), from, kcl.Choices{InPlace: inPlace, Incarnation: func() string { return "inc" }})
		for n, a := range plan {
			if !a.New {
				continue
			}
			if n != len(done) {
				t.Error("a crash after other rows would leave a shard that nobody knows to be done")
			}
			done = append(done, a.Lease.Shard)
			if l := a.Lease; !l.Checkpoint.AtEnd() || l.Incarnation != "inc" || !l.StreamCreated.Equal(created) || l.HashEnd != "99" || len(a.Notes) == 0 || a.Refusal != "" {
				t.Errorf("%+v", a)
			}
			r := a.InPlace("id")
			if r.Counter != nil || r.Key != string(a.Lease.Shard) || r.Set[kcl.Write] == nil || r.Set[kcl.Key] != nil || r.Set[kcl.Counter] != nil || r.Set[kcl.Switches] == nil || len(r.Remove) > 0 {
				t.Errorf("rewrite %+v", r)
			}
		}
		slices.Sort(done)
		if want := []standpipe.ShardID{id(0), id(2), id(3), id(4)}; !slices.Equal(done, want) {
			t.Errorf("in place %v: done are %v, want %v", inPlace, done, want)
		}
	}
}

// Rows that are no leases are nobody's business.
func TestOtherRowsOfTheTableAreNoLeases(t *testing.T) {
	worker := row(kcl.WorkerKey("w"), kcl.Worker, "w")
	for _, item := range []kcl.Item{worker, row("Leader", kcl.Entity, "LEADER"), row("w1", kcl.Entity, "WORKER_METRIC_STATS"), row("s", kcl.Entity, "STREAM")} {
		if rows := kcl.Rows([]kcl.Item{item}); len(rows) != 0 {
			t.Errorf("%v is taken for a lease", item)
		}
	}
}

func TestATableIsStillOnlyWhenNothingMovesAndNobodyReported(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(age time.Duration) int { return int(now.Add(-age).Unix()) }
	leader := func(version string, more ...any) kcl.Item {
		return row("x", append([]any{kcl.Key, nil, "key", "Leader", "recordVersionNumber", version, "ownerName", "w1"}, more...)...)
	}
	quiet := kcl.Picture{Table: []kcl.Item{row(shard0), row(shard1, kcl.Owner, "w1")}}
	for name, c := range map[string]struct {
		before, after kcl.Picture
		want          string
	}{
		"nothing moves":                 {quiet, quiet, ""},
		"a counter":                     {quiet, kcl.Picture{Table: []kcl.Item{row(shard0), row(shard1, kcl.Owner, "w1", kcl.Counter, 42)}}, `row ` + shard1 + ` moved, it is with "w1"`},
		"an owner without a counter":    {quiet, kcl.Picture{Table: []kcl.Item{row(shard0, kcl.Owner, "w2"), row(shard1, kcl.Owner, "w1")}}, `with "w2"`},
		"a new row":                     {quiet, kcl.Picture{Table: append(slices.Clone(quiet.Table), row("shardId-000000000002"))}, "appeared"},
		"a worker of standpipe":         {kcl.Picture{Table: []kcl.Item{row(kcl.WorkerKey("w"), kcl.Worker, "w")}}, kcl.Picture{Table: []kcl.Item{row(kcl.WorkerKey("w"), kcl.Worker, "w", kcl.Counter, 42)}}, "row " + kcl.WorkerKey("w") + " moved"},
		"a 3.x leader":                  {kcl.Picture{Coordinator: []kcl.Item{leader("a")}}, kcl.Picture{Coordinator: []kcl.Item{leader("b")}}, "leader"},
		"a dead 3.x leader":             {kcl.Picture{Coordinator: []kcl.Item{leader("a")}}, kcl.Picture{Coordinator: []kcl.Item{leader("a")}}, ""},
		"a 3.5 leader":                  {kcl.Picture{Table: []kcl.Item{row("Leader", kcl.Entity, "LEADER", "recordVersionNumber", "a")}}, kcl.Picture{Table: []kcl.Item{row("Leader", kcl.Entity, "LEADER", "recordVersionNumber", "b")}}, "leader"},
		"a leader that left":            {kcl.Picture{Coordinator: []kcl.Item{leader("a")}}, kcl.Picture{Coordinator: []kcl.Item{leader("b", "isReleased", "1")}}, ""},
		"a report of a minute ago":      {quiet, kcl.Picture{Metrics: []kcl.Item{row("x", kcl.Key, nil, "wid", "w1", "lut", at(time.Minute))}}, "worker w1 reported 1m0s ago"},
		"a report from a clock ahead":   {quiet, kcl.Picture{Metrics: []kcl.Item{row("x", kcl.Key, nil, "wid", "w1", "lut", at(-time.Minute))}}, "worker w1 reported"},
		"a report of an hour ago":       {quiet, kcl.Picture{Metrics: []kcl.Item{row("x", kcl.Key, nil, "wid", "w1", "lut", at(time.Hour))}}, ""},
		"a 3.5 report of a moment ago":  {quiet, kcl.Picture{Table: []kcl.Item{row("w1", kcl.Entity, "WORKER_METRIC_STATS", "lut", at(time.Second))}}, "worker w1 reported"},
		"a row of another entity moved": {kcl.Picture{Table: []kcl.Item{row("s", kcl.Entity, "STREAM")}}, kcl.Picture{Table: []kcl.Item{row("s", kcl.Entity, "STREAM", kcl.Counter, 42)}}, ""},
	} {
		got := strings.Join(kcl.Alive(c.before, c.after, now), "; ")
		if c.want == "" != (got == "") || !strings.Contains(got, c.want) || strings.Contains(got, `with ""`) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if d := kcl.WatchFor(quiet, 10*time.Second); d != 20*time.Second {
		t.Errorf("a table is watched for %s", d)
	}
	if d := kcl.WatchFor(kcl.Picture{Coordinator: []kcl.Item{leader("a")}}, 10*time.Second); d < 30*time.Second {
		t.Errorf("a table with a leader is watched for %s, its heartbeat takes 30 s", d)
	}
}

func TestWhatIsHandedBackIsWhatKCLNeedsAndNothingMovesBack(t *testing.T) {
	ended := checkpoint.Lease{Shard: "shardId-000000000009", Checkpoint: standpipe.Position{Sequence: standpipe.ShardEnd}, Counter: 5, Owner: "gone"}
	l := checkpointtest.Fresh(shard0)
	l.Checkpoint, l.HashStart, l.HashEnd, l.Parents = standpipe.Position{Sequence: "1005", Sub: 3}, "", "", nil
	all := kcl.Return([]checkpoint.Lease{ended, l}, nil, nil, source(), true)
	if len(all) != 3 {
		t.Fatalf("%d rows; want the child that has no lease yet, too", len(all))
	}
	for _, h := range all {
		if h.Refusal != "" || h.Rewrite.Counter != nil {
			t.Errorf("%s: %q, %+v", h.Lease.Shard, h.Refusal, h.Rewrite)
		}
		for name := range h.Rewrite.Set {
			if strings.HasPrefix(name, "standpipe") {
				t.Errorf("%s is left in %s", name, h.Lease.Shard)
			}
		}
		if !slices.Contains(h.Rewrite.Remove, kcl.Write) || !slices.Contains(h.Rewrite.Remove, kcl.Owner) || !slices.Contains(h.Rewrite.Remove, kcl.PendingData) {
			t.Errorf("%s keeps one of %v", h.Lease.Shard, h.Rewrite.Remove)
		}
	}
	if got := all[0].Lease.Children; !slices.Equal(got, []standpipe.ShardID{shard1}) {
		t.Errorf("children %v", got)
	}
	if got := all[1].Lease; got.HashStart != "0" || got.HashEnd != "49" {
		t.Errorf("hash keys %s to %s", got.HashStart, got.HashEnd)
	}
	if child := all[2].Lease; child.Shard != shard1 || child.Checkpoint.Sequence != standpipe.TrimHorizon {
		t.Errorf("child %+v", child)
	}
	kept := kcl.Return([]checkpoint.Lease{l}, nil, nil, source(), false)[0].Rewrite
	if kept.Set[kcl.Incarnation] == nil || kept.Set[kcl.Write] != nil {
		t.Error("without clean the row keeps our attributes, but for the mark that it is ours")
	}
}

func TestAHandBackRefusesWhatIsNotAtRest(t *testing.T) {
	base := checkpointtest.Fresh(shard0)
	base.Checkpoint = standpipe.Position{Sequence: "1005"}
	for name, c := range map[string]struct {
		change func(*checkpoint.Lease)
		there  kcl.Item
		want   string
	}{
		"at rest":                     {func(*checkpoint.Lease) {}, nil, ""},
		"prepared":                    {func(l *checkpoint.Lease) { l.Pending = &checkpoint.Pending{Position: base.Checkpoint} }, nil, "prepared and not committed"},
		"owned by nobody known":       {func(l *checkpoint.Lease) { l.Owner = "x" }, nil, "has not released it"},
		"owned by one that was still": {func(l *checkpoint.Lease) { l.Owner = "w" }, nil, ""},
		"onto an older row":           {func(*checkpoint.Lease) {}, row(shard0), ""},
		"onto a row that is further":  {func(*checkpoint.Lease) {}, row(shard0, kcl.Checkpoint, "1006"), "further, at 1006"},
		"onto a row that is damaged":  {func(*checkpoint.Lease) {}, row(shard0, kcl.Sub, nil), "cannot be read"},
		"onto its own row, in place":  {func(*checkpoint.Lease) {}, row(shard0, kcl.Write, "id", kcl.Checkpoint, "1006"), ""},
		"onto a multi-stream row":     {func(*checkpoint.Lease) {}, row(fmt.Sprintf("123456789012:orders:%d:%s", created.Unix(), shard0)), ""},
	} {
		l := base.Clone()
		c.change(&l)
		var items []kcl.Item
		if c.there != nil {
			items = append(items, c.there)
		}
		h := kcl.Return([]checkpoint.Lease{l}, []checkpoint.Worker{{ID: "w"}}, kcl.Rows(items), source(), false)[0]
		if c.want == "" != (h.Refusal == "") || !strings.Contains(h.Refusal, c.want) {
			t.Errorf("%s: %q, want %q", name, h.Refusal, c.want)
		}
		if c.there != nil && (h.Rewrite.Counter == nil || *h.Rewrite.Counter != 41) && c.want != "cannot be read" {
			t.Errorf("%s: the write does not depend on the row's counter", name)
		}
	}
}

// Whatever stands in a key or a position, reading it ends in a row or an error.
func FuzzARowIsReadOrRefused(f *testing.F) {
	for _, s := range []string{shard0, "1:2:3:4", "123456789012:orders:1762000000:" + shard0, ":::", "standpipe/worker/w", ""} {
		f.Add(s, "1001", "3", s)
	}
	f.Add(shard0, "LATEST", "-1", "x")
	f.Fuzz(func(t *testing.T, key, position, sub, entity string) {
		item := row(key, kcl.Checkpoint, position, kcl.Entity, entity)
		item[kcl.Sub] = &types.AttributeValueMemberN{Value: sub}
		for _, a := range adopt(kcl.Choices{InPlace: true}, item) {
			if a.Refusal == "" && a.Skip == "" {
				if _, err := standpipe.ParsePosition(a.Lease.Checkpoint.Sequence, a.Lease.Checkpoint.Sub); err != nil {
					t.Errorf("adopted: %v", err)
				}
			}
		}
	})
}
