package e2e

import (
	"testing"
	"time"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A deploy: SIGTERM while records keep coming, then a new process. Each stop
// exits 0 within 30 s, and nothing is delivered twice or left out.
func TestSIGTERMUnderLoadStopsCleanlyAndTheNextStartRepeatsNothing(t *testing.T) {
	eachStack(t, func(t *testing.T, s *stack) {
		const load = 20 << 20
		stream := harness.CreateStream(t, s.kinesis, "stopped", 2)
		delivery, archive := s.deliver(t, stream, harness.Settings{Name: "stopped", CompressionFormat: "GZIP"})
		input := harness.Numbered(t, load)
		moments := harness.Moments(t, 5, 6*time.Second)
		produced := producing(t, &harness.Producer{Stream: stream, BytesPerSecond: spread(load, moments)}, harness.Pack(input))
		for _, m := range moments {
			p := delivery.Start(t)
			started(t, p)
			timer := time.NewTimer(m.Wait)
			select {
			case <-timer.C:
			case <-p.Done():
				t.Fatalf("ended by itself with exit code %d", p.ExitCode())
			}
			stop(t, p)
			if err := archive.Refresh(limited(t, testLimit)); err != nil {
				t.Fatal(err)
			}
		}
		produced()
		settle(t, delivery.Start(t), archive, harness.Multiset(input))
		ordered(t, stream, archive)
		if open, err := archive.Uploads(t.Context()); err != nil || open != 0 {
			t.Errorf("%d uploads left open after clean stops, %v", open, err)
		}
	})
}
