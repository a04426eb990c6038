package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A fleet is several workers on one stream, the servers they need, a load on
// the stream and an audit of what they deliver.
type fleet struct {
	kinesis *harness.Kinesis
	admin   string // of the Kinesis server
	stream  *harness.Stream
	load    *harness.Load
	audit   *harness.Audit
	workers []*harness.Worker
}

type fleetOptions struct {
	name           string
	workers        int
	shards         int
	bytesPerSecond int
	leaseSeconds   int            // 0: standpipe's own
	reads          *harness.Reads // sees what the workers read; nil nobody
}

// loadKeys are enough for every shard of twelve that was split three times to
// have one of its own.
const loadKeys = 96

// newFleet starts the servers; workers and load are the caller's to start.
func newFleet(t *testing.T, o fleetOptions) *fleet {
	t.Helper()
	kinesis, admin := harness.StartOwnKinesis(t, program, o.name, o.shards)
	servers := harness.Endpoints{
		Kinesis:     kinesis.Endpoint,
		S3:          harness.StartVersitygw(t, t.TempDir()).Endpoint,
		DynamoDB:    harness.StartDynalite(t, 0).Endpoint,
		Region:      harness.Region,
		AccessKeyID: harness.AccessKey, SecretAccessKey: harness.SecretKey,
	}
	f := &fleet{kinesis: kinesis, admin: admin, stream: &harness.Stream{Name: o.name, Client: servers.KinesisClient()}}
	if err := f.stream.Active(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir, client := t.TempDir(), servers.S3Client()
	harness.CreateBucket(t, client, o.name)
	settings := harness.Settings{
		Name: o.name, StreamARN: f.stream.ARN, Bucket: o.name,
		SizeInMBs: 8, IntervalInSeconds: 2, CompressionFormat: "GZIP",
		CheckpointTable: o.name, LeaseSeconds: o.leaseSeconds,
	}
	for i := range o.workers {
		name, servers := string(rune('a'+i)), servers
		if o.reads != nil {
			servers.Kinesis = o.reads.Wire(t, name, kinesis.Endpoint)
		}
		f.workers = append(f.workers, harness.NewWorker(t, program, dir, name, servers, settings))
	}
	ledger := harness.NewLedger(loadKeys)
	f.load = &harness.Load{Stream: f.stream, Ledger: ledger, BytesPerSecond: o.bytesPerSecond}
	f.audit = harness.NewAudit(&harness.Archive{Client: client, Bucket: o.name}, ledger)
	return f
}

// kept is how much older than the newest record delivered a record may be and
// still be read: a worker that starts asks for the one it delivered last.
const kept = 10 * time.Second

// sweep audits what is new and drops from the stream what was delivered: the
// Kinesis server holds its records in memory.
func (f *fleet) sweep(ctx context.Context) error {
	if err := f.audit.Sweep(ctx); err != nil {
		return err
	}
	for _, shard := range f.audit.Shards() {
		arrived := f.audit.Arrived(shard)
		if arrived.IsZero() {
			continue
		}
		if err := harness.Trim(ctx, f.admin, f.stream.Name, shard, arrived.Add(-kept)); err != nil {
			return err
		}
	}
	return nil
}

// sweeping sweeps every two seconds until stop is closed, and tells now and
// then how far it is. An audit that cannot go on, or finds a fault, ends it
// early: the rest would only hide the cause.
func (f *fleet) sweeping(ctx context.Context, t *testing.T, stop <-chan struct{}) error {
	tick, begun := time.NewTicker(2*time.Second), time.Now()
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := f.sweep(ctx); err != nil {
			return err
		}
		if r := f.audit.Report(); r != "" {
			return fmt.Errorf("the archive: %s", r)
		}
		if n%5 == 0 {
			t.Logf("%3.0f s: %s", time.Since(begun).Seconds(), f.behind())
		}
	}
}

// behind says how much is not delivered yet, and which shards wait longest.
func (f *fleet) behind() string {
	lines, _ := f.load.Ledger.Acknowledged()
	age := map[string]time.Duration{}
	for _, shard := range f.audit.Shards() {
		if arrived := f.audit.Arrived(shard); !f.audit.Ended(shard) && !arrived.IsZero() {
			age[shard] = time.Since(arrived).Round(time.Second)
		}
	}
	slowest := slices.SortedFunc(maps.Keys(age), func(a, b string) int { return cmp.Compare(age[b], age[a]) })
	var text strings.Builder
	fmt.Fprintf(&text, "%d of %d lines not delivered; newest record delivered of", lines-f.audit.Lines(), lines)
	for _, shard := range slowest[:min(3, len(slowest))] {
		fmt.Fprintf(&text, " %s %v ago", shard, age[shard])
	}
	return text.String()
}

// delivered sweeps until that many lines are audited, and says how long it took.
func (f *fleet) delivered(t *testing.T, lines int64, limit time.Duration) time.Duration {
	t.Helper()
	ctx, begun := limited(t, limit), time.Now()
	err := harness.Poll(ctx, fmt.Sprintf("%d lines in the bucket", lines), func() error {
		if err := f.sweep(ctx); err != nil {
			return err
		}
		if n := f.audit.Lines(); n < lines {
			return fmt.Errorf("%d are there in %d objects", n, f.audit.Objects())
		}
		return nil
	})
	if err != nil {
		t.Error(err) // the report at the end says more
	}
	return time.Since(begun)
}

// close stops the load, waits until all of it is delivered, stops the workers
// and audits what is there then: stopping must add nothing.
func (f *fleet) close(t *testing.T, limit time.Duration) {
	t.Helper()
	figures, err := f.load.Stop()
	t.Logf("load: %s", figures)
	if err != nil {
		t.Errorf("load: %v", err)
	}
	lines, _ := f.load.Ledger.Acknowledged()
	left := lines - f.audit.Lines()
	took := f.delivered(t, lines, limit)
	t.Logf("when the load and the faults ended %d lines were not delivered, %v later %d", left, took.Round(time.Second), lines-f.audit.Lines())
	for _, w := range f.workers {
		if w.Process() == nil {
			continue
		}
		if _, err := w.Stop(stopLimit); err != nil {
			t.Error(err)
		}
	}
	ctx := limited(t, deliverLimit)
	shards, err := f.stream.Shards(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.audit.Close(ctx, shards); err != nil {
		t.Error(err)
	}
	if r := f.audit.Report(); r != "" {
		t.Errorf("the archive: %s", r)
	}
	t.Logf("audited %d lines in %d objects of %d shards; the Kinesis server held %d MB at most",
		f.audit.Lines(), f.audit.Objects(), len(f.audit.Shards()), f.kinesis.Process.Peak()/1e6)
	if f.audit.Lines() == 0 {
		t.Error("nothing was delivered, which proves nothing")
	}
}
