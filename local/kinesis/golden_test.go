package kinesis

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sdkGolden reads one of AWS's own goldens out of the SDK module: the body of a
// request, of a response or of an error.
func sdkGolden(t *testing.T, name string) string {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/kinesis").Output()
	if err != nil {
		t.Fatalf("find the SDK module: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name))
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n\n{")
	if !ok {
		t.Fatalf("%s has no body:\n%s", name, b)
	}
	return "{" + body
}

// goldenSession are calls that together show every member our answers can have.
var goldenSession = []string{
	`CreateStream {"StreamName":"s","ShardCount":2,"Tags":{"a":"b"}}`,
	`CreateStream {"StreamName":"o","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"WarmThroughputMiBps":3}`,
	`StartStreamEncryption {"StreamName":"s","EncryptionType":"KMS","KeyId":"k"}`,
	`EnableEnhancedMonitoring {"StreamName":"s","ShardLevelMetrics":["IncomingBytes","OutgoingBytes"]}`,
	`PutRecord {"StreamName":"s","PartitionKey":"k","Data":"YQ==","ExplicitHashKey":"0"}`,
	`PutRecords {"StreamName":"s","Records":[{"PartitionKey":"k","Data":"YQ=="},{"PartitionKey":"l","Data":"YQ=="}]}`,
	`SplitShard {"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"1000"}`,
	`MergeShards {"StreamName":"s","ShardToMerge":"2","AdjacentShardToMerge":"3"}`,
	`DescribeStream {"StreamName":"s","Limit":5}`,
	`DescribeStreamSummary {"StreamName":"s"}`,
	`DescribeStreamSummary {"StreamName":"o"}`,
	`ListStreams {"Limit":1}`,
	`ListShards {"StreamName":"s","MaxResults":4}`,
	`ListShards {"StreamName":"s"}`,
	`GetShardIterator {"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`,
	`RegisterStreamConsumer {"StreamARN":"` + sARN + `","ConsumerName":"c"}`,
	`RegisterStreamConsumer {"StreamARN":"` + sARN + `","ConsumerName":"d"}`,
	`DescribeStreamConsumer {"StreamARN":"` + sARN + `","ConsumerName":"c"}`,
	`ListStreamConsumers {"StreamARN":"` + sARN + `","MaxResults":1}`,
	`DeregisterStreamConsumer {"StreamARN":"` + sARN + `","ConsumerName":"d"}`,
	`TagResource {"ResourceARN":"` + sARN + `","Tags":{"c":"d"}}`,
	`ListTagsForStream {"StreamName":"s"}`,
	`ListTagsForResource {"ResourceARN":"` + sARN + `"}`,
	`UntagResource {"ResourceARN":"` + sARN + `","TagKeys":["c"]}`,
	`AddTagsToStream {"StreamName":"s","Tags":{"c":"d"}}`,
	`RemoveTagsFromStream {"StreamName":"s","TagKeys":["c"]}`,
	`PutResourcePolicy {"ResourceARN":"` + sARN + `","Policy":"{}"}`,
	`GetResourcePolicy {"ResourceARN":"` + sARN + `"}`,
	`DeleteResourcePolicy {"ResourceARN":"` + sARN + `"}`,
	`DisableEnhancedMonitoring {"StreamName":"s","ShardLevelMetrics":["IncomingBytes"]}`,
	`StopStreamEncryption {"StreamName":"s","EncryptionType":"KMS","KeyId":"k"}`,
	`IncreaseStreamRetentionPeriod {"StreamName":"s","RetentionPeriodHours":25}`,
	`DecreaseStreamRetentionPeriod {"StreamName":"s","RetentionPeriodHours":24}`,
	`UpdateMaxRecordSize {"StreamARN":"` + sARN + `","MaxRecordSizeInKiB":2048}`,
	`UpdateShardCount {"StreamName":"s","TargetShardCount":3,"ScalingType":"UNIFORM_SCALING"}`,
	`UpdateStreamWarmThroughput {"StreamName":"o","WarmThroughputMiBps":7}`,
	`UpdateStreamRecordDistributionStrategy {"StreamARN":"` + strings.TrimSuffix(sARN, "s") + `o","RecordDistributionStrategy":"AUTO"}`,
	`UpdateStreamMode {"StreamARN":"` + sARN + `","StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`,
	`UpdateAccountSettings {"MinimumThroughputBillingCommitment":{"Status":"ENABLED"}}`,
	`DescribeAccountSettings {}`,
	`DescribeLimits {}`,
	`DeleteStream {"StreamName":"o"}`,
}

// Every answer has the members and types of AWS's golden answer, and no others;
// and every operation but SubscribeToShard, of which there is no golden, is asked.
func TestOurAnswersHaveTheShapeOfTheSDKsGoldens(t *testing.T) {
	f := newFixture(t, Config{})
	// Members that real answers have and these calls can't show, or that are reserved.
	absent := []string{
		"StreamId", "ChannelCount", "ChannelCountLimit", "EndedAt", "ErrorCode", "ErrorMessage", "NextShardIterator",
	}
	seen := map[string]any{}
	for _, request := range goldenSession {
		answer := f.ok(request)
		op, _, _ := strings.Cut(request, " ")
		merge(seen, op, answer)
		if op == "GetShardIterator" {
			var it struct{ ShardIterator string }
			if err := json.Unmarshal([]byte(answer), &it); err != nil {
				t.Fatal(err)
			}
			merge(seen, "GetRecords", f.ok(`GetRecords {"ShardIterator":"`+it.ShardIterator+`"}`))
		}
	}
	for op := range operations {
		if op == "SubscribeToShard" {
			continue
		}
		ours, asked := seen[op]
		if !asked {
			t.Errorf("%s is never asked", op)
			continue
		}
		var golden any
		if err := json.Unmarshal([]byte(sdkGolden(t, "response_snapshot/"+op+".response.snap")), &golden); err != nil {
			t.Fatal(err)
		}
		want := kinds("", golden, map[string]string{})
		got := kinds("", ours, map[string]string{})
		for path, kind := range got {
			if want[path] != kind {
				t.Errorf("%s: our %s is a %s, the golden's a %q", op, path, kind, want[path])
			}
		}
		for path := range want {
			name := path[strings.LastIndexByte(path, '.')+1:]
			if got[path] == "" && !slices.Contains(absent, name) {
				t.Errorf("%s: the golden's %s is not in our answer %v", op, path, ours)
			}
		}
	}
}

// merge adds an answer to what was seen of the operation before.
func merge(seen map[string]any, op, answer string) {
	var v any
	if err := json.Unmarshal([]byte(answer), &v); err != nil {
		panic(err)
	}
	if old, ok := seen[op]; ok {
		v = []any{old, v}
		seen[op] = map[string]any{"": v}
		return
	}
	seen[op] = v
}

// kinds flattens a document: the path of each member to the kind of its values.
func kinds(path string, v any, into map[string]string) map[string]string {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			next := path + "." + name
			if name == "" { // several answers of one operation
				next = path
			} else {
				into[next] = strings.TrimSuffix(fmt.Sprintf("%T", x), " {}")
			}
			kinds(next, x, into)
		}
	case []any:
		for _, x := range v {
			kinds(path, x, into)
		}
	}
	return into
}

// Each error code we use is one the SDK has a type for, or of the framework
// around the service.
func TestOurErrorsHaveTheShapeOfTheSDKsGoldens(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	for request, code := range map[string]string{
		`PutRecord {}`:                                                                             "ValidationException",
		`GetRecords {"ShardIterator":"x"}`:                                                         "InvalidArgumentException",
		`DescribeStream {"StreamName":"nowhere"}`:                                                  "ResourceNotFoundException",
		`CreateStream {"StreamName":"s","ShardCount":1}`:                                           "ResourceInUseException",
		`PutRecord {"StreamName":"s","PartitionKey":"k","Data":"","DryRun":true}`:                  "DryRunOperationException",
		`UpdateShardCount {"StreamName":"s","TargetShardCount":3,"ScalingType":"UNIFORM_SCALING"}`: "LimitExceededException",
	} {
		op, body, _ := strings.Cut(request, " ")
		status, header, answer := f.raw(op, body)
		var ours, golden map[string]string
		if json.Unmarshal([]byte(answer), &ours) != nil || json.Unmarshal([]byte(sdkGolden(t, "response_snapshot/"+code+".error.snap")), &golden) != nil {
			t.Fatalf("%s: %s", request, answer)
		}
		if status != 400 || ours["__type"] != golden["__type"] || len(ours) != len(golden) || ours["message"] == "" || header.Get("x-amzn-ErrorType") != code {
			t.Errorf("%s: %d %v, want like %v", request, status, ours, golden)
		}
	}
}
