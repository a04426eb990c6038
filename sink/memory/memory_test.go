package memory_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/memory"
	"github.com/standpipe/standpipe/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sink.Sink { return memory.New(memory.Options{MinPart: 1 << 10}) })
}

func TestConformanceOfAStoreThatRemembers(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sink.Sink { return memory.New(memory.Options{Remembers: true}) })
}

func TestALifecycleRuleEndsAnUpload(t *testing.T) {
	s := memory.New(memory.Options{})
	u, err := s.Begin(t.Context(), sink.Object{Key: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Begin(t.Context(), sink.Object{Key: "b"}); err != nil {
		t.Fatal(err)
	}
	if n := s.Abort(func(u sink.Upload) bool { return u.Key == "a" }); n != 1 {
		t.Fatalf("aborted %d uploads", n)
	}
	if err := s.Publish(t.Context(), u); !errors.Is(err, sink.ErrNoUpload) {
		t.Fatalf("publish: %v", err)
	}
	if st := s.Staged(); len(st) != 1 || st[0].ID != "upload-2" {
		t.Fatalf("staged: %+v", st)
	}
}
