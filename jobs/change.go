package jobs

import (
	"context"
	"errors"
	"fmt"
)

// Cancel stops a job: nothing of it is begun any more, running slices are
// stopped at their next heartbeat and given back. What is done stays done.
func Cancel(ctx context.Context, store Store, id string) (Job, error) {
	return change(ctx, store, id, func(j *Job) { j.Cancelled = true })
}

// Resume takes a cancellation back and gives failed slices new tries.
func Resume(ctx context.Context, store Store, id string) (Job, error) {
	all, err := store.Slices(ctx, id)
	if err != nil {
		return Job{}, fmt.Errorf("read job %s: %w", id, err)
	}
	for _, s := range all {
		if s.State != Failed {
			continue
		}
		// Changed meanwhile means that somebody else has resumed it.
		if _, err := store.Put(ctx, s.Resume()); err != nil && !errors.Is(err, ErrChanged) {
			return Job{}, fmt.Errorf("resume slice %d of job %s: %w", s.Number, id, err)
		}
	}
	return change(ctx, store, id, func(j *Job) { j.Cancelled = false })
}

func change(ctx context.Context, store Store, id string, f func(*Job)) (Job, error) {
	for {
		j, err := store.Job(ctx, id)
		if err != nil {
			return Job{}, fmt.Errorf("read job %s: %w", id, err)
		}
		f(&j)
		written, err := store.PutJob(ctx, j)
		if errors.Is(err, ErrChanged) {
			continue
		}
		if err != nil {
			return Job{}, fmt.Errorf("write job %s: %w", id, err)
		}
		return written, nil
	}
}
