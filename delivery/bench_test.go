//go:build unix

package delivery

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/batcher"
	"github.com/standpipe/standpipe/checkpoint"
	storemem "github.com/standpipe/standpipe/checkpoint/memory"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/sink"
	sinkmem "github.com/standpipe/standpipe/sink/memory"
	"github.com/standpipe/standpipe/test/bench/canned"
)

// The journey in memory: one GetRecords page after another goes through the
// real shard, from the SDK's call to parts in a sink.
//
// Measured: taking the memory, the SDK's call (signing included) over a round
// tripper that copies and patches a canned answer, decoding, splitting, digest,
// routing, batching, compression, checksums, and the whole protocol of each
// flush against a store and a sink in memory. Not measured: TLS, the kernel,
// the wait between two calls, and what a real store and sink cost; for those
// see test/bench. It runs on one processor: MB/s is MB of payload per core,
// MB/cpu-s the same by the processor time the process was given, which is the
// figure to look at where neighbours take theirs.

// answers is an http.Client without a network: GetRecords gets the next page.
type answers struct {
	slices []*canned.Slice
	each   int // slices of one page
	pages  uint64
	body   []byte
}

// newAnswers has n distinct slices of size bytes, each of them of a page.
func newAnswers(kind canned.Kind, n, each, size int) *answers {
	return &answers{slices: canned.Slices(kind, 1, n, size), each: each}
}

func (a *answers) Do(req *http.Request) (*http.Response, error) {
	switch target := req.Header.Get("X-Amz-Target"); target {
	case "Kinesis_20131202.GetShardIterator":
		a.body = append(a.body[:0], `{"ShardIterator":"first"}`...)
	case "Kinesis_20131202.GetRecords":
		n := int(a.pages) * a.each % len(a.slices)
		a.body = canned.Page{
			Slices: a.slices[n : n+a.each], First: a.pages << 32, Arrival: time.UnixMilli(1_763_806_200_123), Next: "next",
		}.Append(a.body[:0])
		a.pages++
	default:
		return nil, fmt.Errorf("unexpected call %s", target)
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
		ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)), Request: req,
	}, nil
}

func (a *answers) config() aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("https://kinesis.invalid"), HTTPClient: a,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "bench", SecretAccessKey: "bench"}, nil
		}),
	}
}

// counting is a sink that reads and forgets: of the memory sink it keeps the
// state of uploads and small objects, not the bytes of parts.
type counting struct {
	*sinkmem.Sink
	buf   []byte
	bytes int64
}

func newCounting() *counting {
	return &counting{Sink: sinkmem.New(sinkmem.Options{Remembers: true}), buf: make([]byte, 32<<10)}
}

func (s *counting) Append(_ context.Context, _ sink.Upload, n int, b sink.Body) (sink.Part, error) {
	for {
		k, err := b.Read(s.buf)
		s.bytes += int64(k)
		if err == io.EOF {
			return sink.Part{ETag: fmt.Sprint(n), Size: b.Len(), CRC32: b.CRC32()}, nil
		}
		if err != nil {
			return sink.Part{}, err
		}
	}
}

func (s *counting) Publish(ctx context.Context, u sink.Upload) error { return s.Discard(ctx, u) }

// A journey is a shard that can be stepped page by page.
type journey struct {
	shard   *shard
	answers *answers
	sink    *counting
}

func newJourney(tb testing.TB, a *answers, codec sink.Codec, limits batcher.Limits) *journey {
	tb.Helper()
	keyer, err := sink.NewKeyer(sink.KeyConfig{
		Prefix: "rawdata/!{timestamp:yyyy/MM/dd/HH}/", ErrorPrefix: "errors/!{firehose:error-output-type}/",
		StreamName: "bench", Version: 1, TimeZone: "Asia/Seoul", Codec: codec,
	})
	if err != nil {
		tb.Fatal(err)
	}
	j := &journey{answers: a, sink: newCounting()}
	store := new(storemem.Store)
	info := standpipe.Shard{ID: "shardId-000000000000", HashStart: "0", HashEnd: "340282366920938463463374607431768211455"}
	lease := checkpoint.Lease{
		Shard: info.ID, Incarnation: "1", HashStart: info.HashStart, HashEnd: info.HashEnd,
		Checkpoint: standpipe.Position{Sequence: standpipe.TrimHorizon},
	}
	if err := store.Create(tb.Context(), lease); err != nil {
		tb.Fatal(err)
	}
	worker := NewWorker(Settings{Worker: "bench", RecordFormat: Lines, Deaggregation: consumer.KeepAll, Limits: limits}, Parts{
		Stream: Kinesis{consumer.NewClient(a.config(), "bench")}, Store: store, Sink: j.sink,
		Keyer: keyer, Codec: codec, Slots: sink.NewSlots(1), Budget: NewBudget(256 << 20),
	})
	j.shard = newShard(worker, lease, info)
	if err := j.shard.protocol.take(tb.Context(), "bench"); err != nil {
		tb.Fatal(err)
	}
	j.shard.source = j.shard.open(consumer.Start{Position: lease.Checkpoint})
	j.shard.current = j.shard.newFlush(lease.Checkpoint)
	return j
}

// page is shard.step without its waiting.
func (j *journey) page(tb testing.TB) {
	room, err := j.shard.reserve(tb.Context(), tb.Context())
	if err != nil || room == 0 {
		tb.Fatalf("reserve: room %d, error %v", room, err)
	}
	// A page that was larger than the first estimate is asked for again.
	if ok, err := j.shard.fetch(tb.Context(), room); err != nil || !ok && j.shard.need == 0 {
		tb.Fatalf("fetch: %v, status %q", err, j.shard.state.Holding)
	} else if !ok {
		j.page(tb)
		return
	}
	if err := j.shard.take(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

func codecs(tb testing.TB) []sink.Codec {
	var all []sink.Codec
	for _, c := range []struct {
		format sink.Format
		level  int
	}{{sink.None, 0}, {sink.Gzip, 1}, {sink.Gzip, 6}, {sink.Zstd, 1}} {
		codec, err := sink.NewCodec(c.format, c.level)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, codec)
	}
	return all
}

const (
	// sliceSize is an eighth of a page of 1 MiB.
	sliceSize = 128 << 10
	// benchSlices are 16 distinct pages.
	benchSlices = 128
)

// benchLimits are buffering hints of 16 MiB.
var benchLimits = batcher.Limits{Bytes: 16 << 20, Age: time.Hour, Batches: 100}

// onOneCore runs the rest of a benchmark on one processor.
func onOneCore(b *testing.B) {
	before := runtime.GOMAXPROCS(1)
	b.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs f, which takes a page of that size, and reports the figures of
// both benchmarks in the same way.
func measure(b *testing.B, payload int64, records int64, f func()) {
	b.SetBytes(payload)
	b.ReportAllocs()
	begun := cpuTime()
	for b.Loop() {
		f()
	}
	used := cpuTime() - begun
	b.ReportMetric(float64(payload)*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(records), "records/op")
}

func BenchmarkJourney(b *testing.B) {
	for _, kind := range []canned.Kind{canned.Click, canned.Small, canned.Large} {
		for _, codec := range codecs(b) {
			b.Run(fmt.Sprintf("%s/%s-%d", kind, codec.Format(), codec.Level()), func(b *testing.B) {
				onOneCore(b)
				a := newAnswers(kind, benchSlices, 8, sliceSize)
				j := newJourney(b, a, codec, benchLimits)
				j.page(b)
				measure(b, a.payload(), a.records(), func() { j.page(b) })
				b.ReportMetric(float64(j.shard.parts.Budget.Peak())/1e6, "held-MB")
				if err := j.shard.drain(b.Context(), ""); !errors.Is(err, errDrained) {
					b.Fatal(err)
				}
				b.ReportMetric(float64(a.payload())*float64(a.pages)/float64(j.sink.bytes), "ratio")
			})
		}
	}
}

// payload and records are those of one page, on average.
func (a *answers) payload() (n int64) {
	for _, s := range a.slices {
		n += s.Payload
	}
	return n * int64(a.each) / int64(len(a.slices))
}

func (a *answers) records() (n int64) {
	for _, s := range a.slices {
		n += s.Records
	}
	return n * int64(a.each) / int64(len(a.slices))
}

// BenchmarkPlain is what most programs do with the same answers: the SDK's
// GetRecords, a bufio.Scanner over each record, compress/gzip. It counts no
// records, hashes no lines, remembers no position and cuts objects of 16 MiB.
func BenchmarkPlain(b *testing.B) {
	for _, kind := range []canned.Kind{canned.Click, canned.Small, canned.Large} {
		for _, level := range []int{1, 6} {
			b.Run(fmt.Sprintf("%s/gzip-%d", kind, level), func(b *testing.B) {
				onOneCore(b)
				a := newAnswers(kind, benchSlices, 8, sliceSize)
				p := newPlain(b, a, level)
				measure(b, a.payload(), a.records(), func() { p.page(b) })
			})
		}
	}
}

type plain struct {
	client *kinesis.Client
	object bytes.Buffer
	gzip   *gzip.Writer
	raw    int
	sum    uint32
}

func newPlain(b *testing.B, a *answers, level int) *plain {
	p := &plain{client: kinesis.NewFromConfig(a.config())}
	var err error
	if p.gzip, err = gzip.NewWriterLevel(&p.object, level); err != nil {
		b.Fatal(err)
	}
	return p
}

func (p *plain) page(b *testing.B) {
	out, err := p.client.GetRecords(b.Context(), &kinesis.GetRecordsInput{ShardIterator: aws.String("it")})
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range out.Records {
		lines := bufio.NewScanner(bytes.NewReader(r.Data))
		for lines.Scan() {
			p.raw += len(lines.Bytes()) + 1
			if _, err := p.gzip.Write(append(lines.Bytes(), '\n')); err != nil {
				b.Fatal(err)
			}
		}
	}
	if p.raw < int(benchLimits.Bytes) {
		return
	}
	if err := p.gzip.Close(); err != nil {
		b.Fatal(err)
	}
	p.sum ^= crc32.ChecksumIEEE(p.object.Bytes())
	p.object.Reset()
	p.gzip.Reset(&p.object)
	p.raw = 0
}

// A page costs what its requests and parts cost; a record must cost nothing
// more, or the garbage collector is back in the hot path.
func TestARecordAllocatesNothing(t *testing.T) {
	limits := batcher.Limits{Age: time.Hour}
	for _, codec := range codecs(t) {
		per := func(each int) (allocs float64, records int64) {
			a := newAnswers(canned.Small, 8*each, each, 8<<10)
			j := newJourney(t, a, codec, limits)
			for range 16 {
				j.page(t)
			}
			return testing.AllocsPerRun(10, func() { j.page(t) }), a.records()
		}
		few, fewRecords := per(1)
		many, manyRecords := per(8)
		t.Logf("%s: %.0f allocations for a page of %d records, %.0f for one of %d", codec.Format(), few, fewRecords, many, manyRecords)
		if extra := (many - few) / float64(manyRecords-fewRecords); extra > 0.05 { // a pool may be refilled meanwhile
			t.Errorf("%s: a record costs %.3f allocations", codec.Format(), extra)
		}
	}
}

// What a shard holds is bounded by its page, its part and a chunk, however
// long the object grows.
func TestAShardHoldsAPageAPartAndAChunk(t *testing.T) {
	const page = 8 * sliceSize
	for _, codec := range codecs(t)[:2] {
		j := newJourney(t, newAnswers(canned.Click, 16, 8, sliceSize), codec, batcher.Limits{Age: time.Hour})
		for range 32 { // at gzip 1 a part and a half
			j.page(t)
		}
		// The first page is read under an estimate for any page.
		limit := max(roomFor(consumer.MaxPage), roomFor(3*page)+sink.DefaultPartSize+2*page)
		if peak := j.shard.parts.Budget.Peak(); peak > limit {
			t.Errorf("%s: %d bytes were taken, more than %d", codec.Format(), peak, limit)
		}
		if held := j.shard.state.Buffered; held > sink.DefaultPartSize+2*page {
			t.Errorf("%s: %d bytes are held between two pages", codec.Format(), held)
		}
	}
}
