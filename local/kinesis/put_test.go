package kinesis

import (
	"fmt"
	"strings"
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
			out, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{
				StreamName: aws.String("s"), PartitionKey: aws.String("k"),
				Data: []byte("x"), ExplicitHashKey: aws.String(k.String()),
			})
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
		{
			"PutRecords", `{"StreamName":"s","Records":[` + strings.Repeat(`{"Data":"","PartitionKey":"k"},`, 500) + `{"Data":"","PartitionKey":"k"}]}`, "ValidationException",
			"1 validation error detected: Value '[PutRecordsRequestEntry, ...]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500",
		},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"","Data":""}`, "ValidationException", "1 validation error detected: Value '' at 'partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","ExplicitHashKey":"01"}`, "ValidationException", `1 validation error detected: Value '01' at 'explicitHashKey' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","ExplicitHashKey":"340282366920938463463374607431768211456"}`, "InvalidArgumentException", "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 340282366920938463463374607431768211456"},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","SequenceNumberForOrdering":"7"}`, "InvalidArgumentException", "ExclusiveMinimumSequenceNumber 7 used in PutRecord on stream s under account 000000000000 is invalid."},
		{"PutRecord", `{"StreamName":"t","PartitionKey":"k","Data":""}`, "ResourceNotFoundException", "Stream t under account 000000000000 not found."},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"","DryRun":true}`, "DryRunOperationException", "Request would have succeeded, but DryRun flag is set."},
		{"PutRecords", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"}],"DryRun":true}`, "DryRunOperationException", "Request would have succeeded, but DryRun flag is set."},
		{
			"PutRecords", `{"StreamName":"s","Records":[{"Data":"","PartitionKey":"k"},{"Data":"","PartitionKey":"k","ExplicitHashKey":"999999999999999999999999999999999999999"}]}`, "InvalidArgumentException",
			"Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was 999999999999999999999999999999999999999",
		},
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
