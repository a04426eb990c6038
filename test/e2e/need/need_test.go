package need

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stand records how a test ended without ending the one that looks.
type stand struct {
	testing.TB
	failed, skipped bool
}

func (s *stand) Helper()               {}
func (s *stand) Name() string          { return "TestStand" }
func (s *stand) Fatalf(string, ...any) { s.failed = true; panic(s) }
func (s *stand) Skipf(string, ...any)  { s.skipped = true; panic(s) }

func ask(t *testing.T, program string) *stand {
	s := &stand{TB: t}
	func() {
		defer func() { _ = recover() }()
		Program(s, program)
	}()
	return s
}

func TestAMissingProgramSkipsAtHomeAndIsNoted(t *testing.T) {
	list := filepath.Join(t.TempDir(), "skips")
	t.Setenv("CI", "")
	t.Setenv("STANDPIPE_SKIPS", list)
	if s := ask(t, "no-such-program"); !s.skipped || s.failed {
		t.Fatalf("skipped %v, failed %v, want a skip", s.skipped, s.failed)
	}
	noted, err := os.ReadFile(list)
	if err != nil || !strings.Contains(string(noted), "TestStand: no-such-program is not installed") {
		t.Fatalf("list of skips holds %q, %v", noted, err)
	}
}

func TestAMissingProgramFailsUnderCI(t *testing.T) {
	t.Setenv("CI", "true")
	if s := ask(t, "no-such-program"); !s.failed || s.skipped {
		t.Fatalf("skipped %v, failed %v, want a failure", s.skipped, s.failed)
	}
}

func TestAProgramThatIsThereIsFound(t *testing.T) {
	if s := ask(t, "go"); s.failed || s.skipped {
		t.Fatalf("go was not found: skipped %v, failed %v", s.skipped, s.failed)
	}
}
