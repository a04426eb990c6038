package dynamodb

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/dynamo"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/jobstest"
	"github.com/standpipe/standpipe/test/e2e/harness"
)

// tables numbers tables, so that every test has its own.
var tables atomic.Int64

func openTable(t testing.TB, settings aws.Config) *Store {
	t.Helper()
	s := New(settings, fmt.Sprintf("jobs-%d", tables.Add(1)))
	t.Cleanup(func() { _ = s.Close() })
	if err := s.CreateTable(t.Context()); err != nil {
		t.Fatalf("create the table: %v", err)
	}
	return s
}

// again is another process's view of the same table.
func again(t testing.TB, s *Store, settings aws.Config) *Store {
	other := New(settings, s.table.Name)
	t.Cleanup(func() { _ = other.Close() })
	return other
}

func TestDynamoDBKeepsTheStoreContract(t *testing.T) {
	server := harness.StartDynalite(t, 0)
	jobstest.Run(t, func(t *testing.T) jobs.Store { return openTable(t, server.Settings()) })
}

func plan(t testing.TB, s *Store, id string, n int) {
	t.Helper()
	j, all := jobstest.Plan(id, n)
	if err := s.Create(t.Context(), j, all); err != nil {
		t.Fatal(err)
	}
}

// largeDocument lies in three parts.
func largeDocument(i int) json.RawMessage {
	return json.RawMessage(`"` + strings.Repeat(string(rune('a'+i)), 2*inlineMax) + `"`)
}

// rowsOf counts what is in the collection of a job.
func rowsOf(t testing.TB, s *Store, job string) (n int) {
	t.Helper()
	err := s.query(t.Context(), "count", collectionOf(job), "", true, func(dynamo.Item) error { n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What a job leaves: one row for each slice while it runs, nothing afterwards.
func TestNothingIsLeftBehind(t *testing.T) {
	settings := harness.StartDynalite(t, 0).Settings()
	s := openTable(t, settings)
	plan(t, s, "j", 3)
	x, err := s.Slice(t.Context(), "j", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if x, err = s.Put(t.Context(), x.Report(largeDocument(i))); err != nil {
			t.Fatal(err)
		}
	}
	if n := rowsOf(t, s, "j"); n != 3+3 {
		t.Errorf("%d rows, want 3 slices and 3 parts", n)
	}
	if _, err := s.Put(t.Context(), x.Report(json.RawMessage(`1`))); err != nil {
		t.Fatal(err)
	}
	if n := rowsOf(t, s, "j"); n != 3 {
		t.Errorf("%d rows when the document is small, want 3", n)
	}
	// A plan that died before its job's row, and one that came second.
	_, writes, err := planRows("dead", jobs.Job{ID: "j"}, []jobs.Slice{{Job: "j"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.table.Batch(t.Context(), "die", writes); err != nil {
		t.Fatal(err)
	}
	j, all := jobstest.Plan("j", 40)
	if err := again(t, s, settings).Create(t.Context(), j, all); !errors.Is(err, jobs.ErrExists) {
		t.Fatal(err)
	}
	if n := rowsOf(t, s, "j"); n != 4 {
		t.Errorf("%d rows after a second plan, want 4", n)
	}
	if err := s.Delete(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	if n := rowsOf(t, s, "j"); n != 0 {
		t.Errorf("%d rows after the delete", n)
	}
}

// A store that knows the plan of a job that was deleted and made anew elsewhere
// finds the new one, and writes nothing of the old one.
func TestAJobThatWasMadeAnewElsewhereIsFound(t *testing.T) {
	settings := harness.StartDynalite(t, 0).Settings()
	s := openTable(t, settings)
	plan(t, s, "j", 2)
	old, err := s.Slice(t.Context(), "j", 1)
	if err != nil {
		t.Fatal(err)
	}
	other := again(t, s, settings)
	if err := other.Delete(t.Context(), "j"); err != nil {
		t.Fatal(err)
	}
	plan(t, other, "j", 3)
	if _, err := s.Put(t.Context(), old.Claim("w", "t")); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("a put to the job that was deleted: %v", err)
	}
	if x, err := s.Slice(t.Context(), "j", 2); err != nil || x.Number != 2 {
		t.Errorf("%+v, %v", x, err)
	}
}

// Rows that were removed by hand are no shorter job.
func TestAJobThatLostRowsSaysSo(t *testing.T) {
	s := openTable(t, harness.StartDynalite(t, 0).Settings())
	plan(t, s, "j", 3)
	rows, err := s.rows(t.Context(), "j", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.table.Batch(t.Context(), "remove", rows[1:2]); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func() ([]jobs.Slice, error){
		func() ([]jobs.Slice, error) { return s.Slices(t.Context(), "j") },
		func() ([]jobs.Slice, error) { return s.States(t.Context(), "j") },
	} {
		if _, err := read(); standpipe.ClassOf(err) != standpipe.Fatal || !strings.Contains(err.Error(), "2 of its 3 slices") || !strings.Contains(err.Error(), "jobs delete") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAMissingTableSaysHowToMakeIt(t *testing.T) {
	server := harness.StartDynalite(t, 300*time.Millisecond)
	s := New(server.Settings(), "none")
	defer s.Close()
	err := s.Ready(t.Context())
	if standpipe.ClassOf(err) != standpipe.NotFound || !strings.Contains(err.Error(), "create=true") || !strings.Contains(err.Error(), "table none") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Jobs(t.Context()); standpipe.ClassOf(err) != standpipe.NotFound || !strings.Contains(err.Error(), "create=true") {
		t.Errorf("got %v", err)
	}
	if err := s.CreateTable(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}
