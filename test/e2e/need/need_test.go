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

func TestRedisBefore62IsTooOld(t *testing.T) {
	for version, want := range map[string]bool{
		"Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=ae4d7c971a948f0": true,
		"Redis server v=6.2.0 sha=00000000:0":                                                      true,
		"Redis server v=10.0.1 sha=00000000:0":                                                     true,
		"Redis server v=6.0.16 sha=00000000:0":                                                     false,
		"Redis server v=5.10.0 sha=00000000:0":                                                     false,
		"something else":                                                                           false,
	} {
		if got := since62(version); got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
}
