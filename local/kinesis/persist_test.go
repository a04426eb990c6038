package kinesis

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/test/e2e/need"
)

// kill stands for kill -9: the server is left as it is, its files as they are,
// and another is opened on them. Nothing is flushed on close, so nothing more
// is in the files than a kill would leave. The system takes the dead one's lock.
func (f *fixture) kill(cfg Config) {
	f.t.Helper()
	f.server.unlock()
	f.open(cfg)
}

// logFiles returns the chunk files under dir.
func logFiles(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestRestartContinuesStreamsShardsNumbersAndRecords(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 2)
	f.create("Other.Stream", 1)
	var last string
	for i := range 50 {
		last = *f.put("s", fmt.Sprint("key", i), fmt.Sprint("r", i)).SequenceNumber
	}
	split(f, "s", shard0, "1000")
	if _, err := f.client.IncreaseStreamRetentionPeriod(t.Context(), &api.IncreaseStreamRetentionPeriodInput{StreamName: aws.String("s"), RetentionPeriodHours: aws.Int32(48)}); err != nil {
		t.Fatal(err)
	}
	it := f.iterator("s", "shardId-000000000001", types.ShardIteratorTypeTrimHorizon, "")
	before := f.snapshot("s")
	f.kill(cfg)
	if after := f.snapshot("s"); after != before {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", after, before)
	}
	f.get(it) // an iterator outlives a restart
	for i := range 50 {
		out := f.put("s", fmt.Sprint("key", i), "later")
		if *out.SequenceNumber <= last && *out.ShardId == "shardId-000000000001" {
			t.Fatalf("number %s of a record after the restart is not above %s", *out.SequenceNumber, last)
		}
	}
	f.create("s", 9) // is there already
	d, err := f.client.DescribeStreamSummary(t.Context(), &api.DescribeStreamSummaryInput{StreamName: aws.String("s")})
	if err != nil || *d.StreamDescriptionSummary.OpenShardCount != 3 || *d.StreamDescriptionSummary.RetentionPeriodHours != 48 {
		t.Errorf("summary is %+v, %v", d, err)
	}
}

// snapshot is everything a client can read of a stream.
func (f *fixture) snapshot(stream string) string {
	f.t.Helper()
	_, _, s := f.raw("DescribeStream", `{"StreamName":"`+stream+`"}`)
	list, err := f.client.ListShards(f.t.Context(), &api.ListShardsInput{StreamName: &stream})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, sh := range list.Shards {
		for _, r := range f.get(f.iterator(stream, *sh.ShardId, types.ShardIteratorTypeTrimHorizon, "")).Records {
			s += fmt.Sprintln(*sh.ShardId, *r.SequenceNumber, *r.PartitionKey, string(r.Data), r.ApproximateArrivalTimestamp.UnixMilli())
		}
	}
	return s
}

// TestTornTailIsCutOff cuts the file at every length the last append can have
// reached: what was whole stays, what was torn goes, and numbers go on rising.
// A second server on the folder would take the first one's unfinished appends
// for a torn tail. It is refused, and finds everything once the first has ended.
func TestTwoServersNeverShareAFolder(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 1)
	f.put("s", "key", "data")
	_, err := New(cfg)
	failure, ok := errors.AsType[*standpipe.Error](err)
	if !ok || !errors.Is(err, errBusy) || !strings.Contains(failure.Hint, "--data") {
		t.Fatalf("a second server on the folder: %v, want one that says who is in the way", err)
	}
	before := f.snapshot("s")
	if err := f.server.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(cfg)
	if after := f.snapshot("s"); after != before {
		t.Errorf("the next server has\n%s\nwant\n%s", after, before)
	}
}

func TestTornTailIsCutOff(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 1)
	f.put("s", "k", "first")
	f.put("s", "k", "second")
	path := logFiles(t, cfg.Dir)[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f.server.unlock()
	second := len(whole) / 2
	second += (len("first") - len("second")) / 2 // frames differ by a byte
	for size := second; size <= len(whole); size++ {
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := New(cfg)
		if err != nil {
			t.Fatalf("torn at %d: %v", size, err)
		}
		st := s.streams["s"]
		got := st.shards[0].log.read(0, 100, 1<<20).count
		want := 1
		if size == len(whole) {
			want = 2
		}
		if got != want {
			t.Errorf("torn at %d of %d: %d records, want %d", size, len(whole), got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	flipped := append([]byte{}, whole...)
	flipped[len(flipped)-2] ^= 1 // whole by its length, wrong by its CRC
	if err := os.WriteFile(path, flipped, 0o600); err != nil {
		t.Fatal(err)
	}
	c, torn, err := loadChunk(path, 0)
	if err != nil || len(c.entries) != 1 || torn != len(whole)-second {
		t.Errorf("a damaged record: %d records kept, %d bytes torn, %v", len(c.entries), torn, err)
	}
	damaged := append(append([]byte{}, whole...), "rubbish that is no frame"...)
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	f.kill(cfg)
	f.put("s", "k", "third")
	f.kill(cfg)
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "first second third" {
		t.Errorf("read %q after rubbish was cut off", got)
	}
}

func TestManyChunksAndLargeRecordsSurviveARestart(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 1)
	for i := range 40 {
		f.put("s", "k", strings.Repeat(string(rune('a'+i%26)), 10_000+i*5_000))
	}
	if n := len(logFiles(t, cfg.Dir)); n < 4 {
		t.Fatalf("%d chunk files, the test wants several", n)
	}
	before := f.snapshot("s")
	f.kill(cfg)
	if f.snapshot("s") != before {
		t.Error("the records changed over a restart")
	}
}

func TestTrimmedRecordsStayTrimmedAndNumbersRise(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 1)
	f.put("s", "k", strings.Repeat("x", 100_000))
	last := *f.put("s", "k", "y").SequenceNumber
	f.order("/admin/trim", `{"stream":"s"}`)
	f.kill(cfg)
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "" {
		t.Errorf("%d trimmed bytes are back", len(got))
	}
	if next := *f.put("s", "k", "z").SequenceNumber; next <= last {
		t.Errorf("%s after %s", next, last)
	}
	if n := len(logFiles(t, cfg.Dir)); n != 1 {
		t.Errorf("%d chunk files left, want the newest alone", n)
	}
}

func TestDeletedStreamIsGoneFromDiskAndARecreatedOneIsAnother(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 1)
	old := *f.put("s", "k", "a").SequenceNumber
	it := f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")
	if _, err := f.client.DeleteStream(t.Context(), &api.DeleteStreamInput{StreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	if rest, err := os.ReadDir(cfg.Dir); err != nil || len(rest) != 1 || rest[0].Name() != lockName {
		t.Errorf("left on disk: %v, %v; want the lock alone", rest, err)
	}
	f.refused("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":""}`, "ResourceNotFoundException", "Stream s under account 000000000000 not found.")
	f.advance(time.Minute)
	f.create("s", 1)
	f.refused("GetRecords", `{"ShardIterator":"`+it+`"}`, "InvalidArgumentException", "Invalid ShardIterator.")
	f.refused("GetShardIterator", `{"StreamName":"s","ShardId":"`+shard0+`","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"`+old+`"}`,
		"InvalidArgumentException", "StartingSequenceNumber "+old+" used in GetShardIterator on shard "+shard0+" in stream s under account 000000000000 is invalid because it did not come from this stream.")
}

func TestFailedWriteFailsTheRecordAndLaterOnesGoOn(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 1)
	f.put("s", "k", "a")
	if err := f.server.streams["s"].shards[0].log.file.Close(); err != nil { // the disk goes away
		t.Fatal(err)
	}
	f.refused("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"Yg=="}`, "InternalFailure", "Internal service failure.")
	f.put("s", "k", "c")
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "a c" {
		t.Errorf("read %q", got)
	}
	f.kill(cfg)
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "a c" {
		t.Errorf("read %q after a restart", got)
	}
}

// The next chunk file is a device that is always full, so the first write into
// it fails after it was opened.
func TestFullDiskAtTheFirstRecordOfAChunk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		need.Absent(t, "a full disk needs /dev/full")
	}
	cfg := Config{Dir: t.TempDir()}
	f := newFixture(t, cfg)
	f.create("s", 1)
	f.put("s", "k", "a")
	log := f.server.streams["s"].shards[0].log
	if err := os.Symlink("/dev/full", chunkPath(log.dir, 0, 2)); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("b", 2*chunkMin)
	_, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte(big)})
	wantCode(t, err, "InternalFailure")
	f.put("s", "k", "c")
	for range 2 {
		if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "a c" {
			t.Errorf("read %q", got)
		}
		f.kill(cfg)
	}
}

// Of two records the second needs a file that cannot be made. Whoever waits for
// the shard hears of the first at once, not at the next heartbeat.
func TestAPutThatFailsHalfwayTellsOfWhatItStored(t *testing.T) {
	log := &shardLog{dir: t.TempDir(), counter: new(atomic.Uint64), limit: 1}
	defer log.close(true)
	if err := os.Mkdir(chunkPath(log.dir, 0, 2), 0o700); err != nil {
		t.Fatal(err)
	}
	changed := log.changed()
	puts := []*put{{data: []byte("a")}, {data: make([]byte, 2*chunkMin)}}
	if err := log.append(1, puts); err == nil || puts[0].index == 0 || puts[1].index != 0 {
		t.Fatalf("error %v, indexes %d and %d", err, puts[0].index, puts[1].index)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the record that is stored")
	}
}
