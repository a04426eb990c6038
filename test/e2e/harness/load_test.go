package harness

import (
	"errors"
	"testing"
	"time"
)

// What the ledger says of each line must be what the stream holds: kinesalite
// is asked, shard by shard, in its order.
func TestALedgerKnowsWhereEachLineOfALoadIs(t *testing.T) {
	reads := NewReads()
	server := StartKinesalite(t, "")
	stream := CreateStream(t, KinesisClient(reads.Wire(t, "me", server.Endpoint)), "load", 3)
	ctx := within(t)
	l := &Load{Stream: stream, Ledger: NewLedger(12), BytesPerSecond: 1_000_000}
	l.Start(ctx)
	if err := Poll(ctx, "some lines", func() error {
		if n, _ := l.Ledger.Acknowledged(); n < 1000 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	lines, _ := l.Ledger.Acknowledged()
	a := NewAudit(nil, l.Ledger) // only its lines
	contents, err := stream.Contents(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for shard, records := range contents {
		if len(records) == 0 {
			t.Errorf("%s is empty: the hash keys do not reach it", shard)
		}
		c := &chain{}
		for _, record := range records {
			for line := range SplitLines(record) {
				if err := a.line(ctx, shard, c, "the stream", line); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	a.complete()
	if a.Lines() != lines || a.Report() != "" {
		t.Fatalf("%d lines of %d, %s", a.Lines(), lines, a.Report())
	}

	if calls := reads.Calls(); calls["GetShardIterator"] != 3 || calls["GetRecords"] == 0 || calls["PutRecords"] == 0 {
		t.Errorf("calls %v", calls)
	}
	if readers := reads.Readers(time.Time{}); readers["me"] != 3 {
		t.Errorf("shards by reader: %v, want all 3: a page's next iterator was not found", readers)
	}
	if n := reads.Most(time.Hour); n < 2 {
		t.Errorf("at most %d reads of one shard: the iterators were not followed", n)
	}
}
