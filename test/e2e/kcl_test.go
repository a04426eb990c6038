package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/google/go-cmp/cmp"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A KCL application works, is replaced by standpipe, comes back, and is
// replaced again, with reshards in between, on one table. Together they deliver
// every line once.
func TestATableOfKCLIsTakenOverContinuedAndHandedBack(t *testing.T) {
	ctx := limited(t, testLimit)
	_, e := harness.StartLocal(t, program, t.TempDir())
	db := harness.StartDynalite(t, 0)
	e.DynamoDB = db.Endpoint
	s := newStack(t, e)
	k := &kclScene{stack: s, stream: harness.CreateStream(t, s.kinesis, "shared", 3)}
	k.app = &harness.KCLApp{Table: "kcl-app", DB: db.Client(), Stream: k.stream}
	delivery, archive := s.deliver(t, k.stream, harness.Settings{Name: "taken-over", CheckpointTable: "kcl-app"})
	k.delivery = delivery

	// The application finishes a shard that was split, stops inside an aggregate
	// of another one, and has not begun the rest.
	k.produce(t, 0, 300)
	k.split(t)
	k.produce(t, 300, 600)
	k.app.CreateTable(t)
	work := func(n int, users int) {
		t.Helper()
		if err := k.app.Work(ctx, fmt.Sprintf("shardId-%012d", n), users); err != nil {
			t.Fatal(err)
		}
	}
	work(0, -1)
	work(1, 17)
	for k.app.At(t, "shardId-000000000001").Sub != 2 { // of aggregates of five
		work(1, 1)
	}

	// run does not touch a table that was not taken over.
	p := delivery.Start(t)
	if code, err := p.Wait(stopLimit); err != nil || code == 0 || !strings.Contains(p.Output(), "import-kcl --table kcl-app") {
		t.Fatalf("run on a table of KCL: exit code %d, %v\n%s", code, err, p.Output())
	}
	k.refusedWhileAlive(t)
	k.command(t, 0, "import-kcl", "--failover", "1s")

	p = delivery.Start(t)
	k.produce(t, 600, 900)
	k.split(t)
	k.merge(t)
	k.produce(t, 900, 1200)
	want := int64(len(k.all)) - k.app.Lines.Digest.Lines
	if err := archive.Await(limited(t, deliverLimit), p, want); err != nil {
		t.Fatal(err)
	}
	k.command(t, 1, "export-kcl", "--failover", "1s") // a worker is alive
	stop(t, p)
	k.command(t, 0, "export-kcl", "--failover", "1s")
	k.complete(t)

	// The application continues, over a further reshard.
	k.produce(t, 1200, 1500)
	k.split(t)
	k.produce(t, 1500, 1800)
	if err := k.app.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	k.together(t, archive)

	// And once more, with nothing of ours left in the table in between.
	k.command(t, 0, "import-kcl", "--failover", "1s")
	p = delivery.Start(t)
	k.produce(t, 1800, 2000)
	want = int64(len(k.all)) - k.app.Lines.Digest.Lines
	if err := archive.Await(limited(t, deliverLimit), p, want); err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	k.command(t, 0, "export-kcl", "--failover", "1s", "--clean")
	k.clean(t)
	k.together(t, archive)
}

// A kclScene is a stream with an application and a delivery that take turns.
type kclScene struct {
	*stack
	stream   *harness.Stream
	app      *harness.KCLApp
	delivery *harness.Delivery
	all      [][]byte // every line produced
}

// produce puts lines: two of three in aggregates of five, the rest as they are.
func (k *kclScene) produce(t *testing.T, from, to int) {
	t.Helper()
	var records [][]byte
	for n := from; n < to; {
		if n%3 == 0 {
			line := fmt.Appendf(nil, `{"line":%d}`, n)
			k.all, records = append(k.all, line), append(records, line)
			n++
			continue
		}
		var users [][]byte
		for ; n < to && len(users) < 5; n++ {
			users = append(users, fmt.Appendf(nil, `{"line":%d,"user":%d}`, n, len(users)))
		}
		k.all, records = append(k.all, users...), append(records, harness.Aggregate(users...))
	}
	for n, r := range records {
		_, err := k.kinesis.PutRecord(limited(t, testLimit), &kinesis.PutRecordInput{
			StreamName: &k.stream.Name, Data: r, PartitionKey: aws.String(fmt.Sprintf("key-%d-%d", from, n)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (k *kclScene) split(t *testing.T) {
	t.Helper()
	open, err := k.stream.Open(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.stream.Split(limited(t, testLimit), open[0]); err != nil {
		t.Fatal(err)
	}
}

func (k *kclScene) merge(t *testing.T) {
	t.Helper()
	if err := k.stream.Merge(limited(t, testLimit)); err != nil {
		t.Fatal(err)
	}
}

// command runs standpipe with the delivery's configuration and wants that exit code.
func (k *kclScene) command(t *testing.T, want int, name string, flags ...string) string {
	t.Helper()
	cmd := exec.Command(program, append([]string{name, "-c", k.delivery.Config, "--table", k.app.Table}, flags...)...)
	cmd.Env = k.delivery.Env
	p := harness.Start(t, name, cmd)
	code, err := p.Wait(stopLimit)
	if err != nil {
		t.Fatal(err)
	}
	if code != want {
		t.Fatalf("%s: exit code %d, want %d\n%s", name, code, want, p.Output())
	}
	return p.Output()
}

// refusedWhileAlive wants that nothing is taken while the application renews
// its leases, and that the refusal changes nothing.
func (k *kclScene) refusedWhileAlive(t *testing.T) {
	t.Helper()
	ctx, quit := context.WithCancel(limited(t, testLimit))
	renewed := make(chan error, 1)
	go func() {
		renewed <- harness.Poll(ctx, "the end of the application", func() error {
			return errors.Join(k.app.Renew(ctx), errors.New("it works"))
		})
	}()
	out := k.command(t, 1, "import-kcl", "--failover", "1s")
	quit()
	<-renewed
	if !strings.Contains(out, "moved, it is with") || !strings.Contains(out, "stop every worker") {
		t.Errorf("the refusal does not say who is there:\n%s", out)
	}
	items, err := k.app.Items(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		for name := range item {
			if strings.HasPrefix(name, "standpipe") {
				t.Fatalf("a refused import wrote %s", name)
			}
		}
	}
}

// complete wants a table that KCL can work with: readable, everything free, a
// row for each child, hash keys that tile the space.
func (k *kclScene) complete(t *testing.T) {
	t.Helper()
	leases, err := k.app.Leases(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	var open []harness.KCLLease
	for _, l := range leases {
		if l.Owner != "" {
			t.Errorf("%s is still with %s", l.Key, l.Owner)
		}
		if l.Checkpoint != standpipe.ShardEnd {
			open = append(open, l)
			continue
		}
		if len(l.Children) == 0 {
			t.Errorf("%s has ended and names no children", l.Key)
		}
		for _, c := range l.Children {
			if !slices.ContainsFunc(leases, func(l harness.KCLLease) bool { return l.Key == c }) {
				t.Errorf("%s has a child %s without a row", l.Key, c)
			}
		}
	}
	slices.SortFunc(open, func(a, b harness.KCLLease) int { return number(t, a.StartingHashKey).Cmp(number(t, b.StartingHashKey)) })
	next := new(big.Int)
	for _, l := range open {
		if number(t, l.StartingHashKey).Cmp(next) != 0 {
			t.Errorf("hash keys: %s begins at %s, want %s", l.Key, l.StartingHashKey, next)
		}
		next.Add(number(t, l.EndingHashKey), big.NewInt(1))
	}
	if end := new(big.Int).Lsh(big.NewInt(1), 128); next.Cmp(end) != 0 {
		t.Errorf("hash keys end before %s, want %s", next, end)
	}
}

func number(t *testing.T, text string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		t.Fatalf("%q is no number", text)
	}
	return n
}

// clean wants that nothing of ours is left.
func (k *kclScene) clean(t *testing.T) {
	t.Helper()
	items, err := k.app.Items(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, item := range items {
		for name := range item {
			if strings.HasPrefix(name, "standpipe") {
				ours = append(ours, name)
			}
		}
	}
	if diff := cmp.Diff([]string(nil), ours); diff != "" {
		t.Errorf("attributes left: %s", diff)
	}
}

// together wants every line exactly once in what the application delivered and
// what is in the archive.
func (k *kclScene) together(t *testing.T, a *harness.Archive) {
	t.Helper()
	if err := a.Refresh(limited(t, deliverLimit)); err != nil {
		t.Fatal(err)
	}
	both := harness.Multiset(nil)
	both.Merge(&k.app.Lines)
	both.Merge(a.Lines())
	if d := harness.Diff(harness.Multiset(k.all), both); d != "" {
		t.Fatalf("application and archive together differ from what was produced: %s", d)
	}
}
