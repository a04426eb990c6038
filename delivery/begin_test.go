package delivery

import (
	"context"
	"testing"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
)

// slowStream does not answer until the call is given up.
type slowStream struct{}

func (slowStream) Describe(ctx context.Context) (standpipe.Stream, error) {
	<-ctx.Done()
	return standpipe.Stream{}, context.Cause(ctx)
}
func (slowStream) Shards(context.Context) ([]standpipe.Shard, error) { return nil, nil }
func (slowStream) Open(standpipe.Shard, consumer.Start) Source       { return nil }

// A container that is replaced while it starts must not look like a failure.
func TestAStopDuringTheStartIsACleanStop(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	w := NewWorker(Settings{Worker: "w"}, Parts{Stream: slowStream{}, Budget: NewBudget(1 << 20)})
	if err := w.Run(ctx); err != nil {
		t.Fatalf("got %v, want nil: nothing was taken, so nothing is left", err)
	}
}
