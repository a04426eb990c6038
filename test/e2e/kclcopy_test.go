package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

// The table of a KCL 3.5 application with two streams and a live leader is
// copied into one node's file, and handed back into a table of KCL's form.
func TestLeasesOfOneStreamAreCopiedFromATableOfSeveralAndBack(t *testing.T) {
	ctx := limited(t, testLimit)
	_, e := harness.StartLocal(t, program, t.TempDir())
	db := harness.StartDynalite(t, 0)
	e.DynamoDB = db.Endpoint
	s := newStack(t, e)
	k := &kclScene{stack: s, stream: harness.CreateStream(t, s.kinesis, "copied", 2)}
	k.app = &harness.KCLApp{Table: "single", DB: db.Client(), Stream: k.stream}
	delivery, archive := s.deliver(t, k.stream, harness.Settings{Name: "copied"})
	k.delivery = delivery
	k.produce(t, 0, 200)
	k.app.CreateTable(t)
	if err := k.app.Work(ctx, "shardId-000000000000", 30); err != nil {
		t.Fatal(err)
	}
	k.multiStream(t, "multi")

	// A plan changes nothing and refuses what nobody can know.
	command := func(want int, name, table string, flags ...string) string {
		t.Helper()
		k.app.Table = table
		return k.command(t, want, name, flags...)
	}
	var plan struct {
		Rows []struct {
			Shard, Action string
			Notes         []string
		}
	}
	out := command(1, "import-kcl", "multi", "--dry-run", "--json")
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&plan); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	actions := map[string]string{}
	for _, r := range plan.Rows {
		actions[r.Action] += r.Shard + " " + strings.Join(r.Notes, "; ")
	}
	if !strings.Contains(actions["refused"], "shardId-000000000001") || !strings.Contains(actions["refused"], "--start-time") ||
		!strings.Contains(actions["copy"], "shardId-000000000000") || !strings.Contains(actions["skip"], "belongs to stream 123456789012:other") {
		t.Errorf("the plan is %v", actions)
	}
	command(0, "import-kcl", "multi", "--start-time", "2020-01-01T00:00:00Z")
	p := delivery.Start(t)
	k.produce(t, 200, 300)
	if err := archive.Await(limited(t, deliverLimit), p, int64(len(k.all))-k.app.Lines.Digest.Lines); err != nil {
		t.Fatal(err)
	}
	stop(t, p)

	// Back, onto the older rows of the table that the application had.
	command(0, "export-kcl", "single", "--failover", "1s")
	k.complete(t)
	k.produce(t, 300, 400)
	if err := k.app.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	k.together(t, archive)
	// The application is further now: nothing moves it back.
	if out := command(1, "export-kcl", "single", "--failover", "1s"); !strings.Contains(out, "is further") {
		t.Errorf("no word of rows that are further:\n%s", out)
	}
}

// multiStream writes the application's positions in the layout of a 3.5 table of
// two streams, with the rows that are no leases; the second shard has no
// position yet.
func (k *kclScene) multiStream(t *testing.T, table string) {
	t.Helper()
	ctx := limited(t, testLimit)
	items, err := k.app.Items(ctx)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := k.kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &k.stream.Name})
	if err != nil {
		t.Fatal(err)
	}
	multi := &harness.KCLApp{Table: table, DB: k.app.DB, Stream: k.stream}
	multi.CreateTable(t)
	s := func(text string) ddb.AttributeValue { return &ddb.AttributeValueMemberS{Value: text} }
	put := func(item map[string]ddb.AttributeValue) {
		t.Helper()
		if _, err := k.app.DB.PutItem(ctx, &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	account := strings.Split(k.stream.ARN, ":")[4]
	stream := fmt.Sprintf("%s:%s:%d", account, k.stream.Name, summary.StreamDescriptionSummary.StreamCreationTimestamp.Unix())
	for _, item := range items {
		shard := item["leaseKey"].(*ddb.AttributeValueMemberS).Value
		_, err := k.app.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: map[string]ddb.AttributeValue{"leaseKey": s(shard)}})
		if err != nil {
			t.Fatal(err)
		}
		item["leaseKey"], item["shardId"], item["streamName"], item["entityType"] = s(stream+":"+shard), s(shard), s(stream), s("LEASE")
		if shard == "shardId-000000000001" {
			item["checkpoint"] = s(standpipe.Latest)
		}
		put(item)
		item["leaseKey"], item["streamName"] = s("123456789012:other:1762000000:"+shard), s("123456789012:other:1762000000")
		put(item)
	}
	put(map[string]ddb.AttributeValue{"leaseKey": s("Leader"), "entityType": s("LEADER"), "ownerName": s("w"), "recordVersionNumber": s("1")})
	put(map[string]ddb.AttributeValue{"leaseKey": s("w"), "entityType": s("WORKER_METRIC_STATS"), "lut": &ddb.AttributeValueMemberN{Value: "1762000000"}})
}

// A table is never made unasked; asked, it is made once and used again.
func TestATableIsMadeOnlyWhenAskedFor(t *testing.T) {
	_, e := harness.StartLocal(t, program, t.TempDir())
	e.DynamoDB = harness.StartDynalite(t, 0).Endpoint
	s := newStack(t, e)
	k := &kclScene{stack: s, stream: harness.CreateStream(t, s.kinesis, "tabled", 2)}
	delivery, archive := s.deliver(t, k.stream, harness.Settings{Name: "tabled", CheckpointTable: "tabled-leases"})
	p := delivery.Start(t)
	if code, err := p.Wait(stopLimit); err != nil || code != 1 || !strings.Contains(p.Output(), "--create-table") {
		t.Fatalf("without a table: exit code %d, %v\n%s", code, err, p.Output())
	}
	for n := range 2 {
		cmd := exec.Command(program, "run", "-c", delivery.Config, "--create-table")
		cmd.Env = delivery.Env
		p := harness.Start(t, "standpipe run --create-table", cmd)
		k.produce(t, n*100, n*100+100)
		if err := archive.Await(limited(t, deliverLimit), p, int64(len(k.all))); err != nil {
			t.Fatal(err)
		}
		stop(t, p)
	}
	if d := harness.Diff(harness.Multiset(k.all), archive.Lines()); d != "" {
		t.Fatal(d)
	}
}
