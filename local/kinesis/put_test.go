package kinesis

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/standpipe/standpipe"
)

func entryOf(key, data string) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(data)}
}

func TestRecordsGoToTheShardOfTheirHash(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 4)
	ranges := evenRanges(4)
	for i := range 64 {
		key := fmt.Sprint("ключ-", i)
		out := f.put("s", key, "x")
		index, _ := parseShardName(*out.ShardId)
		r := ranges[index]
		if h := keyHash([]byte(key)); h.compare(r.Start) < 0 || h.compare(r.End) > 0 {
			t.Errorf("key %s with hash %s went to %s", key, h, *out.ShardId)
		}
	}
	for i, r := range ranges {
		for _, k := range []hashKey{r.Start, r.End} {
			out, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"),
				Data: []byte("x"), ExplicitHashKey: aws.String(k.String())})
			if err != nil || *out.ShardId != shardName(uint32(i)) {
				t.Errorf("explicit hash key %s went to %+v, %v; want shard %d", k, out, err, i)
			}
		}
	}
}

func TestEveryByteAndKeyComesBackAsItWasPut(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	keys := []string{"plain", `quote " and \ back`, "tab\tline\n", "é€😀", strings.Repeat("😀", 128), "</script>&"}
	var entries []types.PutRecordsRequestEntry
	for i, k := range keys {
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: &k, Data: all[:i*51]})
	}
	if _, err := f.client.PutRecords(t.Context(), &api.PutRecordsInput{StreamName: aws.String("s"), Records: entries}); err != nil {
		t.Fatal(err)
	}
	for i, r := range f.get(f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")).Records {
		if *r.PartitionKey != keys[i] || string(r.Data) != string(all[:i*51]) || !r.ApproximateArrivalTimestamp.Equal(start0) {
			t.Errorf("record %d came back as %q %q %v", i, *r.PartitionKey, r.Data, r.ApproximateArrivalTimestamp)
		}
	}
}

func TestPutRecordsAnswersInOrderWithNumbersThatRise(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 3)
	var entries []types.PutRecordsRequestEntry
	for i := range 500 {
		entries = append(entries, entryOf(fmt.Sprint(i), fmt.Sprint(i)))
	}
	out, err := f.client.PutRecords(t.Context(), &api.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
	if err != nil || *out.FailedRecordCount != 0 {
		t.Fatalf("put: %+v, %v", out, err)
	}
	told := map[string]string{}
	last := map[string]string{}
	for i, r := range out.Records {
		if last[*r.ShardId] != "" && standpipe.CompareSequence(last[*r.ShardId], *r.SequenceNumber) >= 0 {
			t.Fatalf("record %d: %s is not above %s", i, *r.SequenceNumber, last[*r.ShardId])
		}
		last[*r.ShardId] = *r.SequenceNumber
		told[*r.ShardId+*r.SequenceNumber] = fmt.Sprint(i)
	}
	n := 0
	for i := range 3 {
		for _, r := range f.get(f.iterator("s", shardName(uint32(i)), types.ShardIteratorTypeTrimHorizon, "")).Records {
			n++
			if told[shardName(uint32(i))+*r.SequenceNumber] != string(r.Data) {
				t.Fatalf("record %s is %s, the put told %s", *r.SequenceNumber, r.Data, told[*r.SequenceNumber])
			}
		}
	}
	if n != 500 {
		t.Errorf("read %d records", n)
	}
}

func TestLargeRecordsAndPagesAreBoundedAtTenMiB(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	mib := strings.Repeat("m", 1<<20-1)
	f.put("s", "k", mib)
	_, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte(mib + "m")})
	wantCode(t, err, "ValidationException")
	arn := f.server.streams["s"].arn
	if _, err := f.client.UpdateMaxRecordSize(t.Context(), &api.UpdateMaxRecordSizeInput{StreamARN: &arn, MaxRecordSizeInKiB: aws.Int32(10240)}); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("l", 10<<20-1)
	f.put("s", "k", large)
	f.put("s", "k", "small")
	it := f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")
	for i, want := range []int{len(mib), len(large), len("small")} {
		out := f.get(it)
		if len(out.Records) != 1 || len(out.Records[0].Data) != want {
			t.Fatalf("page %d has %d records", i, len(out.Records))
		}
		it = *out.NextShardIterator
	}
	var entries []types.PutRecordsRequestEntry
	for range 10 {
		entries = append(entries, entryOf("k", mib))
	}
	in := &api.PutRecordsInput{StreamName: aws.String("s"), Records: entries}
	if _, err := f.client.PutRecords(t.Context(), in); err != nil {
		t.Errorf("10 MiB of records: %v", err)
	}
	in.Records = append(in.Records, entryOf("k", ""))
	_, err = f.client.PutRecords(t.Context(), in)
	wantCode(t, err, "InvalidArgumentException")
	_, err = f.client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte(large + "l")})
	wantCode(t, err, "ValidationException")
}

func TestBodyAboveFifteenMiBIs413(t *testing.T) {
	f := newFixture(t, Config{})
	for size, want := range map[int]int{bodyMax: 400, bodyMax + 1: 413, 40 << 20: 413} {
		if status, _, body := f.raw("PutRecord", strings.Repeat(" ", size)); status != want {
			t.Errorf("%d bytes: %d %s", size, status, body)
		}
	}
}

func TestPutsAreRefusedWithTheServicesWords(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	null := func(m string) string {
		return "Value null at '" + m + "' failed to satisfy constraint: Member must not be null"
	}
	for _, tc := range [][4]string{
		{"PutRecord", ``, "SerializationException", ""},
		{"PutRecord", `{"StreamName":"s"`, "SerializationException", ""},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"*"}`, "SerializationException", "'' can not be converted to a Blob: the text is not base64"},
		{"PutRecords", `{"Records":{}}`, "SerializationException", "Expected list or null"},
		{"PutRecord", `{"StreamName":"s"}`, "ValidationException", "2 validation errors detected: " + null("data") + "; " + null("partitionKey")},
		{"PutRecords", `{"StreamName":"s"}`, "ValidationException", "1 validation error detected: " + null("records")},
		{"PutRecords", `{"StreamName":"s","Records":[]}`, "ValidationException", "1 validation error detected: Value '[]' at 'records' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecords", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"},{"PartitionKey":"k"}]}`, "ValidationException", "1 validation error detected: " + null("records.2.member.data")},
		{"PutRecords", `{"StreamName":"s","Records":[` + strings.Repeat(`{"Data":"","PartitionKey":"k"},`, 500) + `{"Data":"","PartitionKey":"k"}]}`, "ValidationException",
			"1 validation error detected: Value '[PutRecordsRequestEntry, ...]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"","Data":""}`, "ValidationException", "1 validation error detected: Value '' at 'partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","ExplicitHashKey":"01"}`, "ValidationException", `1 validation error detected: Value '01' at 'explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","ExplicitHashKey":"340282366920938463463374607431768211456"}`, "InvalidArgumentException", "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 340282366920938463463374607431768211456"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","SequenceNumberForOrdering":"7"}`, "InvalidArgumentException", "ExclusiveMinimumSequenceNumber 7 used in PutRecord on stream s under account 000000000000 is invalid."},
		{"PutRecord", `{"StreamName":"t","PartitionKey":"k","Data":""}`, "ResourceNotFoundException", "Stream t under account 000000000000 not found."},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","DryRun":true}`, "DryRunOperationException", "Request would have succeeded, but DryRun flag is set."},
		{"PutRecords", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"}],"DryRun":true}`, "DryRunOperationException", "Request would have succeeded, but DryRun flag is set."},
		{"PutRecords", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"},{"Data":"","PartitionKey":"k","ExplicitHashKey":"999999999999999999999999999999999999999"}]}`, "InvalidArgumentException",
			"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 999999999999999999999999999999999999999"},
	} {
		f.refused(tc[0], tc[1], tc[2], tc[3])
	}
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "" {
		t.Errorf("a refused put stored %q", got)
	}
	first := f.put("s", "k", "a")
	second, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("b"), SequenceNumberForOrdering: first.SequenceNumber})
	if err != nil || *second.SequenceNumber <= *first.SequenceNumber {
		t.Errorf("ordered put: %+v, %v", second, err)
	}
}

// The requests are AWS's own goldens inside the SDK module: each must parse,
// whatever is then wrong with its made-up values.
func TestTheSDKsGoldenRequestsParse(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/kinesis").Output()
	if err != nil {
		t.Fatalf("find the SDK module: %v", err)
	}
	f := newFixture(t, Config{})
	for op := range operations {
		golden, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "request_snapshot", op+".request.snap"))
		if err != nil {
			t.Fatal(err)
		}
		_, body, ok := strings.Cut(strings.ReplaceAll(string(golden), "\r\n", "\n"), "\n\n{")
		if !ok {
			t.Fatalf("%s: no body in %s", op, golden)
		}
		status, header, answer := f.raw(op, "{"+body)
		if status == 500 || status == 404 || strings.Contains(answer, "SerializationException") || strings.Contains(answer, "UnknownOperation") {
			t.Errorf("%s: %d %s", op, status, answer)
		}
		if header.Get("x-amzn-RequestId") == "" || header.Get("x-amz-id-2") == "" || header.Get("Content-Length") == "" {
			t.Errorf("%s: headers %v", op, header)
		}
	}
}

func TestFramingErrorsHaveTheServicesForms(t *testing.T) {
	f := newFixture(t, Config{})
	for _, tc := range []struct {
		method, contentType, target, body string
		status                            int
		want                              string
	}{
		{"POST", "application/x-amz-json-1.1", "Kinesis_20131202.Nonsense", "{}", 400, `{"__type":"UnknownOperationException"}`},
		{"POST", "application/x-amz-json-1.1", "ListStreams", "{}", 400, `{"__type":"UnknownOperationException"}`},
		{"POST", "application/x-amz-json-1.1", "Kinesis_20131202.ListStreams", "", 400, `{"__type":"SerializationException"}`},
		{"POST", "application/x-amz-json-1.1; charset=utf-8", "Kinesis_20131202.ListStreams", "{}", 200, `{"StreamNames":[],"StreamSummaries":[],"HasMoreStreams":false}`},
		{"POST", "text/plain", "Kinesis_20131202.ListStreams", "{}", 404, "<UnknownOperationException/>"},
		{"POST", "application/json", "Kinesis_20131202.ListStreams", "{}", 404, `{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`},
		{"GET", "", "", "", 403, "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized</Message>\n</AccessDeniedException>"},
		{"POST", "application/x-amz-json-1.1", "Kinesis_20131202.ListStreams", `{"Limit":"1"}`, 400, `{"Message":"class java.lang.String can not be converted to an Integer","__type":"SerializationException"}`},
	} {
		r, err := http.NewRequest(tc.method, f.url+"/any/path", strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", tc.contentType)
		r.Header.Set("X-Amz-Target", tc.target)
		transport := &http.Transport{DisableKeepAlives: true}
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != tc.status || strings.TrimSpace(string(b)) != tc.want {
			t.Errorf("%s %s %s: %d %s, want %d %s", tc.method, tc.contentType, tc.target, res.StatusCode, b, tc.status, tc.want)
		}
	}
}

// Producers, readers, splits and merges at once: nothing is lost, each shard
// keeps the order of its numbers, each producer's records of one key come in
// their order when parents are read before children.
func TestReshardWhileProducingLosesAndReordersNothing(t *testing.T) {
	f := newFixture(t, Config{Dir: t.TempDir()})
	f.create("s", 2)
	const producers, calls, size = 4, 60, 20
	var wg sync.WaitGroup
	var done atomic.Int32
	for p := range producers {
		wg.Go(func() {
			defer done.Add(1)
			for i := range calls {
				var entries []types.PutRecordsRequestEntry
				for j := range size {
					entries = append(entries, entryOf(fmt.Sprint("key-", p), fmt.Sprintf("%d/%06d", p, i*size+j)))
				}
				out, err := f.client.PutRecords(t.Context(), &api.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
				if err != nil || *out.FailedRecordCount != 0 {
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	wg.Go(func() { // split what is open, then merge the children again
		for done.Load() < producers {
			f.reshardOnce()
		}
	})
	wg.Go(func() { // a reader beside them sees only rising numbers
		it := f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")
		last := "0"
		for it != "" {
			out, err := f.client.GetRecords(t.Context(), &api.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(50)})
			if err != nil {
				t.Errorf("get: %v", err)
				return
			}
			for _, r := range out.Records {
				if standpipe.CompareSequence(last, *r.SequenceNumber) >= 0 {
					t.Errorf("%s after %s", *r.SequenceNumber, last)
				}
				last = *r.SequenceNumber
			}
			if it = aws.ToString(out.NextShardIterator); it != "" && done.Load() == producers && len(out.Records) == 0 {
				return
			}
		}
	})
	wg.Wait()
	f.checkLineage(producers, calls*size)
}

// reshardOnce splits the first open shard wide enough in the middle or, when
// there are many, merges the first two neighbours.
func (f *fixture) reshardOnce() {
	st := f.server.streams["s"]
	st.mu.RLock()
	open := append([]*shard{}, st.routes...)
	st.mu.RUnlock()
	var err error
	if len(open) > 4 {
		_, err = f.client.MergeShards(f.t.Context(), &api.MergeShardsInput{StreamName: aws.String("s"),
			ShardToMerge: aws.String(open[0].name()), AdjacentShardToMerge: aws.String(open[1].name())})
	} else {
		sh := open[len(open)-1]
		middle := sh.hash.Start.big()
		middle.Add(middle, sh.hash.End.big()).Rsh(middle, 1)
		_, err = f.client.SplitShard(f.t.Context(), &api.SplitShardInput{StreamName: aws.String("s"), ShardToSplit: aws.String(sh.name()), NewStartingHashKey: aws.String(middle.String())})
		if sh.hash.Start.hi == sh.hash.End.hi { // as narrow as 2^64: enough
			return
		}
	}
	if err != nil {
		f.t.Errorf("reshard: %v", err)
	}
	f.advance(1)
}

// checkLineage reads all shards, parents first: numbers rise from parent to
// child, and every producer's records are there once and in order.
func (f *fixture) checkLineage(producers, each int) {
	f.t.Helper()
	list, err := f.client.ListShards(f.t.Context(), &api.ListShardsInput{StreamName: aws.String("s")})
	if err != nil {
		f.t.Fatal(err)
	}
	if len(list.Shards) < 5 {
		f.t.Fatalf("only %d shards: nothing was resharded", len(list.Shards))
	}
	ends := map[string]string{}
	next := make([]int, producers)
	for _, sh := range list.Shards { // ids rise from parent to child
		last := "0"
		for _, parent := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
			if end := ends[aws.ToString(parent)]; standpipe.CompareSequence(end, last) > 0 {
				last = end
			}
		}
		for it := f.iterator("s", *sh.ShardId, types.ShardIteratorTypeTrimHorizon, ""); it != ""; {
			out := f.get(it)
			for _, r := range out.Records {
				var p, n int
				if _, err := fmt.Sscanf(string(r.Data), "%d/%d", &p, &n); err != nil {
					f.t.Fatal(err)
				}
				if n != next[p] || standpipe.CompareSequence(last, *r.SequenceNumber) >= 0 {
					f.t.Fatalf("%s: producer %d: record %d, want %d; %s after %s", *sh.ShardId, p, n, next[p], *r.SequenceNumber, last)
				}
				next[p], last = n+1, *r.SequenceNumber
			}
			if it = aws.ToString(out.NextShardIterator); len(out.Records) == 0 {
				break
			}
		}
		ends[*sh.ShardId] = last
		if e := sh.SequenceNumberRange.EndingSequenceNumber; e != nil {
			ends[*sh.ShardId] = *e
		}
	}
	for p, n := range next {
		if n != each {
			f.t.Errorf("producer %d: %d records read, want %d", p, n, each)
		}
	}
}

// The benchmarks go through the whole handler over loopback HTTP with
// a client that does nothing, so that the server is what they measure.
func benchServer(b *testing.B, dir string) (string, *Server) {
	s, err := New(Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.EnsureStream("s", 1); err != nil {
		b.Fatal(err)
	}
	return "s", s
}

// A sink is a ResponseWriter that keeps the last body's status and nothing else.
type sink struct {
	header http.Header
	status int
	size   int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { s.size += len(b); return len(b), nil }

func serve(b *testing.B, s *Server, op, body string) {
	r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", contentJSON)
	r.Header.Set("X-Amz-Target", target+op)
	w := &sink{header: http.Header{}}
	s.ServeHTTP(w, r)
	if w.status != http.StatusOK {
		b.Fatalf("%s: status %d", op, w.status)
	}
}

func putBody(records, size int) string {
	data := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", size)))
	var s strings.Builder
	s.WriteString(`{"StreamName":"s","Records":[`)
	for i := range records {
		if i > 0 {
			s.WriteByte(',')
		}
		fmt.Fprintf(&s, `{"Data":"%s","PartitionKey":"key-%d"}`, data, i)
	}
	s.WriteString("]}")
	return s.String()
}

func BenchmarkPutRecords500x1KB(b *testing.B) {
	for _, mode := range []string{"memory", "files"} {
		b.Run(mode, func(b *testing.B) {
			dir := ""
			if mode == "files" {
				dir = b.TempDir()
			}
			_, s := benchServer(b, dir)
			defer s.Close()
			body := putBody(500, 1000)
			b.SetBytes(500 * 1000)
			n := 0
			for b.Loop() {
				serve(b, s, "PutRecords", body)
				if n++; n%1000 == 0 { // 500 MB: keep the machine's memory
					sh := s.streams["s"].shards[0]
					sh.log.trim(sh.log.tip())
				}
			}
		})
	}
}

func BenchmarkGetRecords(b *testing.B) {
	for _, size := range []int{100, 1000, 100_000} {
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			_, s := benchServer(b, "")
			defer s.Close()
			total := 10_000_000 / size
			for n := 0; n < total; n += min(total, 100) {
				serve(b, s, "PutRecords", putBody(min(total, 100), size))
			}
			st := s.streams["s"]
			it := s.iterator(st, st.shards[0], 0, s.clock.now())
			page := min(total, getRecordsMax)
			b.SetBytes(int64(page * size))
			for b.Loop() {
				serve(b, s, "GetRecords", `{"ShardIterator":"`+it+`"}`)
			}
		})
	}
}
