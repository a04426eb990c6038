package embedded_test

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/jobs/jobstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	jobstest.Run(t, func(t *testing.T) jobs.Store { return open(t, t.TempDir()) })
}

func TestASecondProcessOnTheFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := embedded.Open(dir)
	if err == nil || !strings.Contains(err.Error(), "another process is using it") || !strings.Contains(err.Error(), "--jobs") {
		t.Fatalf("got %v", err)
	}
}

func TestAJobOutlivesItsProcess(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := embedded.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	j, all := jobstest.Plan("j", 3)
	if err := s.Create(ctx, j, all); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if got, err := again.Slices(ctx, "j"); err != nil || len(got) != 3 {
		t.Fatalf("%d slices, %v", len(got), err)
	}
}
