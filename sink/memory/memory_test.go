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

func TestConformanceBelowAPrefix(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sink.Sink {
		return sink.Under(memory.New(memory.Options{MinPart: 1 << 10}), "a/b/")
	})
}

func TestKeysBelowAPrefixAreSeenWithoutIt(t *testing.T) {
	whole := memory.New(memory.Options{})
	under := sink.Under(whole, "a/b/")
	u, err := under.Begin(t.Context(), sink.Object{Key: "k"})
	if err != nil || u.Key != "k" {
		t.Fatalf("%+v, %v", u, err)
	}
	if err := under.WriteOnce(t.Context(), "once", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if keys, err := whole.Keys(t.Context()); err != nil || len(keys) != 1 || keys[0] != "a/b/once" {
		t.Errorf("%v, %v", keys, err)
	}
	if got := under.Location(); got != "memory://a/b/" {
		t.Errorf("location %s", got)
	}
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
