package kinesis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// ok posts requests that have to succeed and returns the last answer.
func (f *fixture) ok(requests ...string) (answer string) {
	f.t.Helper()
	for _, r := range requests {
		op, body, _ := strings.Cut(r, " ")
		var status int
		if status, _, answer = f.raw(op, body); status != 200 {
			f.t.Errorf("%s %s: %d %s", op, body, status, answer)
		}
	}
	return answer
}

// wants posts a request and compares the whole answer.
func (f *fixture) wants(request, want string) {
	f.t.Helper()
	if got := f.ok(request); got != want {
		f.t.Errorf("%s\n answered %s\n     want %s", request, got, want)
	}
}

const sARN = "arn:aws:kinesis:us-east-1:000000000000:stream/s"

func TestSettingsAreStoredToldAndKeptOverARestart(t *testing.T) {
	dir := t.TempDir()
	f := newFixture(t, Config{Dir: dir})
	f.ok(
		`CreateStream {"StreamName":"s","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"RecordDistributionStrategy":"AUTO","WarmThroughputMiBps":5,"Tags":{"b":"2","a":"1"}}`,
		`StartStreamEncryption {"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`,
		`EnableEnhancedMonitoring {"StreamName":"s","ShardLevelMetrics":["OutgoingBytes","IncomingBytes"]}`,
		`UpdateMaxRecordSize {"StreamARN":"`+sARN+`","MaxRecordSizeInKiB":2048}`,
		`IncreaseStreamRetentionPeriod {"StreamName":"s","RetentionPeriodHours":48}`,
		`PutResourcePolicy {"ResourceARN":"`+sARN+`","Policy":"{\"Version\":\"2012-10-17\"}"}`,
		`RegisterStreamConsumer {"StreamARN":"`+sARN+`","ConsumerName":"c","Tags":{"k":"v"}}`,
	)
	consumer := sARN + fmt.Sprintf("/consumer/c:%d", start0.Unix())
	f.ok(`TagResource {"ResourceARN":"`+consumer+`","Tags":{"l":"w"}}`, `PutResourcePolicy {"ResourceARN":"`+consumer+`","Policy":"{}"}`)
	look := []string{
		`DescribeStreamSummary {"StreamName":"s"}`, `ListTagsForStream {"StreamName":"s"}`, `GetResourcePolicy {"ResourceARN":"` + sARN + `"}`,
		`DescribeStreamConsumer {"ConsumerARN":"` + consumer + `"}`, `ListTagsForResource {"ResourceARN":"` + consumer + `"}`,
		`ListTagsForResource {"ResourceARN":"` + sARN + `"}`, `ListStreamConsumers {"StreamARN":"` + sARN + `"}`,
	}
	before := map[string]string{}
	for _, l := range look {
		before[l] = f.ok(l)
	}
	for _, want := range []string{
		`"RetentionPeriodHours":48`, `"EncryptionType":"KMS"`, `"KeyId":"alias/aws/kinesis"`, `"ShardLevelMetrics":["IncomingBytes","OutgoingBytes"]`,
		`"ConsumerCount":1`, `"MaxRecordSizeInKiB":2048`, `"RecordDistributionStrategy":"AUTO"`, `"WarmThroughput":{"TargetMiBps":5,"CurrentMiBps":5}`,
	} {
		if !strings.Contains(before[look[0]], want) {
			t.Errorf("the summary lacks %s: %s", want, before[look[0]])
		}
	}
	if got := before[look[1]]; got != `{"Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}],"HasMoreTags":false}` {
		t.Errorf("tags: %s", got)
	}
	if err := f.server.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(Config{Dir: dir})
	for _, l := range look {
		f.wants(l, before[l])
	}
	f.ok(
		`StopStreamEncryption {"StreamName":"s","EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}`,
		`DisableEnhancedMonitoring {"StreamName":"s","ShardLevelMetrics":["ALL"]}`,
		`UpdateStreamWarmThroughput {"StreamName":"s","WarmThroughputMiBps":0}`,
		`UpdateStreamRecordDistributionStrategy {"StreamARN":"`+sARN+`","RecordDistributionStrategy":"USER_PARTITION_KEY"}`,
		`DeleteResourcePolicy {"ResourceARN":"`+sARN+`"}`,
		`UntagResource {"ResourceARN":"`+sARN+`","TagKeys":["a","nothing"]}`,
		`RemoveTagsFromStream {"StreamName":"s","TagKeys":["b"]}`,
	)
	got := f.ok(look[0])
	for _, want := range []string{`"EncryptionType":"NONE"`, `"ShardLevelMetrics":[]`, `"RecordDistributionStrategy":"USER_PARTITION_KEY"`} {
		if !strings.Contains(got, want) || strings.Contains(got, "KeyId") || strings.Contains(got, "WarmThroughput") {
			t.Errorf("the summary lacks %s: %s", want, got)
		}
	}
	f.wants(look[1], `{"Tags":[],"HasMoreTags":false}`)
	f.wants(look[2], `{"Policy":"{}"}`)
	f.refused("DeleteResourcePolicy", `{"ResourceARN":"`+sARN+`"}`, "ResourceNotFoundException", "No resource policy found for resource ARN "+sARN)
}

func TestSlowSettingsLeaveTheStreamUpdating(t *testing.T) {
	for _, request := range []string{
		`StartStreamEncryption {"StreamName":"s","EncryptionType":"KMS","KeyId":"k"}`,
		`EnableEnhancedMonitoring {"StreamName":"s","ShardLevelMetrics":["ALL"]}`,
		`UpdateStreamMode {"StreamARN":"` + sARN + `","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`,
		`UpdateShardCount {"StreamName":"s","TargetShardCount":2,"ScalingType":"UNIFORM_SCALING"}`,
	} {
		f := newFixture(t, Config{CreateDelay: time.Second})
		f.create("s", 1)
		f.advance(time.Second)
		f.ok(request)
		f.refused("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"7"}`, "ResourceInUseException", "Stream s under account 000000000000 not ACTIVE, instead in state UPDATING")
		f.put("s", "k", "writes go on")
		f.advance(time.Second)
		f.ok(`AddTagsToStream {"StreamName":"s","Tags":{"a":"b"}}`)
	}
}

func TestSettingsAreRefusedWithTheServicesWords(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	for _, tc := range [][4]string{
		{"AddTagsToStream", `{"StreamName":"s","Tags":{"a":"<"}}`, "InvalidArgumentException", "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @."},
		{"AddTagsToStream", `{"StreamName":"s","Tags":{}}`, "ValidationException", "1 validation error detected: Value '[]' at 'tags' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"AddTagsToStream", `{"StreamName":"s","Tags":{"":"x"}}`, "ValidationException", "1 validation error detected: Value '{=x}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"},
		{"AddTagsToStream", `{"StreamName":"s","Tags":` + string(jsonCodec{}.append(nil, many)) + `}`, "InvalidArgumentException", "Failed to add tags to stream s under account 000000000000 because a given stream cannot have more than 50 tags associated with it."},
		{"RemoveTagsFromStream", `{"StreamName":"s"}`, "ValidationException", "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"},
		{"StartStreamEncryption", `{"StreamName":"s","EncryptionType":"NONE","KeyId":"k"}`, "InvalidArgumentException", "EncryptionType NONE is not valid here; the only valid value is KMS."},
		{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["Heat"]}`, "ValidationException", "1 validation error detected: Value 'Heat' at 'shardLevelMetrics.1.member' failed to satisfy constraint: Member must satisfy enum value set: [IncomingBytes, IncomingRecords, OutgoingBytes, OutgoingRecords, WriteProvisionedThroughputExceeded, ReadProvisionedThroughputExceeded, IteratorAgeMilliseconds, ALL]"},
		{"UpdateStreamRecordDistributionStrategy", `{"StreamARN":"` + sARN + `","RecordDistributionStrategy":"AUTO"}`, "InvalidArgumentException", "Stream s under account 000000000000 is not in On-Demand mode."},
		{"UpdateStreamMode", `{"StreamARN":"` + sARN + `"}`, "ValidationException", "1 validation error detected: Value null at 'streamModeDetails' failed to satisfy constraint: Member must not be null"},
		{"UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":1}`, "InvalidArgumentException", "Stream s under account 000000000000 is not in On-Demand mode."},
		{"PutResourcePolicy", `{"ResourceARN":"` + sARN + `","Policy":"{"}`, "InvalidArgumentException", "This policy contains invalid Json"},
		{"TagResource", `{"ResourceARN":"` + sARN + `/consumer/c:1","Tags":{"a":"b"}}`, "ResourceNotFoundException", "Consumer " + sARN + "/consumer/c:1, account 000000000000 not found."},
		{"AddTagsToStream", `{"StreamName":"s","Tags":[]}`, "SerializationException", "Start of list found where not expected"},
		{"AddTagsToStream", `{"StreamName":{},"Tags":{"a":"b"}}`, "SerializationException", "Start of structure or map found where not expected."},
		{"RemoveTagsFromStream", `{"StreamName":"s","TagKeys":"a"}`, "SerializationException", "Expected list or null"},
		{"GetShardIterator", `{"StreamName":"s","Timestamp":"x"}`, "SerializationException", "class java.lang.String can not be converted to milliseconds since epoch"},
		{"DescribeStream", `{"StreamName":true}`, "SerializationException", "class java.lang.Boolean can not be converted to an String"},
	} {
		f.refused(tc[0], tc[1], tc[2], tc[3])
	}
}

func TestConsumersLiveTheirLife(t *testing.T) {
	f := newFixture(t, Config{CreateDelay: time.Second})
	f.create("s", 1)
	f.advance(time.Second)
	arn := f.consumer("s", "c")
	status := func() types.ConsumerStatus {
		t.Helper()
		out, err := f.client.DescribeStreamConsumer(t.Context(), &api.DescribeStreamConsumerInput{StreamARN: aws.String(sARN), ConsumerName: aws.String("c")})
		if err != nil {
			wantCode(t, err, "ResourceNotFoundException")
			return ""
		}
		d := out.ConsumerDescription
		if *d.ConsumerARN != arn || *d.StreamARN != sARN || d.ConsumerCreationTimestamp.UnixMilli() != start0.UnixMilli()+1000 {
			t.Errorf("consumer is %+v", d)
		}
		return d.ConsumerStatus
	}
	if got := status(); got != types.ConsumerStatusCreating {
		t.Errorf("status %s", got)
	}
	f.advance(time.Second)
	if got := status(); got != types.ConsumerStatusActive {
		t.Errorf("status %s", got)
	}
	f.refused("RegisterStreamConsumer", `{"StreamARN":"`+sARN+`","ConsumerName":"c"}`, "ResourceInUseException", "Consumer c under stream s already exists for account 000000000000.")
	f.refused("DeleteStream", `{"StreamName":"s"}`, "ResourceInUseException", "Stream s under account 000000000000 has 1 registered consumers. Deregister them, or set EnforceConsumerDeletion.")
	f.refused("DescribeStreamConsumer", `{"ConsumerName":"c"}`, "InvalidArgumentException", "Either ConsumerARN or both StreamARN and ConsumerName must be provided.")
	f.ok(`DeregisterStreamConsumer {"StreamARN":"` + sARN + `","ConsumerName":"c"}`)
	if got := status(); got != types.ConsumerStatusDeleting {
		t.Errorf("status %s", got)
	}
	f.advance(time.Second)
	if got := status(); got != "" {
		t.Errorf("status %s", got)
	}
	f.refused("DeregisterStreamConsumer", `{"ConsumerARN":"`+arn+`"}`, "ResourceNotFoundException", "Consumer "+arn+", account 000000000000 not found.")
	if again := f.consumer("s", "c"); again == arn {
		t.Errorf("made anew it has the same ARN %s", arn)
	}
	for i := range 4 {
		f.consumer("s", fmt.Sprint("d", i))
	}
	_, err := f.client.RegisterStreamConsumer(t.Context(), &api.RegisterStreamConsumerInput{StreamARN: aws.String(sARN), ConsumerName: aws.String("sixth at a time")})
	wantCode(t, err, "ValidationException")
	_, err = f.client.RegisterStreamConsumer(t.Context(), &api.RegisterStreamConsumerInput{StreamARN: aws.String(sARN), ConsumerName: aws.String("sixth")})
	wantCode(t, err, "LimitExceededException")
	for i := range 3 {
		f.advance(time.Second)
		for j := range 5 {
			f.consumer("s", fmt.Sprintf("e%d%d", i, j))
		}
	}
	f.advance(time.Second)
	_, err = f.client.RegisterStreamConsumer(t.Context(), &api.RegisterStreamConsumerInput{StreamARN: aws.String(sARN), ConsumerName: aws.String("one-too-many")})
	wantCode(t, err, "LimitExceededException")
}

func TestAConsumerMadeAnewWithinASecondHasAnotherARN(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	seen := map[string]bool{}
	for range 3 {
		arn := f.consumer("s", "c")
		if seen[arn] {
			t.Errorf("%s was used before", arn)
		}
		seen[arn] = true
		f.ok(`DeregisterStreamConsumer {"ConsumerARN":"` + arn + `"}`)
	}
}

func TestConsumersAreListedInPages(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	want := []string{"a", "b", "c", "d", "e"}
	for _, name := range slices.Backward(want) {
		f.consumer("s", name)
	}
	var got []string
	in := &api.ListStreamConsumersInput{StreamARN: aws.String(sARN), MaxResults: aws.Int32(2)}
	for {
		out, err := f.client.ListStreamConsumers(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Consumers {
			got = append(got, *c.ConsumerName)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
		if len(got) == 4 {
			f.advance(iteratorLife + time.Millisecond)
			_, err := f.client.ListStreamConsumers(t.Context(), in)
			wantCode(t, err, "ExpiredNextTokenException")
			f.advance(-iteratorLife)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v", got)
	}
}

func TestADistributingStreamForgetsKeysAndSpreadsRecords(t *testing.T) {
	f := newFixture(t, Config{})
	f.ok(`CreateStream {"StreamName":"s","RecordDistributionStrategy":"AUTO"}`)
	shards := map[string]int{}
	for range 40 {
		out, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("same"), ExplicitHashKey: aws.String("0"), Data: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		shards[*out.ShardId]++
	}
	if len(shards) != 4 || slices.Max(slices.Collect(maps.Values(shards))) != 10 {
		t.Errorf("records went to %v", shards)
	}
	f.ok(`PutRecords {"StreamName":"s","Records":[{"Data":""},{"Data":"eQ=="}]}`)
	for _, r := range f.get(f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")).Records {
		if r.PartitionKey != nil || r.SequenceNumber == nil {
			t.Errorf("record %+v", r)
		}
	}
}

func TestEncryptedStreamsSaySo(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	if out := f.put("s", "k", "a"); out.EncryptionType != "" {
		t.Errorf("plain: %s", out.EncryptionType)
	}
	f.ok(`StartStreamEncryption {"StreamName":"s","EncryptionType":"KMS","KeyId":"k"}`)
	if out := f.put("s", "k", "b"); out.EncryptionType != types.EncryptionTypeKms {
		t.Errorf("PutRecord: %q", out.EncryptionType)
	}
	if out, err := f.tryPut(1); err != nil || out.EncryptionType != types.EncryptionTypeKms {
		t.Errorf("PutRecords: %+v %v", out, err)
	}
	out := f.get(f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, ""))
	if len(out.Records) != 3 || out.Records[1].EncryptionType != types.EncryptionTypeKms || string(out.Records[1].Data) != "b" {
		t.Errorf("GetRecords: %+v", out.Records)
	}
}

func TestAccountSettingsAreStoredAndTold(t *testing.T) {
	f := newFixture(t, Config{})
	f.wants(`DescribeAccountSettings {}`, `{"MinimumThroughputBillingCommitment":{"Status":"DISABLED"}}`)
	f.wants(`UpdateAccountSettings {"MinimumThroughputBillingCommitment":{"Status":"ENABLED"}}`,
		`{"MinimumThroughputBillingCommitment":{"Status":"ENABLED","StartedAt":1772366400.000,"EarliestAllowedEndAt":1772452800.000}}`)
	f.advance(time.Hour)
	f.wants(`UpdateAccountSettings {"MinimumThroughputBillingCommitment":{"Status":"DISABLED"}}`,
		`{"MinimumThroughputBillingCommitment":{"Status":"DISABLED","StartedAt":1772366400.000,"EndedAt":1772370000.000}}`)
}

func TestAShardKeepsAboutTheBytesItMay(t *testing.T) {
	f := newFixture(t, Config{ShardBytes: 1 << 20})
	f.create("s", 1)
	data := strings.Repeat("x", 100_000)
	for range 100 {
		f.put("s", "k", data)
	}
	f.put("s", "k", "newest")
	held := 0
	l := f.server.streams["s"].shards[0].log
	for _, c := range l.chunks {
		held += len(c.buf)
	}
	if held > 5<<18 || held < 3<<18 {
		t.Errorf("the shard holds %d bytes", held)
	}
	out := f.get(f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, ""))
	if n := len(out.Records); n < 5 || string(out.Records[n-1].Data) != "newest" {
		t.Errorf("%d records are left", n)
	}
}
