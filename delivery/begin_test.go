package delivery

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/standpipe/standpipe"
)

// S3 answering 503 must not make an orchestrator restart the process for ever:
// it begins, reads as far as memory goes, and holds.
func TestAStartDuringAnOutageOfTheDestinationHoldsAndThenDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.events(0, 20)
		p := r.boot()
		p.gate.refuse(&standpipe.Error{Class: standpipe.Throttled, Op: "probe", Err: context.DeadlineExceeded}, sinkCalls...)
		p.run()
		r.until("the shard is held", func() bool { return len(p.Status()) == 1 && p.Status()[0].Holding != "" })
		p.gate.refuse(nil)
		r.delivered()
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}
