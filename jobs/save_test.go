package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/standpipe/standpipe/jobs"
)

// The heartbeat writes every few milliseconds beside it: each save must be on
// record when it returns, and none may look like a lost claim.
func TestWhatWasSavedIsOnRecordBeforeTheNextStep(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 4)
	opt := quick
	opt.Beat, opt.ClaimTimeout = time.Millisecond, 10*time.Second
	start(t, s, s, opt, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		for i := range 25 {
			want := fmt.Sprint(i)
			if err := task.Save(ctx, json.RawMessage(want)); err != nil {
				return nil, err
			}
			x, err := s.Slice(ctx, task.Job.ID, task.Slice.Number)
			if err != nil {
				return nil, err
			}
			if string(x.Progress) != want {
				t.Errorf("slice %d: %s is stored after %s was saved", x.Number, x.Progress, want)
			}
		}
		return nil, nil
	})
	for _, x := range settle(t, s, "j") {
		if x.State != jobs.Done || x.Tries != 1 {
			t.Errorf("%+v", x)
		}
	}
}

// Whoever lost its claim must learn it before the effect, and stop.
func TestSavingUnderALostClaimFailsAndEndsTheHandler(t *testing.T) {
	s := openStore(t)
	create(t, s, "j", 1)
	opt := quick
	opt.Beat, opt.ClaimTimeout = time.Minute, time.Hour // the heartbeat does not get there first
	said := make(chan error, 1)
	start(t, s, s, opt, func(ctx context.Context, task jobs.Task) (json.RawMessage, error) {
		x, err := s.Slice(ctx, "j", 0)
		if err == nil {
			_, err = s.Put(ctx, x.Claim("another", "another token"))
		}
		if err != nil {
			t.Error(err)
		}
		err = task.Save(ctx, json.RawMessage(`1`))
		if err != nil {
			<-ctx.Done()
		}
		said <- err
		return nil, err
	})
	if err := <-said; err == nil {
		t.Fatal("saved under another's claim")
	}
	x, err := s.Slice(context.Background(), "j", 0)
	if err != nil || x.Token != "another token" || x.Progress != nil {
		t.Fatalf("%+v, %v", x, err)
	}
}
