package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/standpipe/standpipe"
)

// A small archive of one shard: two keys, records of one to three lines, three
// objects in three manifests.
type smallArchive struct {
	archive *Archive
	ledger  *Ledger
	objects [][][]byte // lines of each object
}

// newSmallArchive makes it in a bucket of its own.
func newSmallArchive(t *testing.T, client *s3.Client, bucket string) *smallArchive {
	t.Helper()
	CreateBucket(t, client, bucket)
	s := &smallArchive{archive: &Archive{Client: client, Bucket: bucket}, ledger: NewLedger(2), objects: make([][][]byte, 3)}
	for n := range 12 {
		key, lines := n%2, 1+n%3
		first, index := s.ledger.take(key, lines)
		if err := s.ledger.acknowledge(key, index, lines, 100, shard0, fmt.Sprint(1000+n)); err != nil {
			t.Fatal(err)
		}
		for i := range lines {
			s.objects[n/4] = append(s.objects[n/4], s.ledger.AppendLine(nil, key, first+uint32(i)))
		}
	}
	return s
}

func objectKey(n int) string { return fmt.Sprintf("data/%d", n) }

// manifests of the objects as they are.
func (s *smallArchive) manifests() []Manifest {
	var all []Manifest
	prev := standpipe.TrimHorizon
	for n, lines := range s.objects {
		var digest standpipe.Digest
		for _, line := range lines {
			digest.Add(line)
		}
		last := fmt.Sprint(1003 + 4*n)
		all = append(all, Manifest{
			Shard: shard0, Number: int64(n + 1), First: fmt.Sprint(1000 + 4*n),
			PrevLast: standpipe.Position{Sequence: prev}, Last: standpipe.Position{Sequence: last},
			Objects: []ManifestObject{{Key: objectKey(n), Size: int64(len(s.text(n))), Lines: digest.Lines, Hash: digest.Sum()}},
		})
		prev = last
	}
	return all
}

func (s *smallArchive) text(n int) []byte {
	return append(bytes.Join(s.objects[n], []byte("\n")), '\n')
}

// store writes the objects and the manifests.
func (s *smallArchive) store(t *testing.T, manifests []Manifest) {
	t.Helper()
	for n := range s.objects {
		put(t, s.archive, objectKey(n), s.text(n))
	}
	for _, m := range manifests {
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		put(t, s.archive, fmt.Sprintf("_standpipe/commits/s-1/%s/%012d.json", shard0, m.Number), body)
	}
}

// audit returns the report over what is stored.
func (s *smallArchive) audit(t *testing.T, manifests []Manifest, more ...string) string {
	t.Helper()
	s.store(t, manifests)
	for _, key := range more {
		put(t, s.archive, key, []byte("x\n"))
	}
	a := NewAudit(s.archive, s.ledger)
	open := types.Shard{ShardId: aws.String(shard0), SequenceNumberRange: &types.SequenceNumberRange{}}
	if err := a.Close(within(t), []types.Shard{open}); err != nil {
		t.Fatal(err)
	}
	return a.Report()
}

func TestAnAuditOfAWholeArchiveFindsNothing(t *testing.T) {
	s := newSmallArchive(t, newArchive(t).Client, "whole")
	if r := s.audit(t, s.manifests()); r != "" {
		t.Fatal(r)
	}
}

func TestAnAuditNamesWhatIsWrong(t *testing.T) {
	client := newArchive(t).Client
	for name, test := range map[string]struct {
		damage func(s *smallArchive) // of the lines, manifests agree with it
		want   string
	}{
		"a line missing":    {func(s *smallArchive) { s.objects[1] = slices.Delete(s.objects[1], 0, 1) }, "are missing"},
		"a line twice":      {func(s *smallArchive) { s.objects[1] = append(s.objects[1], s.objects[1][0]) }, "was there before"},
		"records swapped":   {func(s *smallArchive) { s.objects[0][0], s.objects[0][3] = s.objects[0][3], s.objects[0][0] }, "a later record"},
		"a record torn":     {func(s *smallArchive) { s.objects[0][1], s.objects[0][2] = s.objects[0][2], s.objects[0][1] }, "whose record begins with"},
		"objects swapped":   {func(s *smallArchive) { s.objects[0], s.objects[1] = s.objects[1], s.objects[0] }, "a later record"},
		"a line altered":    {func(s *smallArchive) { s.objects[2][1][40] ^= 1 }, "a line that nobody wrote"},
		"another runs line": {func(s *smallArchive) { s.objects[2][1] = NewLedger(2).AppendLine(nil, 0, 0) }, "a line that nobody wrote"},
		"in another shard":  {func(s *smallArchive) { s.ledger.shards["other"], s.ledger.shards[shard0] = 1, 2 }, "which is in other"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSmallArchive(t, client, strings.ReplaceAll(name, " ", "-"))
			test.damage(s)
			if r := s.audit(t, s.manifests()); !strings.Contains(r, test.want) {
				t.Fatalf("want %q in the report, got %q", test.want, r)
			}
		})
	}
}

func TestAnAuditNamesABrokenChain(t *testing.T) {
	client := newArchive(t).Client
	for name, test := range map[string]struct {
		damage func(m []Manifest)
		more   []string
		want   string
	}{
		"a hole in the positions":    {damage: func(m []Manifest) { m[1].PrevLast.Sequence = "1002" }, want: "begins after 1002"},
		"a chain that begins late":   {damage: func(m []Manifest) { m[0].PrevLast.Sequence = "7" }, want: "the first manifest begins after 7"},
		"a range that runs backward": {damage: func(m []Manifest) { m[1].Last.Sequence = "1001" }, want: "which is not after"},
		"an object named twice":      {damage: func(m []Manifest) { m[1].Objects = m[0].Objects }, want: "was named before"},
		"a wrong hash":               {damage: func(m []Manifest) { m[2].Objects[0].Hash = strings.Repeat("0", 32) }, want: "with hash"},
		"a wrong size":               {damage: func(m []Manifest) { m[2].Objects[0].Size++ }, want: "bytes, manifest 3 says"},
		"a gap":                      {damage: func(m []Manifest) { m[0].Gaps = []json.RawMessage{[]byte("{}")} }, want: "has a gap"},
		"an end that is none":        {damage: func(m []Manifest) { m[2].Last.Sequence = standpipe.ShardEnd }, want: "closed false, delivered to its end true"},
		"an object nobody names":     {damage: func([]Manifest) {}, more: []string{"data/stray"}, want: "no manifest names it"},
		"a second chain":             {damage: func([]Manifest) {}, more: []string{"_standpipe/commits/s-2/" + shard0 + "/000000000001.json"}, want: "a second chain"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSmallArchive(t, client, strings.ReplaceAll(name, " ", "-"))
			m := s.manifests()
			test.damage(m)
			if r := s.audit(t, m, test.more...); !strings.Contains(r, test.want) {
				t.Fatalf("want %q in the report, got %q", test.want, r)
			}
		})
	}
}

func TestAnAuditRefusesAHoleInTheNumbers(t *testing.T) {
	s := newSmallArchive(t, newArchive(t).Client, "holes")
	m := s.manifests()
	s.store(t, []Manifest{m[0], m[2]})
	if err := NewAudit(s.archive, s.ledger).Sweep(within(t)); err == nil || !strings.Contains(err.Error(), "000000000002.json") {
		t.Fatalf("got %v", err)
	}
}

func TestAnObjectThatChangesAfterItWasAuditedIsNoticed(t *testing.T) {
	s := newSmallArchive(t, newArchive(t).Client, "changed")
	s.store(t, s.manifests())
	a := NewAudit(s.archive, s.ledger)
	if err := a.Sweep(within(t)); err != nil {
		t.Fatal(err)
	}
	put(t, s.archive, objectKey(1), []byte("later\n"))
	if err := a.Close(within(t), nil); err != nil {
		t.Fatal(err)
	}
	if r := a.Report(); !strings.Contains(r, "it was written twice") {
		t.Fatalf("got %q", r)
	}
}

func TestHolesAreFoundAtTheBeginningInTheMiddleAndAtTheEnd(t *testing.T) {
	var b bitset
	for _, n := range []uint32{1, 2, 64, 65, 130} {
		if b.set(n) {
			t.Fatalf("%d was there", n)
		}
	}
	if !b.set(64) {
		t.Fatal("64 was not there")
	}
	got := fmt.Sprint(b.holes(140))
	if want := "[[0 1] [3 64] [66 130] [131 140]]"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}
