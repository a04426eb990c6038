package kinesis

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func TestStreamPassesThroughItsStatesByTheClock(t *testing.T) {
	f := newFixture(t, Config{CreateDelay: time.Second, Account: "123456789012", Region: "eu-west-1"})
	status := func(want string) {
		t.Helper()
		out, err := f.client.DescribeStreamSummary(t.Context(), &api.DescribeStreamSummaryInput{StreamName: aws.String("s")})
		if err != nil || string(out.StreamDescriptionSummary.StreamStatus) != want {
			t.Fatalf("stream is %+v, %v; want %s", out, err, want)
		}
	}
	if _, err := f.client.CreateStream(t.Context(), &api.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	status("CREATING")
	f.refused("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"7"}`, "ResourceInUseException", "Stream s under account 123456789012 not ACTIVE, instead in state CREATING")
	f.refused("CreateStream", `{"StreamName":"s","ShardCount":1}`, "ResourceInUseException", "Stream s under account 123456789012 already exists.")
	f.refused("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":""}`, "ResourceNotFoundException", "Stream s under account 123456789012 not found.")
	f.advance(time.Second)
	status("ACTIVE")
	split(f, "s", shard0, "7")
	status("UPDATING")
	if out := f.put("s", "k", "while updating"); *out.ShardId == shard0 {
		t.Error("a record went to the closed parent")
	}
	f.refused("MergeShards", `{"StreamName":"s","ShardToMerge":"2","AdjacentShardToMerge":"3"}`, "ResourceInUseException", "Stream s under account 123456789012 not ACTIVE, instead in state UPDATING")
	f.advance(time.Second)
	status("ACTIVE")
	if _, err := f.client.DeleteStream(t.Context(), &api.DeleteStreamInput{StreamARN: aws.String("arn:aws:kinesis:eu-west-1:123456789012:stream/s")}); err != nil {
		t.Fatal(err)
	}
	status("DELETING")
	f.advance(time.Second)
	f.refused("DescribeStream", `{"StreamName":"s"}`, "ResourceNotFoundException", "Stream s under account 123456789012 not found.")
}

func TestARNIsAcceptedWhereverTheNameIs(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	f.advance(time.Second)
	const arn = `"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"`
	for _, tc := range [][2]string{
		{"DescribeStream", `{` + arn + `}`},
		{"DescribeStreamSummary", `{` + arn + `}`},
		{"ListShards", `{` + arn + `}`},
		{"PutRecord", `{` + arn + `,"PartitionKey":"k","Data":""}`},
		{"PutRecords", `{` + arn + `,"Records":[{"PartitionKey":"k","Data":""}]}`},
		{"GetShardIterator", `{` + arn + `,"ShardId":"0","ShardIteratorType":"LATEST"}`},
		{"GetRecords", `{` + arn + `,"ShardIterator":"` + f.iterator("s", shard0, types.ShardIteratorTypeLatest, "") + `"}`},
		{"UpdateMaxRecordSize", `{` + arn + `,"MaxRecordSizeInKiB":2048}`},
		{"IncreaseStreamRetentionPeriod", `{` + arn + `,"RetentionPeriodHours":48}`},
		{"DecreaseStreamRetentionPeriod", `{` + arn + `,"RetentionPeriodHours":24}`},
		{"SplitShard", `{` + arn + `,"ShardToSplit":"shard-0","NewStartingHashKey":"5"}`},
		{"MergeShards", `{` + arn + `,"ShardToMerge":"1","AdjacentShardToMerge":"shardId-2"}`},
		{"DeleteStream", `{` + arn + `,"StreamName":"s"}`},
	} {
		if status, _, body := f.raw(tc[0], tc[1]); status != http.StatusOK {
			t.Errorf("%s: %d %s", tc[0], status, body)
		}
	}
	f.refused("DescribeStream", `{`+arn+`,"StreamName":"t"}`, "InvalidArgumentException", "StreamName t does not match StreamARN arn:aws:kinesis:us-east-1:000000000000:stream/s.")
	f.refused("DescribeStream", `{"StreamARN":"arn:aws:kinesis:us-east-1:999999999999:stream/s"}`, "ResourceNotFoundException", "Stream s under account 999999999999 not found.")
	f.refused("DescribeStream", `{}`, "InvalidArgumentException", "Either StreamName or StreamARN should be provided.")
}

func TestDescribeStreamTellsItAllAndPages(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 3)
	_, _, body := f.raw("DescribeStream", `{"StreamName":"s","Limit":1}`)
	want := `{"StreamDescription":{"StreamName":"s","StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","StreamStatus":"ACTIVE","StreamModeDetails":{"StreamMode":"PROVISIONED"},"StreamCreationTimestamp":1772366400.000,"RetentionPeriodHours":24,"EnhancedMonitoring":[{"ShardLevelMetrics":[]}],"EncryptionType":"NONE","Shards":[{"ShardId":"shardId-000000000000","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"113427455640312821154458202477256070484"},"SequenceNumberRange":{"StartingSequenceNumber":"` +
		sequence{created: start0.Unix() - 2, time: start0.Unix() - 2}.String() + `"}}],"HasMoreShards":true}}`
	if strings.TrimSpace(body) != want {
		t.Errorf("described as\n%s\nwant\n%s", body, want)
	}
	pages := api.NewListStreamsPaginator(f.client, &api.ListStreamsInput{})
	for i := range 120 {
		f.create(fmt.Sprintf("t%03d", i), 1)
	}
	var names []string
	for pages.HasMorePages() {
		p, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, p.StreamNames...)
	}
	if len(names) != 121 || names[0] != "s" || names[120] != "t119" {
		t.Errorf("listed %d streams: %v", len(names), names)
	}
	f.raw("CreateStream", `{"StreamName":"on-demand"}`)
	out, err := f.client.DescribeStreamSummary(t.Context(), &api.DescribeStreamSummaryInput{StreamName: aws.String("on-demand")})
	if d := out.StreamDescriptionSummary; err != nil || *d.OpenShardCount != 4 || d.StreamModeDetails.StreamMode != types.StreamModeOnDemand || *d.MaxRecordSizeInKiB != 1024 {
		t.Errorf("on-demand stream is %+v, %v", d, err)
	}
}

func TestReshardIsRefusedWithTheServicesWords(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 3)
	const end = "113427455640312821154458202477256070484"
	key := func(k string) string {
		return "NewStartingHashKey " + k + " used in SplitShard() on shard " + shard0 + " in stream s under account 000000000000 is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey " + end + "."
	}
	for _, k := range []string{"0", "1", end, "340282366920938463463374607431768211455"} {
		f.refused("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"`+k+`"}`, "InvalidArgumentException", key(k))
	}
	adjacent := func(a, b string) string {
		return "Shards shardId-00000000000" + a + " and shardId-00000000000" + b + " in stream s under account 000000000000 are not an adjacent pair of shards eligible for merging"
	}
	for _, p := range [][2]string{{"0", "2"}, {"1", "0"}, {"2", "0"}, {"1", "1"}} {
		f.refused("MergeShards", `{"StreamName":"s","ShardToMerge":"`+p[0]+`","AdjacentShardToMerge":"`+p[1]+`"}`, "InvalidArgumentException", adjacent(p[0], p[1]))
	}
	split(f, "s", shard0, "2")                                      // the least key there is
	for _, name := range []string{shard0, "shardId-000000000009"} { // closed, unknown
		f.refused("SplitShard", `{"StreamName":"s","ShardToSplit":"`+name+`","NewStartingHashKey":"9"}`, "ResourceNotFoundException",
			"Could not find shard "+name+" in stream s under account 000000000000.")
	}
	f.refused("GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000009","ShardIteratorType":"LATEST"}`, "ResourceNotFoundException", "Shard shardId-000000000009 in stream s under account 000000000000 does not exist")
}

func TestIteratorsAreRefusedWithTheServicesWords(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 2)
	const must = "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified "
	other := sequence{created: start0.Unix() - 2, index: 1, time: start0.Unix(), shard: 1}.String()
	for _, tc := range [][3]string{
		{`"ShardIteratorType":"LATEST","StartingSequenceNumber":"1"`, "InvalidArgumentException", must + "LATEST and also a StartingSequenceNumber."},
		{`"ShardIteratorType":"AT_SEQUENCE_NUMBER"`, "InvalidArgumentException", must + "AT_SEQUENCE_NUMBER and no StartingSequenceNumber."},
		{`"ShardIteratorType":"AT_TIMESTAMP"`, "InvalidArgumentException", "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter."},
		{`"ShardIteratorType":"AT_TIMESTAMP","Timestamp":1772366400.001`, "InvalidArgumentException", "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: 1772366400001, currentTimestampInMillis: 1772366400000"},
		{`"ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"5"`, "InvalidArgumentException", "StartingSequenceNumber 5 used in GetShardIterator on shard " + shard0 + " in stream s under account 000000000000 is invalid."},
		{`"ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"` + other + `"`, "InvalidArgumentException", "Invalid StartingSequenceNumber. It encodes shardId-000000000001, while it was used in a call to a shard with shardId-000000000000"},
		{`"ShardIteratorType":"NOW"`, "ValidationException", "1 validation error detected: Value 'NOW' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]"},
		{`"ShardIteratorType":"LATEST","DryRun":true`, "DryRunOperationException", "Request would have succeeded, but DryRun flag is set."},
	} {
		f.refused("GetShardIterator", `{"StreamName":"s","ShardId":"`+shard0+`",`+tc[0]+`}`, tc[1], tc[2])
	}
	if status, _, body := f.raw("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1772366399000}`); status != 200 {
		t.Errorf("a time in milliseconds: %d %s", status, body)
	}
}

// listed is the shard numbers a ListShards answers, all pages.
func (f *fixture) listed(filter string, max int) string {
	f.t.Helper()
	in := &api.ListShardsInput{StreamName: aws.String("s"), MaxResults: aws.Int32(int32(max))}
	if kind, rest, _ := strings.Cut(filter, " "); filter != "" {
		in.ShardFilter = &types.ShardFilter{Type: types.ShardFilterType(kind)}
		switch {
		case kind == "AFTER_SHARD_ID":
			in.ShardFilter.ShardId = &rest
		case rest != "":
			d, err := time.ParseDuration(rest)
			if err != nil {
				f.t.Fatal(err)
			}
			in.ShardFilter.Timestamp = aws.Time(start0.Add(d))
		}
	}
	var s []string
	for {
		out, err := f.client.ListShards(f.t.Context(), in)
		if err != nil {
			f.t.Fatalf("%s: %v", filter, err)
		}
		for _, sh := range out.Shards {
			s = append(s, strings.TrimLeft((*sh.ShardId)[8:19], "0")+(*sh.ShardId)[19:])
		}
		if len(out.Shards) > max {
			f.t.Errorf("%d shards on a page of %d", len(out.Shards), max)
		}
		if out.NextToken == nil {
			return strings.Join(s, " ")
		}
		in = &api.ListShardsInput{NextToken: out.NextToken, MaxResults: aws.Int32(int32(max))}
	}
}

func TestEveryShardFilterListsWhatItPromisesOnEveryPageSize(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 2) // 0 and 1, open from the start
	f.advance(time.Hour)
	split(f, "s", shard0, "1000") // 2 and 3
	f.advance(time.Hour)
	if _, err := f.client.MergeShards(t.Context(), &api.MergeShardsInput{
		StreamName:   aws.String("s"),
		ShardToMerge: aws.String("shardId-000000000003"), AdjacentShardToMerge: aws.String("shardId-000000000001"),
	}); err != nil {
		t.Fatal(err) // 4
	}
	f.advance(time.Hour)
	check := func(filter, want string) {
		t.Helper()
		for _, max := range []int{1, 2, 1000} {
			if got := f.listed(filter, max); got != want {
				t.Errorf("%s by %d listed %q, want %q", filter, max, got, want)
			}
		}
	}
	check("", "0 1 2 3 4")
	check("FROM_TRIM_HORIZON", "0 1 2 3 4")
	check("AT_TRIM_HORIZON", "0 1")
	check("AT_LATEST", "2 4")
	check("AFTER_SHARD_ID "+shard0, "1 2 3 4")
	check("AT_TIMESTAMP 30m", "0 1")
	check("AT_TIMESTAMP 90m", "1 2 3")
	check("AT_TIMESTAMP 150m", "2 4")
	check("AT_TIMESTAMP -10h", "0 1") // before the stream: the horizon
	check("FROM_TIMESTAMP 90m", "1 2 3 4")
	check("FROM_TIMESTAMP -10h", "0 1 2 3 4")
	f.advance(22*time.Hour + time.Millisecond) // 0 closed more than 24 h ago
	check("", "1 2 3 4")
	check("AT_TRIM_HORIZON", "1 2 3")
	f.refused("GetShardIterator", `{"StreamName":"s","ShardId":"`+shard0+`","ShardIteratorType":"TRIM_HORIZON"}`, "ResourceNotFoundException", "Shard "+shard0+" in stream s under account 000000000000 does not exist")
	f.advance(30 * time.Hour)
	check("", "2 4")
	if n := len(f.server.streams["s"].shards); n != 2 {
		t.Errorf("%d shards are held, 2 are listed", n)
	}
	f.refused("ListShards", `{}`, "InvalidArgumentException", "Either NextToken or StreamName should be provided.")
	f.refused("ListShards", `{"StreamName":"s","NextToken":"x"}`, "InvalidArgumentException", "NextToken and StreamName cannot be provided together.")
	out, err := f.client.ListShards(t.Context(), &api.ListShardsInput{StreamName: aws.String("s"), MaxResults: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	f.advance(300*time.Second + time.Millisecond)
	_, err = f.client.ListShards(t.Context(), &api.ListShardsInput{NextToken: out.NextToken})
	wantCode(t, err, "ExpiredNextTokenException")
}

func TestRetentionTrimsExactlyAndFreesMemory(t *testing.T) {
	f := newFixture(t, Config{Dir: t.TempDir()})
	f.create("s", 1)
	log := f.server.streams["s"].shards[0].log
	old := *f.put("s", "k", strings.Repeat("x", 500_000)).SequenceNumber
	f.advance(time.Millisecond)
	f.put("s", "k", "young")
	f.advance(24*time.Hour - time.Millisecond)
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); len(got) != 500_000+6 {
		t.Fatalf("%d bytes at exactly 24 h", len(got))
	}
	f.advance(time.Millisecond)
	if got := f.data("s", shard0, types.ShardIteratorTypeAtSequenceNumber, old); got != "young" {
		t.Errorf("AT a trimmed number read %d bytes", len(got))
	}
	if len(log.chunks) != 1 {
		t.Errorf("%d chunks are held", len(log.chunks))
	}
	f.advance(time.Hour)
	f.raw("ListStreams", "{}") // any call frees
	if len(log.chunks) != 0 {
		t.Error("an idle shard keeps what left retention")
	}
	for _, tc := range [][4]string{
		{"IncreaseStreamRetentionPeriod", "23", "InvalidArgumentException", "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short."},
		{"DecreaseStreamRetentionPeriod", "25", "InvalidArgumentException", "Requested retention period (25 hours) for stream s can not be longer than existing retention period (24 hours). Use IncreaseRetentionPeriod API."},
		{"IncreaseStreamRetentionPeriod", "8761", "ValidationException", "1 validation error detected: Value '8761' at 'retentionPeriodHours' failed to satisfy constraint: Member must have value less than or equal to 8760"},
	} {
		f.refused(tc[0], `{"StreamName":"s","RetentionPeriodHours":`+tc[1]+`}`, tc[2], tc[3])
	}
}
