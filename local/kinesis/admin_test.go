package kinesis

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

func (f *fixture) tryPut(n int) (*api.PutRecordsOutput, error) {
	entries := make([]types.PutRecordsRequestEntry, n)
	for i := range entries {
		entries[i] = entryOf("k", string(rune('a'+i)))
	}
	return f.client.PutRecords(f.t.Context(), &api.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
}

func TestOrderedFaultsHitExactlyTheirCalls(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	f.order("/admin/fault", `{"operation":"PutRecords","count":2,"error":"LimitExceededException","message":"no"}`)
	f.order("/admin/fault", `{"operation":"PutRecords","error":"InternalFailure"}`)
	f.order("/admin/fault", `{"operation":"PutRecords","drop":"before"}`)
	f.order("/admin/fault", `{"operation":"PutRecords","drop":"after"}`)
	f.order("/admin/fault", `{"operation":"PutRecords","delay":"1ms","records":[0,2,9]}`)
	f.put("s", "k", "other operations pass")
	for _, want := range []string{"LimitExceededException", "LimitExceededException", "InternalFailure"} {
		_, err := f.tryPut(1)
		wantCode(t, err, want)
	}
	for _, when := range []string{dropBefore, dropAfter} {
		if _, err := f.tryPut(1); err == nil || !strings.Contains(err.Error(), "EOF") {
			t.Errorf("dropped %s: %v", when, err)
		}
	}
	out, err := f.tryPut(3)
	if err != nil || *out.FailedRecordCount != 2 || *out.Records[0].ErrorCode != "ProvisionedThroughputExceededException" || out.Records[1].SequenceNumber == nil ||
		*out.Records[2].ErrorMessage != "Rate exceeded for shard "+shard0+" in stream s under account 000000000000." {
		t.Errorf("partial failure: %+v, %v", out, err)
	}
	if out, err = f.tryPut(1); err != nil || *out.FailedRecordCount != 0 {
		t.Errorf("after the faults: %+v, %v", out, err)
	}
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "other operations pass a b a" { // the drop after, the partial one, the last
		t.Errorf("stored %q", got)
	}
}

func TestThrottledAndEmptyPagesThenTheDataComes(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 2)
	k := evenRanges(2)[0].Start.String()
	if _, err := f.client.PutRecord(t.Context(), &api.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), ExplicitHashKey: &k, Data: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	f.advance(time.Second)
	it := f.iterator("s", shard0, types.ShardIteratorTypeTrimHorizon, "")
	f.order("/admin/throttle", `{"stream":"s","shard":"shardId-000000000000","calls":2}`)
	for range 2 {
		f.refused("GetRecords", `{"ShardIterator":"`+it+`"}`, "ProvisionedThroughputExceededException", "Rate exceeded for shard "+shard0+" in stream s under account 000000000000.")
	}
	f.order("/admin/empty-pages", `{"stream":"s","shard":"0","calls":3}`)
	for range 3 {
		out := f.get(it)
		if len(out.Records) != 0 || *out.MillisBehindLatest != 1000 {
			t.Errorf("empty page: %+v", out)
		}
		it = *out.NextShardIterator
	}
	if got := payloads(f.get(it).Records); got != "a" {
		t.Errorf("then %q came", got)
	}
	f.order("/admin/throttle", `{"calls":5}`)
	f.order("/admin/reset", "")
	f.get(it)
}

func TestClockAndTrimOrders(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	f.put("s", "k", "a")
	f.advance(time.Minute)
	f.put("s", "k", "b")
	f.order("/admin/trim", `{"stream":"s","before":"`+start0.Add(time.Second).Format(time.RFC3339)+`"}`)
	if got := f.data("s", shard0, types.ShardIteratorTypeTrimHorizon, ""); got != "b" {
		t.Errorf("after a trim up to a time: %q", got)
	}
	if now := f.order("/admin/clock", `{"advance":"25h"}`); !strings.Contains(now, "2026-03-02T13:01:00Z") {
		t.Errorf("clock says %s", now)
	}
	if n := len(f.server.streams["s"].shards[0].log.chunks); n != 0 {
		t.Errorf("%d chunks left a day later", n)
	}
}

func TestAdminRefusesWhatItDoesNotUnderstandAndListsWhatItDoes(t *testing.T) {
	f := newFixture(t, Config{})
	f.create("s", 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tc := range [][2]string{
		{"/admin/fault", `{}`},
		{"/admin/fault", `{"operation":"Nonsense","error":"x"}`},
		{"/admin/fault", `{"opration":"PutRecord"}`},
		{"/admin/fault", `{"drop":"sometimes"}`},
		{"/admin/fault", `{"delay":"1"}`},
		{"/admin/trim", `{"stream":"t"}`},
		{"/admin/trim", `{"shard":"x"}`},
		{"/admin/throttle", `{"calls":-1}`},
		{"/admin/clock", `{"advance":"x"}`},
		{"/admin/clock", strings.Repeat(" ", adminBodyMax+1)},
	} {
		r, err := client.Post(f.admin.URL+tc[0], "application/json", strings.NewReader(tc[1]))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s %.80s: %d", tc[0], tc[1], r.StatusCode)
		}
	}
	r, err := client.Get(f.admin.URL + "/admin")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	var doc struct {
		Commands []struct{ Path, Example string }
	}
	if err != nil || json.Unmarshal(b, &doc) != nil || len(doc.Commands) != len(adminCommands) {
		t.Fatalf("GET /admin: %s %v", b, err)
	}
	for _, c := range doc.Commands { // each example is accepted
		f.order(c.Path, c.Example)
	}
}

func TestQuotasAreEnforcedOnlyWhenAsked(t *testing.T) {
	for _, throttle := range []bool{false, true} {
		f := newFixture(t, Config{Throttle: throttle})
		f.create("s", 1)
		want := func(what string, refused bool) {
			t.Helper()
			if refused != throttle {
				t.Errorf("throttle %v: %s refused: %v", throttle, what, refused)
			}
		}
		out, err := f.tryPut(2)
		if err != nil || *out.FailedRecordCount != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		entry := entryOf("k", strings.Repeat("x", 600_000))
		out, err = f.client.PutRecords(t.Context(), &api.PutRecordsInput{StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{entry, entry}})
		if err != nil {
			t.Fatal(err)
		}
		want("the second 600 kB in one second", *out.FailedRecordCount == 1)
		it := f.iterator("s", shard0, types.ShardIteratorTypeLatest, "")
		for range 5 {
			f.get(it)
		}
		_, err = f.client.GetRecords(t.Context(), &api.GetRecordsInput{ShardIterator: &it})
		want("the sixth read in a second", err != nil)
		f.advance(time.Second)
		f.put("s", "k", strings.Repeat("x", 1<<20-1))
		f.get(it)
	}
}

func TestTheSameCallsAtTheSameTimesGiveTheSameBytes(t *testing.T) {
	var first string
	for range 2 {
		f := newFixture(t, Config{})
		f.create("s", 2)
		var got string
		for _, call := range [][2]string{
			{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"YQ=="}`},
			{"SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"99"}`},
			{"PutRecords", `{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"YQ=="},{"PartitionKey":"l","Data":"YQ=="}]}`},
			{"ListShards", `{"StreamName":"s","MaxResults":1}`},
			{"GetShardIterator", `{"StreamName":"s","ShardId":"1","ShardIteratorType":"TRIM_HORIZON"}`},
		} {
			_, _, body := f.raw(call[0], call[1])
			got += body
			f.advance(time.Second)
		}
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("first\n%s\nthen\n%s", first, got)
		}
	}
}
