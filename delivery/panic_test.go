package delivery

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
	"github.com/standpipe/standpipe/sink"
)

// poisoned is the stream with a shard whose pages make the code panic.
type poisoned struct {
	Stream
	shard standpipe.ShardID
	left  atomic.Int64 // panics to come
}

func (p *poisoned) Open(s standpipe.Shard, from consumer.Start) Source {
	source := p.Stream.Open(s, from)
	if s.ID != p.shard {
		return source
	}
	return poisonedSource{source, p}
}

type poisonedSource struct {
	Source
	stream *poisoned
}

func (s poisonedSource) Decode() (*consumer.Page, error) {
	if s.stream.left.Add(-1) >= 0 {
		panic("a bug over one record")
	}
	return s.Source.Decode()
}

func TestAPanicTouchesOnlyItsShardWhichIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3, func(r *rig) { r.slots = sink.NewSlots(2) })
		r.events(0, 60)
		p := r.boot()
		bad := &poisoned{Stream: p.parts.Stream, shard: shardID(1)}
		bad.left.Store(8) // more than there are encoder slots
		p.parts.Stream = bad
		p.run()
		r.until("the others are delivered", func() bool {
			return r.begun(shardID(0)) && r.begun(shardID(2))
		})
		r.until("the panic shows", func() bool { return p.status(shardID(1)).Error != "" })
		if e := p.status(shardID(1)).Error; !strings.Contains(e, "a bug over one record") || !strings.Contains(e, "panic_test.go") {
			t.Errorf("error %q lacks the panic or its stack", e)
		}
		if s := p.status(shardID(1)); s.Buffered != 0 {
			t.Errorf("the failed shard says it holds %d bytes", s.Buffered)
		}
		begun := time.Now()
		r.delivered()
		if rested := time.Since(begun); rested < 10*time.Second {
			t.Errorf("eight panics within %v: there is no back-off", rested)
		}
		if n := p.metric("standpipe_shard_failures_total", ""); n != 8 {
			t.Errorf("%v failures counted, there were 8 panics", n)
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
		r.idle()
	})
}

func TestAShardThatMadeProgressSinceItsLastFailureRestsBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		p := r.boot()
		bad := &poisoned{Stream: p.parts.Stream, shard: shardID(0)}
		p.parts.Stream = bad
		p.run()
		for n := range 8 { // a failure every ten minutes
			r.event(n)
			r.delivered()
			time.Sleep(10 * time.Minute)
			bad.left.Store(1)
			r.until("it fails", func() bool { return p.status(shardID(0)).Error != "" && p.status(shardID(0)).State == StateFailed })
			begun := time.Now()
			r.until("it is back", func() bool { return p.status(shardID(0)).State == StateDelivering })
			if rested := time.Since(begun); rested > 4*time.Second {
				t.Fatalf("after failure %d, ten minutes after the one before, the shard rested %v", n+1, rested)
			}
		}
		if err := p.end(); err != nil {
			t.Fatal(err)
		}
		r.verify()
	})
}
