package checkpoint_test

import (
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// Every term of a condition stands for a history that went wrong without it
// (rule R6). Each is spoiled alone, and each write that has to look at it must
// be refused.
func TestAWriteIsRefusedByEveryRowButTheOneItWasMadeFor(t *testing.T) {
	idle := checkpoint.Lease{
		Shard: "shardId-000000000000", Owner: "a", Counter: 7, Epoch: 3, Flush: 5, Commits: 4, Checkpoint: standpipe.Position{Sequence: "10"},
	}
	intent := checkpoint.Pending{Position: standpipe.Position{Sequence: "20"}, State: []byte("mine")}
	prepared := idle
	prepared.Pending = &intent
	spoils := map[string]func(*checkpoint.Lease){
		"owner":      func(l *checkpoint.Lease) { l.Owner = "b" },
		"epoch":      func(l *checkpoint.Lease) { l.Epoch++ },
		"flush":      func(l *checkpoint.Lease) { l.Flush++ },
		"counter":    func(l *checkpoint.Lease) { l.Counter++ },
		"checkpoint": func(l *checkpoint.Lease) { l.Checkpoint.Sequence = "11" },
		"intent": func(l *checkpoint.Lease) {
			l.Pending = &checkpoint.Pending{Position: intent.Position, State: []byte("other")}
		},
	}
	for name, c := range map[string]struct {
		row   checkpoint.Lease
		write checkpoint.Update
		looks []string
	}{
		"take":     {idle, checkpoint.Take(idle, "b"), []string{"counter"}},
		"release":  {idle, checkpoint.Release(idle, "b"), []string{"owner", "epoch"}},
		"note":     {idle, checkpoint.Note(idle, time.Now()), []string{"owner", "epoch"}},
		"prepare":  {idle, checkpoint.Prepare(idle, intent), []string{"owner", "epoch", "flush", "checkpoint", "intent"}},
		"advance":  {idle, checkpoint.Advance(idle, intent.Position, time.Time{}, nil), []string{"owner", "epoch", "checkpoint", "intent"}},
		"commit":   {prepared, checkpoint.Commit(prepared, time.Time{}, nil), []string{"owner", "epoch", "intent"}},
		"rollback": {prepared, checkpoint.Rollback(prepared), []string{"owner", "epoch", "intent"}},
		"replace":  {prepared, checkpoint.Replace(prepared, intent), []string{"owner", "epoch", "intent"}},
		"restart":  {idle, checkpoint.Restart(idle, intent.Position, time.Time{}, "x"), []string{"counter", "intent"}},
	} {
		if !c.write.If.Holds(c.row) {
			t.Errorf("%s is refused by its own row", name)
		}
		for _, term := range c.looks {
			other := c.row.Clone()
			spoils[term](&other)
			if c.write.If.Holds(other) {
				t.Errorf("%s does not look at the %s", name, term)
			}
		}
	}
}
