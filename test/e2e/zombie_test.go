package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// A worker stands still between two steps of the protocol, its next request on
// the way; another takes the shard over, finishes what it finds and goes on.
// Then the request arrives and the worker wakes, knowing nothing. In each of
// the three places that must be harmless.

func TestAZombieStoppedBetweenStageAndPrepareIsHarmless(t *testing.T) {
	t.Parallel()
	zombie(t, "staged", onStore(harness.Call.Prepares), fenced)
}

func TestAZombieStoppedBetweenPrepareAndPublishIsHarmless(t *testing.T) {
	t.Parallel()
	// The other worker has published this upload: a second time it is done or gone.
	zombie(t, "prepared", onBucket(harness.Call.Publishes), func(status int, body string) error {
		if status == http.StatusOK || status == http.StatusNotFound && strings.Contains(body, "NoSuchUpload") {
			return nil
		}
		return fmt.Errorf("answered %d: %s", status, body)
	})
}

func TestAZombieStoppedBetweenPublishAndCommitIsHarmless(t *testing.T) {
	t.Parallel()
	zombie(t, "published", onStore(harness.Call.Commits), fenced)
}

func onStore(match func(harness.Call) bool) func(w *harness.Worker) *harness.Catch {
	return func(w *harness.Worker) *harness.Catch { return w.OnStore.Catch(match, false) }
}

func onBucket(match func(harness.Call) bool) func(w *harness.Worker) *harness.Catch {
	return func(w *harness.Worker) *harness.Catch { return w.OnS3.Catch(match, false) }
}

// fenced is what a late conditional write has to be told.
func fenced(status int, body string) error {
	if status == http.StatusBadRequest && strings.Contains(body, "ConditionalCheckFailed") {
		return nil
	}
	return fmt.Errorf("answered %d, want a refusal by its condition: %s", status, body)
}

func zombie(t *testing.T, name string, catch func(*harness.Worker) *harness.Catch, judge func(status int, body string) error) {
	f := newFleet(t, fleetOptions{name: "zombie-" + name, workers: 2, shards: 1, bytesPerSecond: 300_000, leaseSeconds: shortLease})
	a, b := f.workers[0], f.workers[1]
	ctx := limited(t, testLimit)
	f.load.Start(ctx)
	a.Start(t)
	f.delivered(t, 1, deliverLimit)
	b.Start(t)
	if err := b.Started(ctx); err != nil {
		t.Fatal(err)
	}

	// Whoever has the shard: on a machine that stood still it is b by now.
	caught, other := catch(a), catch(b)
	select {
	case <-caught.Held:
	case <-other.Held:
		a, b, caught, other = b, a, other, caught
	case <-ctx.Done():
		t.Fatal("the request that was to be held never came")
	}
	b.OnStore.Forget(other)
	b.OnS3.Forget(other)
	other.Release()
	a.Process().Pause()
	// More than was in the stream at this moment: it cannot have been a's.
	lines, _ := f.load.Ledger.Acknowledged()
	f.delivered(t, lines+1, deliverLimit)

	writes := &rowWrites{}
	a.OnStore.Watch(writes.seen)
	caught.Release()
	status, body, err := caught.Answer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := judge(status, body); err != nil {
		t.Errorf("the late request: %v", err)
	}
	a.Process().Resume()
	// Awake it hears of its fate, and soon shows that it lives; b goes on.
	err = a.Process().Until(ctx, "the zombie to call the store again", func() error {
		if writes.all() == 0 {
			return errors.New("it has not yet")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	lines, _ = f.load.Ledger.Acknowledged()
	f.delivered(t, lines+1, deliverLimit)
	if got := writes.taken(); len(got) > 0 {
		t.Errorf("after it woke the zombie's writes to the shard's lease were accepted: %v", got)
	}
	f.close(t, deliverLimit)
}

// rowWrites are a worker's writes to the store: all, and those to leases that
// were accepted.
type rowWrites struct {
	mu       sync.Mutex
	n        int
	accepted []harness.Row
}

func (r *rowWrites) seen(c harness.Call, status int) {
	row, ok := c.Row()
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	if status == http.StatusOK && row.OfShard() {
		r.accepted = append(r.accepted, row)
	}
}

func (r *rowWrites) all() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

func (r *rowWrites) taken() []harness.Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}
