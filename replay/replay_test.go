package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/delivery"
	"github.com/standpipe/standpipe/manifest"
	"github.com/standpipe/standpipe/replay"
	"github.com/standpipe/standpipe/verify"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func hour(h int) time.Time { return time.Date(2026, 11, 22, h, 0, 0, 0, time.UTC) }

func shardName(n int) standpipe.ShardID { return standpipe.ShardID(fmt.Sprintf("shardId-%012d", n)) }

func TestPointsAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]replay.Point{
		"":                          {},
		"trim_horizon":              {},
		"NOW":                       {Time: now},
		"24h":                       {Time: now.Add(-24 * time.Hour)},
		"-90m":                      {Time: now.Add(-90 * time.Minute)},
		"2026-11-22T11:00:00+01:00": {Time: hour(10)},
		"4711":                      {Sequence: "4711"},
		"after:4711":                {Sequence: "4711", After: true},
	} {
		got, err := replay.ParsePoint(text, now)
		if err != nil || got.Sequence != want.Sequence || got.After != want.After || !got.Time.Equal(want.Time) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"yesterday", "2026-11-22", "after:", "after:x", "0815x", "-"} {
		if got, err := replay.ParsePoint(text, now); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestARangeThatEndsBeforeItBeginsIsRefused(t *testing.T) {
	at := func(seq string) replay.Point {
		return replay.Point{Shards: map[standpipe.ShardID]standpipe.Position{shardName(0): {Sequence: seq}}}
	}
	for _, r := range [][2]replay.Point{
		{{Time: hour(11)}, {Time: hour(10)}},
		{{Time: hour(10)}, {Time: hour(10)}},
		{{Sequence: "100"}, {Sequence: "99"}},
		{{Sequence: "99", After: true}, {Sequence: "99"}},
		{at("100"), at("99")},
	} {
		if err := replay.Ordered(r[0], r[1]); !errors.Is(err, replay.ErrBackwards) {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range [][2]replay.Point{
		{{}, {}},
		{{Time: hour(10)}, {Time: hour(11)}},
		{{Sequence: "99"}, {Sequence: "99"}}, // one record
		{{Sequence: "99"}, {Sequence: "100"}},
		{at("99"), at("100")},
	} {
		if err := replay.Ordered(r[0], r[1]); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// chains writes the manifests of two shards, one for each hour from 1 to 10;
// number n covers the records 10n+1 to 10n+10.
func chains(t *testing.T) archive.Store {
	dir := t.TempDir()
	for s := range 2 {
		for n := 1; n <= 10; n++ {
			m := manifest.Manifest{
				Version: manifest.Version, Number: int64(n), Intent: "1-1-aa", Reason: standpipe.SealAge,
				Origin:   manifest.Origin{Delivery: "d", Stream: "s", Incarnation: "i", Shard: shardName(s)},
				Previous: standpipe.Position{Sequence: fmt.Sprint(10 * n)}, First: fmt.Sprint(10*n + 1), Last: standpipe.Position{Sequence: fmt.Sprint(10*n + 10)},
				Counts: manifest.Counts{Records: 10},
				Objects: []manifest.Object{{Key: fmt.Sprintf("raw/%d-%d", s, n), Contents: manifest.Contents{
					Records: 10, Hash: fmt.Sprintf("%032d", 0), First: fmt.Sprint(10*n + 1), Last: fmt.Sprint(10*n + 10), ArrivalMin: hour(n), ArrivalMax: hour(n + 1).Add(-time.Millisecond),
				}}},
			}
			if err := m.Sum(); err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(dir, filepath.FromSlash(manifest.Key(m.Origin, m.Number)))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, m.Encode(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := archive.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func numbers(t *testing.T, s archive.Store, r replay.Range) map[standpipe.ShardID][]int64 {
	t.Helper()
	got := map[standpipe.ShardID][]int64{}
	_, err := replay.Plan(context.Background(), s, r, 100, func(one replay.Slice) error {
		return one.Each(func(key string) error {
			_, shard, n, ok := manifest.ParseKey(key)
			if !ok || shard != one.Shard() {
				t.Errorf("%s in slice %+v", key, one)
			}
			got[shard] = append(got[shard], n)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAPlanHasTheManifestsThatTouchTheRange(t *testing.T) {
	s := chains(t)
	at := func(seq string) replay.Point {
		return replay.Point{Shards: map[standpipe.ShardID]standpipe.Position{shardName(0): {Sequence: seq}, shardName(1): {Sequence: standpipe.TrimHorizon}}}
	}
	only := []standpipe.ShardID{shardName(0)}
	for name, c := range map[string]struct {
		r    replay.Range
		want []int64 // of shard 0
	}{
		"everything":             {replay.Range{}, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		"an hour":                {replay.Range{From: replay.Point{Time: hour(3)}, To: replay.Point{Time: hour(4)}}, []int64{3}},
		"across an hour":         {replay.Range{From: replay.Point{Time: hour(3).Add(time.Minute)}, To: replay.Point{Time: hour(4).Add(time.Minute)}}, []int64{3, 4}},
		"one record":             {replay.Range{From: replay.Point{Sequence: "35"}, To: replay.Point{Sequence: "35"}, Shards: only}, []int64{3}},
		"after the last of one":  {replay.Range{From: replay.Point{Sequence: "40", After: true}, To: replay.Point{Sequence: "41"}, Shards: only}, []int64{4}},
		"at the last of one":     {replay.Range{From: replay.Point{Sequence: "40"}, To: replay.Point{Sequence: "41"}, Shards: only}, []int64{3, 4}},
		"from a checkpoint":      {replay.Range{From: at("90")}, []int64{9, 10}},
		"up to a checkpoint":     {replay.Range{To: at("30")}, []int64{1, 2}},
		"nothing after the last": {replay.Range{From: replay.Point{Time: hour(11)}}, nil},
		"of one delivery":        {replay.Range{From: at("90"), Delivery: "d"}, []int64{9, 10}},
		"of another delivery":    {replay.Range{From: at("90"), Delivery: "e"}, nil},
		"named, in any order":    {replay.Range{Manifests: []string{key(7), key(2), key(7)}}, []int64{2, 7}},
	} {
		got := numbers(t, s, c.r)
		if !slices.Equal(got[shardName(0)], c.want) {
			t.Errorf("%s: %v, want %v", name, got[shardName(0)], c.want)
		}
	}
}

// Objects stand in the order in which they were begun, not in that of their last
// records: at the end of a shard the later one may stand first.
func TestTheLastManifestOfAShardHasTheRecordsOfAllItsObjects(t *testing.T) {
	s := chains(t)
	of := func(key, first, last string) manifest.Object {
		return manifest.Object{Key: key, Ordinals: []standpipe.Run{{Count: 5}}, Contents: manifest.Contents{
			Records: 5, Hash: fmt.Sprintf("%032d", 0), First: first, Last: last, ArrivalMin: hour(11), ArrivalMax: hour(12),
		}}
	}
	m := manifest.Manifest{
		Version: manifest.Version, Number: 11, Intent: "1-1-aa", Reason: standpipe.SealShardEnd,
		Origin:   manifest.Origin{Delivery: "d", Stream: "s", Incarnation: "i", Shard: shardName(0)},
		Previous: standpipe.Position{Sequence: "110"}, First: "111", Last: standpipe.Position{Sequence: standpipe.ShardEnd},
		Counts: manifest.Counts{Records: 10}, Objects: []manifest.Object{of("raw/a", "111", "120"), of("raw/b", "112", "115")},
	}
	if err := errors.Join(m.Sum(), m.Check()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Location(), filepath.FromSlash(manifest.Key(m.Origin, m.Number))), m.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	got := numbers(t, s, replay.Range{From: replay.Point{Sequence: "118"}, Shards: []standpipe.ShardID{shardName(0)}})
	if !slices.Equal(got[shardName(0)], []int64{11}) {
		t.Errorf("%v", got)
	}
}

func TestAPlanNamesTheDeliveriesItLeavesOut(t *testing.T) {
	others, err := replay.Plan(t.Context(), chains(t), replay.Range{Delivery: "e"}, 100, nil)
	if err != nil || !slices.Equal(others, []string{"d"}) {
		t.Errorf("%q, %v", others, err)
	}
}

func key(n int64) string {
	return manifest.Key(manifest.Origin{Stream: "s", Incarnation: "i", Shard: shardName(0)}, n)
}

func TestSlicesAreBoundedAndOfOneChain(t *testing.T) {
	var keys []string
	for n := range int64(250) {
		if n != 120 {
			keys = append(keys, key(n+1))
		}
	}
	for size, want := range map[int][]int64{100: {100, 100, 49}, 300: {249}} {
		var sizes []int64
		var again []string
		_, err := replay.Plan(t.Context(), nil, replay.Range{Manifests: keys}, size, func(s replay.Slice) error {
			sizes = append(sizes, s.Len())
			return s.Each(func(key string) error { again = append(again, key); return nil })
		})
		if err != nil || !slices.Equal(sizes, want) || !slices.Equal(again, keys) {
			t.Errorf("%v, %v, %d keys", sizes, err, len(again))
		}
	}
	if _, err := replay.Plan(t.Context(), nil, replay.Range{Manifests: []string{"rawdata/x.gz"}}, 1, nil); err == nil {
		t.Error("a data object was taken for a manifest")
	}
}

// The others of its slice are not held up by it.
func TestAManifestThatIsGoneIsNamed(t *testing.T) {
	gone := replay.Slice{Folder: manifest.Origin{Stream: "s", Incarnation: "i", Shard: shardName(0)}.Folder(), Runs: []standpipe.Run{{Start: 98, Count: 2}}}
	r := replay.Restorer{Archive: chains(t)}
	sum, err := r.Restore(t.Context(), gone)
	if err != nil || sum.Unlike != 2 || sum.Incomplete() != 2 || len(sum.Left) != 2 || sum.Left[1].Manifest != key(99) || sum.Left[1].Kind != verify.Gap {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestAManifestOfAnotherDeliveryIsNamedAndLeftAlone(t *testing.T) {
	r := &replay.Restorer{Archive: chains(t), Delivery: "e"}
	sum, err := r.Restore(t.Context(), replay.Slice{Folder: strings.TrimSuffix(key(7), "000000000007.json"), Runs: []standpipe.Run{{Start: 7, Count: 1}}})
	if err != nil || sum.Incomplete() != 1 || len(sum.Left) != 1 || !strings.Contains(sum.Left[0].Detail, "delivery stream d") {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestShardsAreCutWhereThePointsSay(t *testing.T) {
	listed := []standpipe.Shard{{ID: shardName(0)}, {ID: shardName(1)}}
	cut := replay.Point{Time: hour(10)}
	before, err := replay.Ranges(listed, replay.Range{To: cut}, now)
	if err != nil {
		t.Fatal(err)
	}
	after, err := replay.Ranges(listed, replay.Range{From: cut}, now)
	if err != nil || len(before) != 2 || len(after) != 2 {
		t.Fatal(before, after, err)
	}
	// One ends where the other begins, and the second ends now.
	if before[0].End != (delivery.End{Time: hour(10)}) || before[0].From.Position.Sequence != standpipe.TrimHorizon ||
		after[0].From.Time != hour(10) || after[0].From.Position.Sequence != standpipe.AtTimestamp || after[0].End != (delivery.End{Time: now}) {
		t.Errorf("%+v %+v", before[0], after[0])
	}
	one, err := replay.Ranges(listed, replay.Range{From: replay.Point{Sequence: "5"}, To: replay.Point{Sequence: "9"}, Shards: []standpipe.ShardID{shardName(1)}}, now)
	if err != nil || len(one) != 1 || one[0].From != (consumer.Start{Position: standpipe.Position{Sequence: "5"}, At: true}) || one[0].End.Sequence != "9" {
		t.Errorf("%+v, %v", one, err)
	}
	exported := replay.Point{Shards: map[standpipe.ShardID]standpipe.Position{shardName(0): {Sequence: standpipe.ShardEnd}, shardName(1): {Sequence: "7"}}}
	rest, err := replay.Ranges(listed, replay.Range{From: exported}, now)
	if err != nil || len(rest) != 1 || rest[0].Shard.ID != shardName(1) || rest[0].From.At {
		t.Errorf("after an export: %+v, %v", rest, err)
	}
	for _, bad := range []replay.Range{{From: replay.Point{Sequence: "5"}}, {Shards: []standpipe.ShardID{"gone"}}} {
		if got, err := replay.Ranges(listed, bad, now); err == nil {
			t.Errorf("%+v gave %+v", bad, got)
		}
	}
}

func TestAReportIsTakenForWhatCanBeMended(t *testing.T) {
	report := verify.Report{Schema: verify.Schema, Deep: true, Findings: []verify.Finding{
		{Kind: verify.Missing, Manifest: "a", Key: "x"},
		{Kind: verify.Altered, Manifest: "b", Key: "y"},
		{Kind: verify.Unreadable, Manifest: "c"},
		{Kind: verify.Gap, Manifest: "d"},
		{Kind: verify.Foreign, Key: "z"},
	}}
	encode := func(r verify.Report) []byte {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	r, manifests, left, err := replay.FromReport(encode(report))
	if err != nil || !r.Deep || !slices.Equal(manifests, []string{"a", "b"}) || len(left) != 3 {
		t.Errorf("%v, %v, %v, %v", manifests, r.Deep, left, err)
	}
	_, whole, _, err := replay.FromReport(encode(verify.Report{Schema: verify.Schema}))
	if err != nil || whole == nil || len(whole) > 0 {
		t.Errorf("a whole archive: %v, %v: nil would mean everything", whole, err)
	}
	report.Unlisted = 1
	for _, bad := range [][]byte{encode(report), []byte("{}"), []byte("x")} {
		if _, _, _, err := replay.FromReport(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
