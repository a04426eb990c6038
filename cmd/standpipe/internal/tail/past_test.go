package tail

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/consumer"
)

// When a shard may be left depends on answers that only some servers give: a
// closed shard whose end takes one more page, a tip that is claimed too early.
func TestAShardIsLeftOnlyWhenNothingAskedForCanFollow(t *testing.T) {
	began := time.Date(2026, 11, 22, 21, 0, 0, 0, time.UTC)
	to := began.Add(time.Minute)
	at := func(d time.Duration) []standpipe.Record { return []standpipe.Record{{Arrival: began.Add(d)}} }
	for _, c := range []struct {
		name   string
		cfg    Config
		closed bool
		page   consumer.Page
		want   bool
	}{
		{"caught up", Config{}, false, consumer.Page{ReadAt: began}, true},
		{"caught up with records in hand", Config{}, false, consumer.Page{ReadAt: began, Records: at(-time.Second)}, true},
		{"behind, of what arrived before", Config{}, false, consumer.Page{ReadAt: began.Add(time.Second), Behind: 2 * time.Second}, false},
		{"behind, of what arrived later", Config{}, false, consumer.Page{ReadAt: began.Add(time.Hour), Behind: time.Second}, true},
		{"a closed shard has children", Config{}, true, consumer.Page{ReadAt: began}, false},
		{"a full page claims to be the tip", Config{}, false, consumer.Page{ReadAt: began, Records: make([]standpipe.Record, 10_000)}, false},
		{"a page full of bytes too", Config{}, false, consumer.Page{ReadAt: began, Bytes: 1 << 20}, false},
		{"followed without end", Config{Follow: true}, false, consumer.Page{ReadAt: began.Add(time.Hour)}, false},
		{"before the end", Config{Follow: true, To: to}, false, consumer.Page{ReadAt: to.Add(-time.Second)}, false},
		{"at the end, out of order", Config{Follow: true, To: to}, false, consumer.Page{ReadAt: to.Add(time.Hour), Records: at(time.Minute)}, false},
		{"past the end", Config{Follow: true, To: to}, false, consumer.Page{ReadAt: to.Add(time.Hour), Records: at(time.Minute + slack)}, true},
		{"a closed shard past the end", Config{Follow: true, To: to}, true, consumer.Page{ReadAt: to.Add(time.Hour), Records: at(time.Minute + slack)}, true},
		{"nothing more up to the end", Config{Follow: true, To: to}, false, consumer.Page{ReadAt: to.Add(slack)}, true},
		{"the children may have more", Config{Follow: true, To: to}, true, consumer.Page{ReadAt: to.Add(slack)}, false},
		{"the end is not reached", Config{Follow: true, To: to}, false, consumer.Page{ReadAt: to.Add(time.Hour), Behind: time.Hour}, false},
	} {
		c.cfg.Began = began
		s := &shardTail{follower: &follower{cfg: c.cfg}, shard: standpipe.Shard{Closed: c.closed}}
		if got := s.past(&c.page); got != c.want {
			t.Errorf("%s: left %v, want %v", c.name, got, c.want)
		}
	}
}

// The page of another shard may come between the last line and the end.
func TestNothingIsPrintedAfterTheCount(t *testing.T) {
	var out bytes.Buffer
	p := &printer{cfg: &Config{Count: 2, Form: Lines, Out: &out, Deaggregation: consumer.KeepAll}}
	page := &consumer.Page{Records: []standpipe.Record{{Sequence: []byte("1"), Data: []byte("a\nb\nc")}}}
	for range 2 {
		if _, err := p.page(standpipe.Shard{}, page); !errors.Is(err, errEnough) {
			t.Errorf("error %v", err)
		}
	}
	if out.String() != "a\nb\n" {
		t.Errorf("printed %q", out.String())
	}
}
