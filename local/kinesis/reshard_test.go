package kinesis

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/standpipe/standpipe"
)

// Producers, readers, splits and merges at once: nothing is lost, each shard
// keeps the order of its numbers, each producer's records of one key come in
// their order when parents are read before children.
func TestReshardWhileProducingLosesAndReordersNothing(t *testing.T) {
	f := newFixture(t, Config{Dir: t.TempDir()})
	f.create("s", 2)
	const producers, calls, size = 4, 120, 20
	var wg sync.WaitGroup
	var done atomic.Int32
	for p := range producers {
		wg.Go(func() {
			defer done.Add(1)
			for i := range calls {
				var entries []types.PutRecordsRequestEntry
				for j := range size {
					entries = append(entries, entryOf(fmt.Sprint("key-", p), fmt.Sprintf("%d/%06d", p, i*size+j)))
				}
				out, err := f.client.PutRecords(t.Context(), &api.PutRecordsInput{StreamName: aws.String("s"), Records: entries})
				if err != nil || *out.FailedRecordCount != 0 {
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	wg.Go(func() { // split what is open, then merge the children again
		for done.Load() < producers {
			f.reshardOnce()
		}
	})
	seen := 0
	wg.Go(func() { seen = f.follow(func() bool { return done.Load() == producers }) })
	wg.Wait()
	f.checkLineage(producers, calls*size)
	if want := producers * calls * size; seen != want {
		t.Errorf("a reader that leaves each shard at its end saw %d records, want %d", seen, want)
	}
}

// A put and a split race many times. What a reader finds at the told end of the
// parent is all the parent will ever hold.
func TestNoRecordEntersAShardAfterItsEnd(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	body := []byte(putBody(500, 10))
	before, after := 0, 0
	for i := range 1000 {
		if err := s.EnsureStream("s", 1); err != nil {
			t.Fatal(err)
		}
		now := s.clock.now()
		st, err := s.stream("s", now)
		if err != nil {
			t.Fatal(err)
		}
		in, err := parsePut(jsonCodec{}.scan(body), false, &arena{make([]byte, len(body))})
		if err != nil || in.hash() != nil {
			t.Fatal(err)
		}
		start := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			<-start
			if err := s.store(&call{now: now}, st, in, ""); err != nil {
				t.Error(err)
			}
		})
		close(start)
		if i%2 == 0 {
			runtime.Gosched() // both orders are wanted
		}
		split := &call{now: now, codec: jsonCodec{}, body: []byte(`{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"99"}`)}
		if _, err := s.splitShard(split); err != nil {
			t.Fatal(err)
		}
		parent := st.shards[0]
		told := parent.log.read(0, 1000, 1<<20).count
		wg.Wait()
		if n := parent.log.read(0, 1000, 1<<20).count; n != told || n != 0 && n != 500 {
			t.Fatalf("the parent held %d records when it ended and %d later", told, n)
		}
		if told == 0 {
			after++
		} else {
			before++
		}
		s.drop(st)
	}
	t.Logf("put before the split %d times, after it %d times", before, after)
}

// follow reads every shard from its start to its end and then its children,
// while others write, until all is read after finished. It returns the number
// of records. A record put into a shard after its end was told is not seen.
func (f *fixture) follow(finished func() bool) int {
	at := map[string]string{"shardId-000000000000": "", "shardId-000000000001": ""} // shard to iterator
	last, seen := map[string]string{}, 0
	for idle := false; !idle; {
		idle = finished() // asked before the round: its reads see what was put
		for shard, it := range at {
			if it == "" {
				it = f.iterator("s", shard, types.ShardIteratorTypeTrimHorizon, "")
			}
			out, err := f.client.GetRecords(f.t.Context(), &api.GetRecordsInput{ShardIterator: &it, Limit: aws.Int32(50)})
			if err != nil {
				f.t.Errorf("get: %v", err)
				return seen
			}
			for _, r := range out.Records {
				if standpipe.CompareSequence(last[shard], *r.SequenceNumber) >= 0 {
					f.t.Errorf("%s after %s", *r.SequenceNumber, last[shard])
				}
				last[shard] = *r.SequenceNumber
			}
			seen += len(out.Records)
			idle = idle && len(out.Records) == 0 && out.NextShardIterator != nil
			at[shard] = aws.ToString(out.NextShardIterator)
			if out.NextShardIterator != nil {
				continue
			}
			delete(at, shard)
			for _, child := range out.ChildShards { // of a merge both parents name it
				if _, known := last[*child.ShardId]; !known {
					last[*child.ShardId], at[*child.ShardId] = "", ""
				}
			}
		}
	}
	return seen
}

// reshardOnce splits the first open shard wide enough in the middle or, when
// there are many, merges the first two neighbours.
func (f *fixture) reshardOnce() {
	st := f.server.streams["s"]
	st.mu.RLock()
	open := append([]*shard{}, st.routes...)
	st.mu.RUnlock()
	var err error
	if len(open) > 4 {
		_, err = f.client.MergeShards(f.t.Context(), &api.MergeShardsInput{
			StreamName:   aws.String("s"),
			ShardToMerge: aws.String(open[0].name()), AdjacentShardToMerge: aws.String(open[1].name()),
		})
	} else {
		sh := open[len(open)-1]
		middle := sh.hash.Start.big()
		middle.Add(middle, sh.hash.End.big()).Rsh(middle, 1)
		_, err = f.client.SplitShard(f.t.Context(), &api.SplitShardInput{StreamName: aws.String("s"), ShardToSplit: aws.String(sh.name()), NewStartingHashKey: aws.String(middle.String())})
		if sh.hash.Start.hi == sh.hash.End.hi { // as narrow as 2^64: enough
			return
		}
	}
	if err != nil {
		f.t.Errorf("reshard: %v", err)
	}
	f.advance(1)
}

// checkLineage reads all shards, parents first: numbers rise from parent to
// child, and every producer's records are there once and in order.
func (f *fixture) checkLineage(producers, each int) {
	f.t.Helper()
	list, err := f.client.ListShards(f.t.Context(), &api.ListShardsInput{StreamName: aws.String("s")})
	if err != nil {
		f.t.Fatal(err)
	}
	if len(list.Shards) < 5 {
		f.t.Fatalf("only %d shards: nothing was resharded", len(list.Shards))
	}
	ends := map[string]string{}
	next := make([]int, producers)
	for _, sh := range list.Shards { // ids rise from parent to child
		last := "0"
		for _, parent := range []*string{sh.ParentShardId, sh.AdjacentParentShardId} {
			if end := ends[aws.ToString(parent)]; standpipe.CompareSequence(end, last) > 0 {
				last = end
			}
		}
		for it := f.iterator("s", *sh.ShardId, types.ShardIteratorTypeTrimHorizon, ""); it != ""; {
			out := f.get(it)
			for _, r := range out.Records {
				var p, n int
				if _, err := fmt.Sscanf(string(r.Data), "%d/%d", &p, &n); err != nil {
					f.t.Fatal(err)
				}
				if n != next[p] || standpipe.CompareSequence(last, *r.SequenceNumber) >= 0 {
					f.t.Fatalf("%s: producer %d: record %d, want %d; %s after %s", *sh.ShardId, p, n, next[p], *r.SequenceNumber, last)
				}
				next[p], last = n+1, *r.SequenceNumber
			}
			if it = aws.ToString(out.NextShardIterator); len(out.Records) == 0 {
				break
			}
		}
		ends[*sh.ShardId] = last
		if e := sh.SequenceNumberRange.EndingSequenceNumber; e != nil {
			ends[*sh.ShardId] = *e
		}
	}
	for p, n := range next {
		if n != each {
			f.t.Errorf("producer %d: %d records read, want %d", p, n, each)
		}
	}
}
