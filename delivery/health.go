package delivery

import (
	"errors"
	"fmt"
	"time"
)

// stuckAfter is how long the worker's loop, which turns every ten seconds at least, may
// stand still before a restart would help.
const stuckAfter = time.Minute

// Live reports what only a restart mends: a loop that no longer turns, or a
// shard that did not end when it was given up. An outage of a peer holds
// shards, never the loop.
func (w *Worker) Live() error {
	if err := w.turning(); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, r := range w.shards {
		if r.givenUp && r.shard.progress.overdue(time.Now().Add(-stallAfter)) {
			return fmt.Errorf("%s was given up and does not end", id)
		}
	}
	return nil
}

func (w *Worker) turning() error {
	if beat := w.beat.Load(); beat != 0 {
		if still := time.Since(w.made) - time.Duration(beat); still > stuckAfter {
			return fmt.Errorf("the worker has stood still for %s", still.Round(time.Second))
		}
	}
	return nil
}

// Ready reports why the worker does not deliver: it has not begun, its heartbeat
// is not stored, shards have failed, the stream is not the one that the leases
// are of, or they cannot be listed.
func (w *Worker) Ready() error {
	if !w.begun.Load() {
		return errors.New("not started yet: the stream, the checkpoint store or the destination has not answered")
	}
	var reasons []error
	switch {
	case w.pulse.unheard():
		reasons = append(reasons, errors.New("no heartbeat was stored yet, so no shard is taken"))
	case w.pulse.cutOff():
		reasons = append(reasons, fmt.Errorf("no heartbeat was stored for %s", w.pulse.silence().Round(time.Second)))
	}
	w.mu.Lock()
	reasons = append(reasons, w.unfit, w.listing)
	w.mu.Unlock()
	for _, s := range w.Status() {
		if s.State == StateFailed {
			reasons = append(reasons, fmt.Errorf("%s: %s", s.Shard, s.Error))
		}
	}
	return errors.Join(reasons...)
}
