package e2e

import (
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// Shards are split and merged while records keep coming, once with the
// delivery running and once while it is stopped, so that it finds closed
// parents with unread records at its start.
func TestSplitAndMergeUnderLoadLoseNothing(t *testing.T) {
	eachStack(t, func(t *testing.T, s *stack) { reshard(t, s, 12<<20) })
	// kinesis-local knows ChildShards and ShardFilter, which kinesalite does not.
	t.Run("kinesis-local+versitygw", func(t *testing.T) {
		reshard(t, newStack(t, harness.Endpoints{
			Kinesis:     harness.StartKinesisLocal(t).Endpoint,
			S3:          harness.StartVersitygw(t, t.TempDir()).Endpoint,
			Region:      harness.Region,
			AccessKeyID: harness.AccessKey, SecretAccessKey: harness.SecretKey,
		}), 2<<20)
	})
}

func reshard(t *testing.T, s *stack, load int) {
	ctx := limited(t, testLimit)
	stream := harness.CreateStream(t, s.kinesis, "resharded", 2)
	delivery, archive := s.deliver(t, stream, harness.Settings{Name: "resharded", CompressionFormat: "GZIP"})
	input := harness.Numbered(t, load)
	// Twelve seconds of load: the steps below take about half of them.
	produced := producing(t, &harness.Producer{Stream: stream, BytesPerSecond: load / 12}, harness.Pack(input))

	p := delivery.Start(t)
	await := func(part int64) {
		t.Helper()
		if err := archive.Await(limited(t, deliverLimit), p, int64(len(input))*part/10); err != nil {
			t.Fatal(err)
		}
	}
	split := func() {
		t.Helper()
		open, err := stream.Open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Split(ctx, open[0]); err != nil {
			t.Fatal(err)
		}
	}
	merge := func() {
		t.Helper()
		if err := stream.Merge(ctx); err != nil {
			t.Fatal(err)
		}
	}

	await(1)
	split()
	await(3)
	merge()
	stop(t, p)
	split()
	merge()
	p = delivery.Start(t)
	await(6)
	split()
	produced()
	settle(t, p, archive, harness.Multiset(input))
	ordered(t, stream, archive)
}
