package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe/test/e2e/foreign"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

// comparison is the part of compare's --json that tests look at.
type comparison struct {
	Verdict  string
	Headline string
	Counts   struct{ MissingInA, MissingInB, DoubledInA, DoubledInB, Edge, Distinct, Altered int64 }
	Sides    [2]struct {
		Lines  int64
		Codecs map[string]int64
	}
	Differences []difference
	Problems    []struct{ Kind, Side, Key, Error string }
	Truth       *struct{ Lines, AgreesA, AgreesB, Neither, Unknown int64 }
	Proof       *struct {
		Proved, Flushes               int64
		Wrong, Absent, Foreign, Holes []string
	}
}

type difference struct {
	Kind, Hash, Text, Partner string
	Copies                    int64
	PlacesA, PlacesB          []struct {
		Key          string
		Line, Offset int64
	}
}

// compareArchives runs `standpipe compare` and wants that exit code.
func compareArchives(t *testing.T, env []string, exit int, args ...string) comparison {
	t.Helper()
	cmd := exec.CommandContext(limited(t, testLimit), program, append([]string{"compare", "--json", "--quiet", "--settle=0s", "--jobs", t.TempDir()}, args...)...)
	cmd.Env = env
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	err := cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if code := cmd.ProcessState.ExitCode(); code != exit {
		t.Fatalf("compare %v: exit code %d, want %d (%v)\n%s%.2000s", args, code, exit, failed, notes.String(), out.String())
	}
	var c comparison
	if err := json.Unmarshal(out.Bytes(), &c); err != nil {
		t.Fatalf("compare %v: %v\n%.500s", args, err, out.String())
	}
	return c
}

// An arrived is a record as Firehose reads it.
type arrived struct {
	at   time.Time
	data []byte
}

// arrivals reads a stream, by shard.
func arrivals(t *testing.T, s *harness.Stream) map[string][]arrived {
	t.Helper()
	ctx := limited(t, deliverLimit)
	shards, err := s.Shards(ctx)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]arrived{}
	for _, shard := range shards {
		it, err := s.Client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: &s.Name, ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			out, err := s.Client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				all[*shard.ShardId] = append(all[*shard.ShardId], arrived{aws.ToTime(r.ApproximateArrivalTimestamp), r.Data})
			}
			if next = out.NextShardIterator; aws.ToInt64(out.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	return all
}

// A firehose writes what Amazon Data Firehose would have, by the rules of its
// documentation: records joined byte for byte, or with a newline between them;
// objects cut by size, never within a record; named and filed by the arrival
// of their oldest record.
type firehose struct {
	dir       string
	delimiter string
	objects   int
	keys      []string
}

func (f *firehose) write(t *testing.T, filed time.Time, records []arrived) {
	t.Helper()
	var body []byte
	for i, r := range records {
		if i > 0 {
			body = append(body, f.delimiter...)
		}
		body = append(body, r.data...)
	}
	f.objects++
	filed = filed.UTC()
	key := fmt.Sprintf("rawdata/%sclass-firehose-1-%s-959487e4-754a-46e0-9b2d-%012x", filed.Format("2006/01/02/15/"), filed.Format("2006-01-02-15-04-05"), f.objects)
	path := filepath.Join(f.dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, body, 0o644); err != nil {
		t.Fatal(err)
	}
	f.keys = append(f.keys, key)
}

// deliver writes a stream. One batch is delivered twice, as after a failover of
// its internal reader; another is filed an hour early, because one record in it
// was late. It returns how many records there are twice.
func (f *firehose) deliver(t *testing.T, stream map[string][]arrived, size int) (doubled int64) {
	t.Helper()
	for _, records := range stream {
		for start := 0; start < len(records); {
			end, bytes := start, 0
			for end < len(records) && bytes < size {
				bytes += len(records[end].data)
				end++
			}
			batch := records[start:end]
			oldest := batch[0].at
			for _, r := range batch {
				if r.at.Before(oldest) {
					oldest = r.at
				}
			}
			switch f.objects {
			case 2:
				f.write(t, oldest, batch)
				doubled += int64(len(batch))
			case 5:
				oldest = oldest.Add(-time.Hour)
			}
			f.write(t, oldest, batch)
			start = end
		}
	}
	return doubled
}

// Aim: an archive of the real binary and one that Firehose might have written
// from the same stream are equal, whatever the format, with or without
// delimiters, and what Firehose delivered twice is named. Method: nothing of
// the other side is ours, neither the encoders nor the names.
func TestCompareWithAFirehoseThatNobodyHereWrote(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	s := newStack(t, e)
	lines := harness.RealInput(t, 329, 0, 4000)
	want := harness.Multiset(lines)
	stream := harness.CreateStream(t, s.kinesis, "compared", 2)
	if err := (&harness.Producer{Stream: stream}).Put(limited(t, testLimit), lines); err != nil {
		t.Fatal(err)
	}
	delivery, archive := s.deliver(t, stream, harness.Settings{Name: "compared", CompressionFormat: "GZIP"})
	settle(t, delivery.Start(t), archive, want)
	ours, env := "s3://compared/data/", e.Environment()

	records := arrivals(t, stream)
	plain := map[string]*firehose{}
	doubled := map[string]int64{} // which batch it is depends on the order of the shards
	for _, delimiter := range []string{"", "\n"} {
		plain[delimiter] = &firehose{dir: t.TempDir(), delimiter: delimiter}
		doubled[delimiter] = plain[delimiter].deliver(t, records, 300<<10)
	}
	for _, codec := range foreign.Codecs {
		for name, f := range plain {
			t.Run(fmt.Sprintf("%s%q", codec, name), func(t *testing.T) {
				theirs := t.TempDir()
				foreign.Encode(t, codec, f.dir, theirs)
				got := compareArchives(t, env, 0, ours, filepath.Join(theirs, "rawdata"))
				if got.Verdict != "equal" || got.Counts.DoubledInB != doubled[name] || got.Sides[0].Lines != want.Digest.Lines || got.Sides[1].Lines != want.Digest.Lines+doubled[name] {
					t.Errorf("%s: %+v, %d doubled", got.Headline, got.Counts, doubled[name])
				}
			})
		}
	}
	t.Run("window", func(t *testing.T) { windowed(t, env, ours, plain["\n"], records) })
	t.Run("truth", func(t *testing.T) { asked(t, env, ours, plain["\n"]) })
}

// windowed: half of the time, with the hour before and after as a halo.
func windowed(t *testing.T, env []string, ours string, f *firehose, records map[string][]arrived) {
	first, last := time.Time{}, time.Time{}
	for _, shard := range records {
		for _, r := range shard {
			if first.IsZero() || r.at.Before(first) {
				first = r.at
			}
			if r.at.After(last) {
				last = r.at
			}
		}
	}
	middle := first.Add(last.Sub(first) / 2).UTC().Format(time.RFC3339)
	got := compareArchives(t, env, 0, "--from", middle, ours, filepath.Join(f.dir, "rawdata"))
	if got.Counts.MissingInA != 0 || got.Counts.MissingInB != 0 {
		t.Errorf("%s: %+v", got.Headline, got.Counts)
	}
}

// asked: an object of theirs is gone; the stream and our manifests say who is
// right.
func asked(t *testing.T, env []string, ours string, f *firehose) {
	gone := filepath.Join(f.dir, f.keys[len(f.keys)-1])
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	got := compareArchives(t, env, 1, "--truth", "kinesis://compared", "--manifests", "s3://compared/", "--records", "lines", ours, filepath.Join(f.dir, "rawdata"))
	if got.Counts.MissingInB == 0 || got.Counts.MissingInA != 0 || got.Truth == nil || got.Truth.AgreesB != 0 || got.Truth.Unknown != 0 || got.Truth.Neither != 0 || got.Truth.AgreesA == 0 {
		t.Errorf("%s: %+v, truth %+v", got.Headline, got.Counts, got.Truth)
	}
	if p := got.Proof; p == nil || p.Proved == 0 || len(p.Wrong)+len(p.Absent)+len(p.Foreign)+len(p.Holes) > 0 {
		t.Errorf("proof %+v", p)
	}
}
