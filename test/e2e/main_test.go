package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// program is the binary under test: the one in STANDPIPE_E2E_PROGRAM, or built
// once for all tests.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if program = os.Getenv("STANDPIPE_E2E_PROGRAM"); program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "standpipe-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program, err = harness.Build(context.Background(), filepath.Join("..", ".."), "./cmd/standpipe", dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
