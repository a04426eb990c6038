package memory_test

import (
	"testing"

	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/checkpointtest"
	"github.com/standpipe/standpipe/checkpoint/memory"
)

func TestMemoryKeepsTheStoreContract(t *testing.T) {
	checkpointtest.Run(t, func(*testing.T) checkpoint.Store { return new(memory.Store) })
}
