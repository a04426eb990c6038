package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

const (
	kills      = 30
	killLoad   = 50 << 20
	killAfter  = 2500 * time.Millisecond // at most, after each start
	killFruits = 5                       // kills after which something new must be visible
	killRounds = 3                       // at most, for those on a machine where fewer were
)

// 50 MB flow while the process is killed 30 times at random moments, half of
// them in the middle of a request that writes to S3. Whatever it was doing, at the
// end every line is there once. After each kill the bucket is looked at: an
// object once visible stays what it is. Where the machine is too slow to
// deliver anything between most kills there are more, which wait for it.
func TestKill9LosesNoLineAndDeliversNoneTwice(t *testing.T) {
	eachStack(t, func(t *testing.T, s *stack) {
		wire := harness.NewTripwire(t, s.endpoints.S3)
		s.endpoints.S3 = wire.Endpoint
		stream := harness.CreateStream(t, s.kinesis, "killed", 3)
		delivery, archive := s.deliver(t, stream, harness.Settings{Name: "killed", CompressionFormat: "GZIP"})
		input := harness.Numbered(t, killLoad)
		moments := harness.Moments(t, kills, killAfter)
		produced := producing(t, &harness.Producer{Stream: stream, BytesPerSecond: spread(killLoad, moments)}, harness.Pack(input))

		look := fruits{archive: archive}
		for round := 0; round == 0 || look.grown < killFruits && round <= killRounds; round++ {
			if err := harness.KillAt(t, wire, moments, func() *harness.Process { return delivery.Start(t) }, look.after(t)); err != nil {
				t.Fatal(err)
			}
			moments = patient(moments)
		}
		produced()
		settle(t, delivery.Start(t), archive, harness.Multiset(input))
		ordered(t, stream, archive)
		look.judge(t)
	})
}

// The same with everything in one process that dies: servers, stream, bucket
// and delivery come back from their folder. A request without an answer is
// sent again, so the truth is what the stream holds.
func TestKill9OfTheWholeLocalStackLosesNothing(t *testing.T) {
	const load = 20 << 20
	dir := t.TempDir()
	flags := []string{
		"--shards", "2", "--size", "1", "--interval", "1", "--prefix", "data/!{timestamp:yyyy}/",
		"--kinesis-addr", fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)),
		"--s3-addr", fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)),
	}
	p, e := harness.StartLocal(t, program, dir, flags...)
	stream := &harness.Stream{Name: e.Stream, Client: e.KinesisClient()}
	if err := stream.Active(limited(t, testLimit)); err != nil {
		t.Fatal(err)
	}
	p.Crash()

	input := harness.Numbered(t, load)
	moments := harness.Moments(t, kills, killAfter)
	producer := &harness.Producer{Stream: stream, BytesPerSecond: spread(load, moments), Repeat: true}
	produced := producing(t, producer, harness.Pack(input))
	start := func() *harness.Process {
		s3Ended(t, e) // or its port is taken still
		p, e = harness.StartLocal(t, program, dir, flags...)
		return p
	}
	if err := harness.KillAt(t, nil, moments, start, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	start()
	produced()

	contents, err := stream.Contents(limited(t, testLimit))
	if err != nil {
		t.Fatal(err)
	}
	var held harness.Lines
	for _, records := range contents {
		for _, r := range records {
			held.AddText(r)
		}
	}
	if lost := harness.Missing(harness.Multiset(input), &held); lost != "" {
		t.Fatalf("the stream lost what it had acknowledged: %s", lost)
	}
	archive := &harness.Archive{Client: e.S3Client(), Bucket: e.Bucket, Prefix: "data/"}
	if err := archive.Await(limited(t, deliverLimit), p, held.Digest.Lines); err != nil {
		t.Error(err)
	}
	ordered(t, stream, archive)
	stop(t, p)
	if d := harness.Diff(&held, archive.Lines()); d != "" {
		t.Fatalf("the archive differs from the stream: %s", d)
	}
}

// patient are the moments that are no time but a request, however long that takes
// to come.
func patient(moments []harness.Moment) (all []harness.Moment) {
	for _, m := range moments {
		if m.Write > 0 {
			m.Wait = time.Minute
			all = append(all, m)
		}
	}
	return all
}

// spread is the rate at which size bytes last as long as the kill loop.
func spread(size int, moments []harness.Moment) int {
	var total time.Duration
	for _, m := range moments {
		total += m.Wait
	}
	return int(float64(size) / max(total.Seconds(), 1))
}

// fruits counts the kills after which the bucket had grown: a loop in which
// nothing is ever delivered would prove nothing.
type fruits struct {
	archive *harness.Archive
	kills   int
	objects int
	grown   int
}

func (f *fruits) after(t *testing.T) func(int) error {
	return func(int) error {
		if err := f.archive.Refresh(limited(t, testLimit)); err != nil {
			return err
		}
		f.kills++
		if n := len(f.archive.Keys()); n > f.objects {
			f.objects = n
			f.grown++
		}
		return nil
	}
}

func (f *fruits) judge(t *testing.T) {
	t.Helper()
	t.Logf("something new was visible after %d of %d kills, %d objects before the last start", f.grown, f.kills, f.objects)
	if f.grown < killFruits {
		t.Errorf("something new was visible after only %d kills: the loop killed too early to prove anything", f.grown)
	}
}
