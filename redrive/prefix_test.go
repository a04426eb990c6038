package redrive_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
	"github.com/standpipe/standpipe/redrive"
	"github.com/standpipe/standpipe/sink"
	"github.com/standpipe/standpipe/sink/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func put(t *testing.T, dir, key string, lines ...string) {
	t.Helper()
	path := filepath.Join(dir, key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func failure(raw, code string) string {
	return `{"rawData":"` + base64.StdEncoding.EncodeToString([]byte(raw)) + `","errorCode":"` + code + `"}`
}

func open(t *testing.T, dir string) archive.Store {
	t.Helper()
	s, err := archive.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A bench is a job store of one test.
type bench struct {
	*testing.T
	store *embedded.Store
	from  archive.Store
	spec  redrive.Spec
}

func newBench(t *testing.T, dir, to string) *bench {
	t.Helper()
	store, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	from := open(t, dir)
	return &bench{T: t, store: store, from: from, spec: redrive.Spec{Source: from.Location(), To: to}}
}

// plan makes the next job and returns it and its slices as they are stored.
func (b *bench) plan() (jobs.Job, []jobs.Slice) {
	b.Helper()
	j, all, err := b.spec.Plan(b.Context(), b.from, b.store, time.Unix(1, 0))
	if err == nil && len(all) > 0 {
		err = b.store.Create(b.Context(), j, all)
	}
	if err != nil {
		b.Fatal(err)
	}
	return j, all
}

// try calls a handler once, as a runner would: the slice keeps what was saved.
func (b *bench) try(h jobs.Handler, j jobs.Job, s *jobs.Slice) (redrive.Report, error) {
	b.Helper()
	note := func(p json.RawMessage) { s.Progress = append(json.RawMessage(nil), p...) }
	result, err := h(b.Context(), jobs.Task{Job: j, Slice: *s, Report: note, Save: func(_ context.Context, p json.RawMessage) error {
		note(p)
		return nil
	}})
	s.Result = result
	r, rerr := redrive.ReportOf(*s)
	if rerr != nil {
		b.Fatal(rerr)
	}
	return r, err
}

func TestAPrefixIsWrittenOnceAndTwiceChangesNothing(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "2026/11/22/a", failure("one", "X"), "garbage", failure("two\n", "Y"))
	put(t, dir, "2026/11/22/b", failure("three", "X"))
	to := memory.New(memory.Options{})
	h := &redrive.Prefix{From: open(t, dir), To: to, Prefix: "again/"}
	var first []memory.Object
	for run := range 2 {
		b := newBench(t, dir, "memory") // a job store that was lost
		j, all := b.plan()
		if len(all) != 1 {
			t.Fatalf("%d slices", len(all))
		}
		r, err := b.try(h.Do, j, &all[0])
		want := redrive.Report{
			Objects: 2, Records: 3, Redriven: 3, Bytes: 12, Rejected: 1, Unchanged: int64(2 * run),
			Rejections: []redrive.Rejection{{Object: "2026/11/22/a", Line: 2, Reason: "it is no JSON"}}, Codes: map[string]int64{"X": 2, "Y": 1},
		}
		if diff := cmp.Diff(want, r); diff != "" || err != nil {
			t.Fatal(err, diff)
		}
		if run == 0 {
			first = to.Objects()
		}
	}
	if len(first) != 2 || first[0].Key != "again/2026/11/22/a" || string(first[0].Body) != "one\ntwo\n" || string(first[1].Body) != "three\n" {
		t.Errorf("%+v", first)
	}
	if diff := cmp.Diff(first, to.Objects()); diff != "" {
		t.Error(diff)
	}
}

func TestAForeignObjectIsNeverReplacedAndTheOthersAreWritten(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", failure("one", "X"))
	put(t, dir, "b", failure("two", "X"))
	to := memory.New(memory.Options{})
	if err := to.Put(t.Context(), sink.Object{Key: "a"}, strings.NewReader("precious")); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, dir, "memory")
	j, all := b.plan()
	h := &redrive.Prefix{From: b.from, To: to}
	if _, err := b.try(h.Do, j, &all[0]); err == nil || !strings.Contains(err.Error(), "redrive a: the destination holds another object") {
		t.Fatal(err)
	}
	if o := to.Objects(); string(o[0].Body) != "precious" || string(o[1].Body) != "two\n" {
		t.Fatalf("%+v", o)
	}
	all[0] = all[0].Fail("")
	if owes, err := redrive.Owes(all[0]); err != nil || !owes {
		t.Errorf("nobody says that it is to be resumed: %v", err)
	}
	to.Remove("a") // and resumed
	if r, err := b.try(h.Do, j, &all[0]); err != nil || r.Objects != 2 || r.Redriven != 2 {
		t.Fatal(r, err)
	}
}

func TestAnObjectThatChangedSincePlanningFailsItsSliceAndIsPlannedAnew(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", failure("one", "X"))
	put(t, dir, "b", failure("two", "X"))
	b := newBench(t, dir, "memory")
	j, all := b.plan()
	put(t, dir, "a", failure("longer than before", "X"))
	to := memory.New(memory.Options{})
	h := &redrive.Prefix{From: b.from, To: to}
	if _, err := b.try(h.Do, j, &all[0]); err == nil || !strings.Contains(err.Error(), "redrive a: it changed since it was planned") {
		t.Fatal(err)
	}
	all[0] = all[0].Fail("")
	if owes, err := redrive.Owes(all[0]); err != nil || owes {
		t.Errorf("it is planned anew, and still owed: %v", err)
	}
	j, all = b.plan()
	if len(all) != 1 || j.ID != b.spec.Family()+"2" {
		t.Fatalf("%+v %+v", j, all)
	}
	if r, err := b.try(h.Do, j, &all[0]); err != nil || r.Objects != 1 || len(to.Objects()) != 2 {
		t.Fatal(r, err)
	}
}

func TestASecondPlanHasOnlyWhatNoEarlierOneHad(t *testing.T) {
	dir := t.TempDir()
	for _, key := range []string{"a", "b"} {
		put(t, dir, key, failure("one", "X"), failure("two", "Y"))
	}
	b := newBench(t, dir, "s")
	b.spec.Code = "X"
	b.plan()
	if _, all := b.plan(); len(all) != 0 {
		t.Errorf("planned again: %+v", all)
	}
	put(t, dir, "c", failure("three", "Y"))
	b.spec.Code = ""
	_, all := b.plan()
	var items []redrive.Item
	if err := json.Unmarshal(all[0].Spec, &items); err != nil || len(items) != 3 {
		t.Fatal(err, items)
	}
	if cmp.Diff(items[0].Except, []string{"X"}) != "" || items[2].Except != nil {
		t.Errorf("%+v", items)
	}
	b.spec.Code = "Y"
	if _, all := b.plan(); len(all) != 0 {
		t.Errorf("Y was covered by all: %+v", all)
	}
}
