package kinesis

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"pgregory.net/rapid"

	"github.com/standpipe/standpipe"
)

func (f *fixture) resize(target int) (*api.UpdateShardCountOutput, error) {
	return f.client.UpdateShardCount(f.t.Context(), &api.UpdateShardCountInput{
		StreamName: aws.String("s"), TargetShardCount: aws.Int32(int32(target)), ScalingType: types.ScalingTypeUniformScaling,
	})
}

func TestUpdateShardCountLeavesEvenShardsAndRealAncestors(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 4)
	out, err := f.resize(3)
	if err != nil || *out.CurrentShardCount != 4 || *out.TargetShardCount != 3 || *out.StreamName != "s" || *out.StreamARN != f.server.streams["s"].arn {
		t.Fatalf("%+v, %v", out, err)
	}
	d, err := f.client.DescribeStream(t.Context(), &api.DescribeStreamInput{StreamName: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]types.Shard{}
	var open []types.Shard
	for _, sh := range d.StreamDescription.Shards {
		byName[*sh.ShardId] = sh
		for _, parent := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
			if parent == nil {
				continue
			}
			p := byName[*parent]
			if p.SequenceNumberRange.EndingSequenceNumber == nil ||
				standpipe.CompareSequence(*p.SequenceNumberRange.EndingSequenceNumber, *sh.SequenceNumberRange.StartingSequenceNumber) >= 0 {
				t.Errorf("%s begins before its parent %s ends", *sh.ShardId, *parent)
			}
		}
		if sh.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, sh)
		}
	}
	want := evenRanges(3)
	if len(open) != 3 || len(byName) != 4+2*2+3 { // two borders are new, three merges join what lies between
		t.Fatalf("%d open of %d shards", len(open), len(byName))
	}
	found := map[string]bool{}
	for _, sh := range open {
		found[*sh.HashKeyRange.StartingHashKey+"-"+*sh.HashKeyRange.EndingHashKey] = true
	}
	for _, r := range want {
		if !found[r.Start.String()+"-"+r.End.String()] {
			t.Errorf("no shard has %s to %s: %v", r.Start, r.End, found)
		}
	}
}

func TestUpdateShardCountKeepsItsRules(t *testing.T) {
	f := newFixture(t, Config{ShardLimit: 9})
	f.create("s", 3)
	f.refused("UpdateShardCount", `{"StreamName":"s","TargetShardCount":7,"ScalingType":"UNIFORM_SCALING"}`, "LimitExceededException",
		"UpdateShardCount cannot scale up over double your current open shard count. Current open shard count: 3, Target shard count: 7")
	f.refused("UpdateShardCount", `{"StreamName":"s","TargetShardCount":1,"ScalingType":"UNIFORM_SCALING"}`, "LimitExceededException",
		"UpdateShardCount cannot scale down below half your current open shard count. Current open shard count: 3, Target shard count: 1")
	f.refused("UpdateShardCount", `{"StreamName":"s","TargetShardCount":0,"ScalingType":"MORE"}`, "ValidationException",
		"2 validation errors detected: Value '0' at 'targetShardCount' failed to satisfy constraint: Member must have value greater than or equal to 1; Value 'MORE' at 'scalingType' failed to satisfy constraint: Member must satisfy enum value set: [UNIFORM_SCALING]")
	if _, err := f.resize(6); err != nil {
		t.Fatal(err)
	}
	f.refused("UpdateShardCount", `{"StreamName":"s","TargetShardCount":10,"ScalingType":"UNIFORM_SCALING"}`, "LimitExceededException",
		"This request would exceed the shard limit for the account 000000000000 in us-east-1. Current shard count for the account: 6. Limit: 9. Number of additional shards that would have resulted from this request: 4. Refer to the AWS Service Limits page (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to request higher limits.")
	for i := range 9 {
		if _, err := f.resize(5 + i%2); err != nil {
			t.Fatalf("call %d of the day: %v", i+2, err)
		}
	}
	_, err := f.resize(6)
	wantCode(t, err, "LimitExceededException")
	f.advance(24*time.Hour + time.Millisecond)
	if _, err := f.resize(6); err != nil {
		t.Errorf("a day later: %v", err)
	}
	if _, err := f.client.CreateStream(t.Context(), &api.CreateStreamInput{StreamName: aws.String("o"), ShardCount: aws.Int32(4)}); err == nil {
		t.Error("a stream was made above the shard limit")
	}
	limits, err := f.client.DescribeLimits(t.Context(), &api.DescribeLimitsInput{})
	if err != nil || *limits.ShardLimit != 9 || *limits.OpenShardCount != 6 || *limits.OnDemandStreamCount != 0 || *limits.OnDemandStreamCountLimit != 2 {
		t.Errorf("%+v, %v", limits, err)
	}
}

func TestOnDemandStreamsAreNotResharded(t *testing.T) {
	f := newFixture(t, Config{})
	if _, err := f.client.CreateStream(t.Context(), &api.CreateStreamInput{StreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	const words = "Request is invalid. Stream s under account 000000000000 is in On-Demand mode."
	f.refused("UpdateShardCount", `{"StreamName":"s","TargetShardCount":4,"ScalingType":"UNIFORM_SCALING"}`, "ValidationException", words)
	f.refused("SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"7"}`, "ValidationException", words)
	if _, err := f.client.UpdateStreamMode(t.Context(), &api.UpdateStreamModeInput{
		StreamARN: aws.String(f.server.streams["s"].arn), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeProvisioned},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.resize(8); err != nil {
		t.Errorf("after the switch to provisioned: %v", err)
	}
}

// Whatever came before, open shards cover the hash space evenly and children
// cover exactly what their parents did.
func TestResizeKeepsTheHashSpaceCovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st := newStream("s", "arn", "", rapid.IntRange(1, 8).Draw(t, "start"), settings{}, 0, start0)
		now := start0.UnixMilli()
		for i := range rapid.IntRange(1, 5).Draw(t, "steps") {
			now += 10
			if rapid.Bool().Draw(t, "split") {
				sh := st.routes[rapid.IntRange(0, len(st.routes)-1).Draw(t, "which")]
				if key := sh.hash.Start.next().next(); key.compare(sh.hash.End) < 0 {
					st.split(sh, key, now)
				}
				continue
			}
			n := rapid.IntRange(1, 12).Draw(t, "target")
			st.resize(n, now)
			if len(st.routes) != n {
				t.Fatalf("step %d: %d shards, want %d", i, len(st.routes), n)
			}
			for j, r := range evenRanges(n) {
				if st.routes[j].hash != r {
					t.Fatalf("step %d: shard %d has %v, want %v", i, j, st.routes[j].hash, r)
				}
			}
		}
		for _, sh := range st.shards {
			for _, p := range sh.parents {
				if parent := st.find(p); parent.created >= sh.created || parent.closed == 0 || parent.closed > sh.opened {
					t.Fatalf("shard %d is not after its parent %d", sh.index, p)
				}
			}
			if kids := st.children(sh.index); sh.open() != (len(kids) == 0) {
				t.Fatalf("shard %d is open: %t, with %d children", sh.index, sh.open(), len(kids))
			}
		}
	})
}

func TestAReshardThatCannotBeSavedIsNone(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 2)
	st := f.server.streams["s"]
	st.dir = "/dev/null/nowhere" // can't be written from now on
	for op, body := range map[string]string{
		"UpdateShardCount": `{"StreamName":"s","TargetShardCount":3,"ScalingType":"UNIFORM_SCALING"}`,
		"MergeShards":      `{"StreamName":"s","ShardToMerge":"0","AdjacentShardToMerge":"1"}`,
		"AddTagsToStream":  `{"StreamName":"s","Tags":{"a":"b"}}`,
	} {
		if status, _, answer := f.raw(op, body); status != 500 {
			t.Errorf("%s: %d %s", op, status, answer)
		}
	}
	st.dir = ""
	if len(st.routes) != 2 || len(st.shards) != 2 || st.next != 2 || len(st.resized) != 0 || len(st.set.Tags) != 0 || st.status(f.clock.Load()) != active {
		t.Errorf("the stream is %+v", fmt.Sprint(len(st.routes), len(st.shards), st.next, st.resized, st.set))
	}
	f.put("s", "k", "still there")
}
