package verify

import (
	"context"
	"sync"
)

// ordered does work on what list puts, workers at a time, and hands the results
// to visit in the order in which they were put. It returns when every goroutine
// has ended. The first error of list or visit ends it.
func ordered[T, R any](ctx context.Context, workers int, list func(context.Context, func(T) error) error, work func(context.Context, T) R, visit func(R) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make(chan chan R, workers)
	var group sync.WaitGroup
	group.Go(func() {
		defer close(results)
		err := list(ctx, func(t T) error {
			result := make(chan R, 1)
			select {
			case results <- result: // waits while workers are at work
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			group.Go(func() { result <- work(ctx, t) })
			return nil
		})
		if err != nil {
			cancel(err)
		}
	})
	var failed error
	for result := range results {
		r := <-result
		if failed != nil || ctx.Err() != nil {
			continue // let them end
		}
		if failed = visit(r); failed != nil {
			cancel(failed)
		}
	}
	group.Wait()
	if failed == nil && ctx.Err() != nil {
		failed = context.Cause(ctx)
	}
	return failed
}
