package node

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAFolderIsFilledOnceHoweverManyAsk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "whole")
	var fills atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			err := Once(dir, func(tmp string) error {
				fills.Add(1)
				return os.WriteFile(filepath.Join(tmp, "file"), []byte("x"), 0o600)
			})
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("it was filled %d times", n)
	}
}

func TestAFolderThatCouldNotBeFilledIsNotThereAndCanBeFilledLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "whole")
	if err := Once(dir, func(string) error { return os.ErrInvalid }); err == nil {
		t.Fatal("no error")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("half a folder is there")
	}
	if err := Once(dir, func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestARegistryIsAskedThreeTimes(t *testing.T) {
	t.Setenv("STANDPIPE_E2E_CACHE", t.TempDir())
	defer func(d time.Duration) { rest = d }(rest)
	rest = time.Millisecond
	for failures, want := range map[string]bool{"0": true, "2": true, "3": false} {
		dir := t.TempDir()
		err := Fetch(t, dir, []string{"FAILURES=" + failures}, "sh", "-c", `echo tried >> log; [ "$(wc -l < log)" -gt "$FAILURES" ]`)
		if (err == nil) != want {
			t.Errorf("after %s failures: %v", failures, err)
		}
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		if n := strings.Count(string(log), "\n"); err != nil || n > fetches {
			t.Errorf("%d attempts, %v", n, err)
		}
	}
}
