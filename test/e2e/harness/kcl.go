package harness

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/standpipe/standpipe"
)

// A KCLApp stands in for an application of KCL 2.x with one worker: it keeps
// its positions in a table of KCL's documented layout, reads by KCL's rules
// (AT the checkpoint, leaving out what is not after it; parents before
// children), and Lines is what it delivered. It is built from KCL's
// documentation and source, not from ours.
type KCLApp struct {
	Table  string
	DB     *dynamodb.Client
	Stream *Stream
	Lines  Lines
}

// A KCLLease is a row as KCL 2.x reads it.
type KCLLease struct {
	Key, Owner, Checkpoint         string
	Counter, Switches, Sub         int64
	Parents, Children              []string
	StartingHashKey, EndingHashKey string
}

const kclWorker = "kcl-worker-1"

// CreateTable makes the table and a lease at the horizon for each shard there is.
func (a *KCLApp) CreateTable(t testing.TB) {
	t.Helper()
	_, err := a.DB.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &a.Table, BillingMode: ddb.BillingModePayPerRequest,
		AttributeDefinitions: []ddb.AttributeDefinition{{AttributeName: aws.String("leaseKey"), AttributeType: ddb.ScalarAttributeTypeS}},
		KeySchema:            []ddb.KeySchemaElement{{AttributeName: aws.String("leaseKey"), KeyType: ddb.KeyTypeHash}},
	})
	if err != nil {
		t.Fatalf("create table %s: %v", a.Table, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if err := Poll(ctx, "table "+a.Table, func() error { _, err := a.Leases(ctx); return err }); err != nil {
		t.Fatal(err)
	}
	shards, err := a.Stream.Shards(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shards {
		if err := a.put(ctx, leaseOf(s)); err != nil {
			t.Fatal(err)
		}
	}
}

func leaseOf(s types.Shard) KCLLease {
	l := KCLLease{Key: *s.ShardId, Checkpoint: standpipe.TrimHorizon, StartingHashKey: *s.HashKeyRange.StartingHashKey, EndingHashKey: *s.HashKeyRange.EndingHashKey}
	for _, p := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
		if p != nil {
			l.Parents = append(l.Parents, *p)
		}
	}
	return l
}

// put writes a whole row: what KCL knows and nothing else is touched.
func (a *KCLApp) put(ctx context.Context, l KCLLease) error {
	update := map[string]ddb.AttributeValueUpdate{
		"leaseCounter":                 putN(l.Counter),
		"ownerSwitchesSinceCheckpoint": putN(l.Switches),
		"checkpoint":                   putS(l.Checkpoint),
		"checkpointSubSequenceNumber":  putN(l.Sub),
		"startingHashKey":              putS(l.StartingHashKey),
		"endingHashKey":                putS(l.EndingHashKey),
		"leaseOwner":                   {Action: ddb.AttributeActionDelete},
		"pendingCheckpoint":            {Action: ddb.AttributeActionDelete},
	}
	if l.Owner != "" {
		update["leaseOwner"] = putS(l.Owner)
	}
	for name, set := range map[string][]string{"parentShardId": l.Parents, "childShardIds": l.Children} {
		if len(set) > 0 {
			update[name] = ddb.AttributeValueUpdate{Action: ddb.AttributeActionPut, Value: &ddb.AttributeValueMemberSS{Value: set}}
		}
	}
	_, err := a.DB.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: &a.Table, Key: kclKey(l.Key), AttributeUpdates: update})
	if err != nil {
		return fmt.Errorf("write row %s: %w", l.Key, err)
	}
	return nil
}

func kclKey(key string) map[string]ddb.AttributeValue {
	return map[string]ddb.AttributeValue{"leaseKey": &ddb.AttributeValueMemberS{Value: key}}
}

func putS(s string) ddb.AttributeValueUpdate {
	return ddb.AttributeValueUpdate{Action: ddb.AttributeActionPut, Value: &ddb.AttributeValueMemberS{Value: s}}
}

func putN(n int64) ddb.AttributeValueUpdate {
	return ddb.AttributeValueUpdate{Action: ddb.AttributeActionPut, Value: &ddb.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}}
}

// Renew is the heartbeat of a live worker on every row.
func (a *KCLApp) Renew(ctx context.Context) error {
	leases, err := a.Leases(ctx)
	if err != nil {
		return err
	}
	for _, l := range leases {
		l.Counter++
		if l.Owner = kclWorker; a.put(ctx, l) != nil {
			return fmt.Errorf("renew %s", l.Key)
		}
	}
	return nil
}

// Items are the rows as they are.
func (a *KCLApp) Items(ctx context.Context) ([]map[string]ddb.AttributeValue, error) {
	out, err := a.DB.Scan(ctx, &dynamodb.ScanInput{TableName: &a.Table, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("scan table %s: %w", a.Table, err)
	}
	return out.Items, nil
}

var shardName = regexp.MustCompile(`^shardId-[0-9]{12}$`)

// Leases reads the table as KCL 2.x does: one row without its mandatory
// attributes, or with one of another type, and the whole listing fails.
func (a *KCLApp) Leases(ctx context.Context) ([]KCLLease, error) {
	items, err := a.Items(ctx)
	if err != nil {
		return nil, err
	}
	var leases []KCLLease
	for _, item := range items {
		r := kclRow{item: item}
		l := KCLLease{
			Key: r.s("leaseKey", true), Owner: r.s("leaseOwner", false), Checkpoint: r.s("checkpoint", true),
			Counter: r.n("leaseCounter"), Switches: r.n("ownerSwitchesSinceCheckpoint"), Sub: r.n("checkpointSubSequenceNumber"),
			Parents: r.ss("parentShardId"), Children: r.ss("childShardIds"),
			StartingHashKey: r.s("startingHashKey", false), EndingHashKey: r.s("endingHashKey", false),
		}
		if !shardName.MatchString(l.Key) {
			r.fail("leaseKey", "a shard id")
		}
		if r.err != nil {
			return nil, fmt.Errorf("row %q of table %s: %w", l.Key, a.Table, r.err)
		}
		leases = append(leases, l)
	}
	slices.SortFunc(leases, func(x, y KCLLease) int { return cmp.Compare(x.Key, y.Key) })
	return leases, nil
}

type kclRow struct {
	item map[string]ddb.AttributeValue
	err  error
}

func (r *kclRow) fail(name, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("attribute %s is not %s", name, want)
	}
}

func (r *kclRow) s(name string, must bool) string {
	switch v := r.item[name].(type) {
	case *ddb.AttributeValueMemberS:
		if v.Value != "" {
			return v.Value
		}
	case nil:
		if !must {
			return ""
		}
	}
	r.fail(name, "a string")
	return ""
}

func (r *kclRow) n(name string) int64 {
	v, ok := r.item[name].(*ddb.AttributeValueMemberN)
	if !ok {
		r.fail(name, "a number")
		return 0
	}
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if err != nil {
		r.fail(name, "a whole number")
	}
	return n
}

func (r *kclRow) ss(name string) []string {
	switch v := r.item[name].(type) {
	case *ddb.AttributeValueMemberSS:
		return v.Value
	case nil:
		return nil
	}
	r.fail(name, "a set of strings")
	return nil
}

// Work delivers user records of a shard, as many as that or, when negative,
// all there are, and checkpoints after the last one, which may be inside an
// aggregate. At the end of the shard it does what KCL does: leases for the
// children, their names, SHARD_END.
func (a *KCLApp) Work(ctx context.Context, shard string, users int) error {
	leases, err := a.Leases(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(leases, func(l KCLLease) bool { return l.Key == shard })
	if i < 0 {
		return fmt.Errorf("there is no lease of %s", shard)
	}
	l := leases[i]
	if l.Checkpoint == standpipe.ShardEnd {
		return nil
	}
	done := standpipe.Position{Sequence: l.Checkpoint, Sub: l.Sub}
	iterator := &kinesis.GetShardIteratorInput{StreamName: &a.Stream.Name, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	if !done.AtStart() {
		iterator.ShardIteratorType, iterator.StartingSequenceNumber = types.ShardIteratorTypeAtSequenceNumber, &l.Checkpoint
	}
	it, err := a.Stream.Client.GetShardIterator(ctx, iterator)
	if err != nil {
		return fmt.Errorf("get an iterator for %s: %w", shard, err)
	}
	next := it.ShardIterator
	for next != nil && users != 0 {
		page, err := a.Stream.page(ctx, next)
		if err != nil {
			return err
		}
		if done, users, err = a.deliver(page.Records, done, users); err != nil {
			return err
		}
		if next = page.NextShardIterator; len(page.Records) == 0 && aws.ToInt64(page.MillisBehindLatest) == 0 {
			break
		}
	}
	l.Checkpoint, l.Sub, l.Owner, l.Switches = done.Sequence, done.Sub, kclWorker, 0
	l.Counter++
	if next == nil && users != 0 {
		return a.end(ctx, l)
	}
	return a.put(ctx, l)
}

// At is the position in a shard's row.
func (a *KCLApp) At(t testing.TB, shard string) standpipe.Position {
	t.Helper()
	leases, err := a.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(leases, func(l KCLLease) bool { return l.Key == shard })
	if i < 0 {
		t.Fatalf("there is no lease of %s", shard)
	}
	return standpipe.Position{Sequence: leases[i].Checkpoint, Sub: leases[i].Sub}
}

// deliver takes the user records after a position, and says how far it came.
func (a *KCLApp) deliver(records []types.Record, done standpipe.Position, most int) (standpipe.Position, int, error) {
	for _, r := range records {
		users, err := UserRecords(r.Data)
		if err != nil {
			return done, most, err
		}
		for sub, u := range users {
			at := standpipe.Position{Sequence: *r.SequenceNumber, Sub: int64(sub)}
			if at.Compare(done) <= 0 {
				continue
			}
			if most == 0 {
				return done, 0, nil
			}
			a.Lines.AddText(u)
			done = at
			most--
		}
	}
	return done, most, nil
}

func (a *KCLApp) end(ctx context.Context, l KCLLease) error {
	shards, err := a.Stream.Shards(ctx)
	if err != nil {
		return err
	}
	leases, err := a.Leases(ctx)
	if err != nil {
		return err
	}
	for _, s := range shards {
		child := leaseOf(s)
		if !slices.Contains(child.Parents, l.Key) {
			continue
		}
		l.Children = append(l.Children, child.Key)
		if !slices.ContainsFunc(leases, func(l KCLLease) bool { return l.Key == child.Key }) {
			if err := a.put(ctx, child); err != nil {
				return err
			}
		}
	}
	slices.Sort(l.Children)
	l.Children = slices.Compact(l.Children)
	l.Checkpoint, l.Sub = standpipe.ShardEnd, 0
	return a.put(ctx, l)
}

// Drain delivers everything there is, parents before their children.
func (a *KCLApp) Drain(ctx context.Context) error {
	for worked := map[string]bool{}; ; {
		leases, err := a.Leases(ctx)
		if err != nil {
			return err
		}
		ended := func(shard string) bool {
			i := slices.IndexFunc(leases, func(l KCLLease) bool { return l.Key == shard })
			return i < 0 || leases[i].Checkpoint == standpipe.ShardEnd
		}
		i := slices.IndexFunc(leases, func(l KCLLease) bool {
			return !worked[l.Key] && !slices.ContainsFunc(l.Parents, func(p string) bool { return !ended(p) })
		})
		if i < 0 {
			return nil
		}
		worked[leases[i].Key] = true
		if err := a.Work(ctx, leases[i].Key, -1); err != nil {
			return err
		}
	}
}
