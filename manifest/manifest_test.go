package manifest_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/manifest"
)

var origin = manifest.Origin{Stream: "class-stream", Created: time.Unix(1_700_000_000, 0).UTC(), Incarnation: "918ae64bbfd23128", Shard: "shardId-000000000000"}

// sample is a flush of two objects over records 11 to 15, one of them dropped.
func sample() manifest.Manifest {
	m := manifest.Manifest{
		Version: manifest.Version, Origin: origin, Number: 2,
		Previous: standpipe.Position{Sequence: "10"}, First: "11", Last: standpipe.Position{Sequence: "15"},
		Reason: standpipe.SealBytes, Counts: manifest.Counts{Records: 5, Dropped: 1}, Intent: "1-2-aa",
	}
	for k, runs := range [][]standpipe.Run{{{Start: 0, Count: 2}}, {{Start: 2, Count: 1}, {Start: 4, Count: 1}}} {
		var d standpipe.Digest
		d.Add([]byte{byte('a' + k)})
		m.Objects = append(m.Objects, manifest.Object{
			Key: "rawdata/" + string(byte('a'+k)) + ".gz", Size: 30, CRC32: "0badcafe", Ordinals: runs,
			Contents: manifest.Contents{Records: 2, Lines: d.Lines, Bytes: 2, Hash: d.Sum(), First: "11", Last: "15"},
		})
	}
	if err := m.Sum(); err != nil {
		panic(err)
	}
	return m
}

func TestAManifestIsReadBackAsItWasWritten(t *testing.T) {
	m := sample()
	back, err := manifest.Decode(m.Encode())
	if err != nil || !cmp.Equal(m, back) || !bytes.Equal(m.Encode(), back.Encode()) {
		t.Fatalf("%v\n%s", err, cmp.Diff(m, back))
	}
}

func TestAManifestOfAnotherVersionDoesNotPassForWhole(t *testing.T) {
	m := sample()
	m.Version = 2
	if _, err := manifest.Decode(m.Encode()); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Fatalf("%v", err)
	}
	if _, err := manifest.Decode([]byte(`{}`)); err == nil {
		t.Fatal("no version at all was taken")
	}
}

func TestCheckFindsWhateverDoesNotAddUp(t *testing.T) {
	if err := sample().Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*manifest.Manifest){
		"a record too many":     func(m *manifest.Manifest) { m.Counts.Records++ },
		"a dropped one missing": func(m *manifest.Manifest) { m.Counts.Dropped = 0 },
		"a line too many":       func(m *manifest.Manifest) { m.Objects[0].Lines++ },
		"other bytes":           func(m *manifest.Manifest) { m.Objects[1].Bytes++ },
		"another hash":          func(m *manifest.Manifest) { m.Objects[1].Hash = strings.Repeat("1", 32) },
		"no hash":               func(m *manifest.Manifest) { m.Objects[1].Hash = "zz" },
		"another total":         func(m *manifest.Manifest) { m.Hash = strings.Repeat("0", 32) },
		"an object missing":     func(m *manifest.Manifest) { m.Objects = m.Objects[:1] },
		"fewer ordinals":        func(m *manifest.Manifest) { m.Objects[1].Ordinals = nil },
		"a name missing":        func(m *manifest.Manifest) { m.Objects[1].Key = "" },
		"a range backwards":     func(m *manifest.Manifest) { m.Previous.Sequence = "16" },
		"a range after the end": func(m *manifest.Manifest) { m.Previous.Sequence = standpipe.ShardEnd },
	} {
		m := sample()
		m.Objects = append([]manifest.Object(nil), m.Objects...)
		spoil(&m)
		if m.Check() == nil {
			t.Errorf("%s: nothing found", name)
		}
	}
}

func TestRangesFollowEachOtherByPosition(t *testing.T) {
	before, m := sample(), sample()
	for previous, want := range map[standpipe.Position]manifest.Relation{
		{Sequence: "15"}:                  manifest.Contiguous,
		{Sequence: "16"}:                  manifest.Missing,
		{Sequence: "15", Sub: 1}:          manifest.Missing,
		{Sequence: "9"}:                   manifest.Overlapping,
		{Sequence: standpipe.TrimHorizon}: manifest.Overlapping,
	} {
		m.Previous = previous
		if got := m.Follows(before); got != want {
			t.Errorf("after %s, from %s: %s, want %s", before.Last, previous, got, want)
		}
	}
}

func TestKeysSortByNumberAndAreReadBack(t *testing.T) {
	for n := int64(1); n < 1e12; n *= 10 {
		if n > 1 && manifest.Key(origin, n-1) >= manifest.Key(origin, n) {
			t.Errorf("manifest %d sorts after %d", n-1, n)
		}
		folder, shard, number, ok := manifest.ParseKey(manifest.Key(origin, n))
		if !ok || folder != origin.Folder() || shard != origin.Shard || number != n {
			t.Errorf("number %d is read as %s, %s, %d, %v", n, folder, shard, number, ok)
		}
	}
}

func TestOtherNamesAreNoManifests(t *testing.T) {
	for _, key := range []string{
		"", "rawdata/2026/a.gz", "_standpipe/commits/", "_standpipe/commits/s-i/shard/1.json", "_standpipe/commits/s-i/shard/000000000000.json",
		"_standpipe/commits/s-i/shard/0000000000012.json", "_standpipe/commits/s-i/shard/-00000000012.json", "_standpipe/commits/s-i/shard/000000000012.json.bak",
		"_standpipe/commits/s-i/a/b/000000000012.json", "_standpipe/pending/s-i/shard/000000000012.json", "_standpipe/commits//shard/000000000012.json",
	} {
		if folder, _, _, ok := manifest.ParseKey(key); ok {
			t.Errorf("%q was read as a manifest of %s", key, folder)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample().Encode())
	f.Add([]byte(`{"v":1,"objects":null}`))
	f.Add([]byte(`{"v":1,"objects":[{"hash":""}],"prevLast":{"seq":"SHARD_END"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := manifest.Decode(b)
		if err != nil {
			return
		}
		_ = m.Check()
		_ = m.Follows(m)
		back, err := manifest.Decode(m.Encode())
		if err != nil || !bytes.Equal(back.Encode(), m.Encode()) {
			t.Fatalf("what was decoded does not survive: %v", err)
		}
	})
}

func TestEveryNumberHasOneKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1, 1<<62).Draw(t, "n")
		if _, _, back, ok := manifest.ParseKey(manifest.Key(origin, n)); !ok || back != n {
			t.Fatalf("%d is read as %d, %v", n, back, ok)
		}
	})
}
