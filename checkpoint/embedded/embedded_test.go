package embedded_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/checkpoint/checkpointtest"
	"github.com/standpipe/standpipe/checkpoint/embedded"
)

func open(t *testing.T, dir string) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEmbeddedKeepsTheStoreContract(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store { return open(t, t.TempDir()) })
}

func TestLeasesSurviveAReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	l := checkpointtest.Fresh("shardId-000000000000")
	if err := s.Create(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	taken, err := s.Update(t.Context(), checkpoint.Take(l, "me"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	got, err := s.Get(t.Context(), l.Shard)
	if err != nil || got.Counter != taken.Counter || got.Owner != "me" {
		t.Fatalf("after a reopen: %+v, %v", got, err)
	}
}

func refusal(t *testing.T, dir string, words ...string) {
	t.Helper()
	s, err := embedded.Open(dir)
	if err == nil {
		s.Close()
		t.Fatal("the store opened")
	}
	if standpipe.ClassOf(err) != standpipe.Fatal {
		t.Errorf("class of %v is %s, want fatal", err, standpipe.ClassOf(err))
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error %q does not say %q", err, w)
		}
	}
}

// The second opener stands for a second process: bbolt locks the file per
// open file description, so one process can play both.
func TestSecondProcessIsToldWhatToDo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	refusal(t, dir, "another process is using it", "Standpipe.Checkpoint.Path")
}

func TestAFileThatIsNoStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, embedded.FileName), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	refusal(t, dir, "Standpipe.Checkpoint.Path")
}

func TestAFolderThatCannotBeMadeIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refusal(t, filepath.Join(file, "state"), "Standpipe.Checkpoint.Path")
}

func TestANewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, embedded.FileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("format"), []byte("9")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refusal(t, dir, `format "9"`, "newer")
}
