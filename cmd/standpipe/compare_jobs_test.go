package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/standpipe/standpipe/archive"
	"github.com/standpipe/standpipe/compare"
	"github.com/standpipe/standpipe/jobs"
	"github.com/standpipe/standpipe/jobs/embedded"
)

// A compareBench is two archives of 24 objects a side and a job store.
type compareBench struct {
	cfg   compare.Config
	store *embedded.Store
}

func newCompareBench(t *testing.T) *compareBench {
	t.Helper()
	twoArchives(t)
	store, err := embedded.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	b := &compareBench{store: store, cfg: compare.Config{
		Now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Capacity: 1000, Shown: 100, Workers: 1,
		Legal: [2]bool{false, true}, SpillMax: 1 << 20, Slice: compare.Cut{Every: time.Hour},
	}}
	for i, dir := range []string{"a", "b"} {
		if b.cfg.Stores[i], err = archive.Open(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
	}
	b.cfg.Places = [2]string{"/a", "/b"}
	return b
}

// machine is one of those that may work on the comparison.
func (b *compareBench) machine(alone bool) *compareWork {
	return newCompareWork(newConsole(strings.NewReader(""), io.Discard, io.Discard), shared{nodeJobs{b.store}, alone}, b.cfg)
}

func reportJSON(t *testing.T, r *compare.Report) string {
	t.Helper()
	r.Duration = 0
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// undisturbed is the report of a run without jobs.
func (b *compareBench) undisturbed(t *testing.T) string {
	t.Helper()
	r, err := compare.Run(t.Context(), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return reportJSON(t, r)
}

// counted counts how often each object is opened; after stop openings it stops.
type counted struct {
	archive.Store
	opened map[string]int
	stop   int
	cancel func()
}

func (c *counted) Open(ctx context.Context, key string) (io.ReadCloser, archive.Object, error) {
	c.opened[key]++
	if c.stop--; c.stop == 0 {
		c.cancel()
	}
	return c.Store.Open(ctx, key)
}

// Aim: a comparison that was interrupted anywhere and gone on with by another
// machine gives the report of an undisturbed one, and no slice that was done is
// done again.
func TestAComparisonIsGoneOnWithByWhoeverComes(t *testing.T) {
	b := newCompareBench(t)
	b.cfg.Records = compare.Lines // so that nothing is probed
	want := b.undisturbed(t)
	for _, after := range []int{1, 7, 23, 30} {
		side := b.cfg.Stores[compare.A]
		ctx, cancel := context.WithCancel(t.Context())
		first := &counted{side, map[string]int{}, after, cancel}
		b.cfg.Stores[compare.A] = first
		if r, err := b.machine(true).run(ctx, false); err == nil {
			t.Fatalf("stopped after %d objects: a report: %s", after, r.Headline)
		}
		second := &counted{side, map[string]int{}, -1, nil}
		b.cfg.Stores[compare.A], b.cfg.Now = second, b.cfg.Now.Add(time.Hour)
		w := b.machine(true)
		r, err := w.run(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		b.cfg.Stores[compare.A], b.cfg.Now = side, b.cfg.Now.Add(-time.Hour)
		if got := reportJSON(t, r); got != want {
			t.Errorf("stopped after %d objects:\n%s\nwant\n%s", after, got, want)
		}
		total := 0
		for _, opened := range []map[string]int{first.opened, second.opened} {
			for _, n := range opened {
				total += n
			}
		}
		// Both passes read 24 objects; the one that was interrupted is read again.
		if total > 49 {
			t.Errorf("stopped after %d objects: %d were opened, two passes of 24 and one again are enough", after, total)
		}
		if err := w.end(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if all, err := b.store.Jobs(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("jobs are left: %v, %v", all, err)
		}
	}
}

// In a fleet the jobs stay for the other machines, who say the same; the next
// comparison of the same things begins anew.
func TestEveryMachineOfAFleetPrintsTheReport(t *testing.T) {
	b := newCompareBench(t)
	want := b.undisturbed(t)
	for machine := range 3 {
		w := b.machine(false)
		r, err := w.run(t.Context(), machine > 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := reportJSON(t, r); got != want {
			t.Errorf("machine %d: %s\nwant\n%s", machine, got, want)
		}
		if err := w.end(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := b.store.Jobs(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("%d jobs, %v", len(all), err)
	}
	archiveFile(t, "b", 3, "a line that was not there\n")
	r, err := b.machine(false).run(t.Context(), false)
	if err != nil || reportJSON(t, r) == want {
		t.Errorf("after a change: %v, %+v", err, r)
	}
	if all, err := b.store.Jobs(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("%d jobs, %v: the earlier ones were to go", len(all), err)
	}
}

// A busyStore is a store in which somebody works.
type busyStore struct {
	jobBackend
	n atomic.Int64
}

func (m *busyStore) Slice(ctx context.Context, job string, number int) (jobs.Slice, error) {
	s, err := m.jobBackend.Slice(ctx, job, number)
	s.Revision += m.n.Add(1)
	return s, err
}

func TestAComparisonThatIsWorkedOnElsewhereIsNotBegunAnew(t *testing.T) {
	b := newCompareBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.cfg.Stores[compare.A] = &counted{b.cfg.Stores[compare.A], map[string]int{}, 9, cancel}
	if _, err := b.machine(true).run(ctx, false); err == nil {
		t.Fatal("an interrupted run gave a report")
	}
	w := b.machine(false)
	w.stillness = time.Millisecond
	w.store.jobBackend = &busyStore{jobBackend: w.store.jobBackend}
	if _, err := w.run(t.Context(), false); err == nil || !strings.Contains(err.Error(), "another machine works on the same one") || !strings.Contains(err.Error(), "--resume") {
		t.Errorf("error %v", err)
	}
	w = b.machine(false)
	w.stillness = time.Millisecond
	if _, err := w.run(t.Context(), false); err != nil {
		t.Errorf("nobody works on it: %v", err)
	}
}

// Two who begin at the same time have two plans; only one of them counts.
func TestOfTwoPlansOneCounts(t *testing.T) {
	b := newCompareBench(t)
	faster := b.machine(false)
	r, err := faster.run(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	want := reportJSON(t, r)
	slower := b.machine(false)
	slower.cfg.Now = slower.cfg.Now.Add(time.Second)
	late := true
	slower.store.jobBackend = &unseen{slower.store.jobBackend, &late}
	if _, err := slower.run(t.Context(), false); !errors.Is(err, errOtherPlan) {
		t.Errorf("error %v", err)
	}
	late = true
	if r, err = slower.run(t.Context(), true); err != nil || reportJSON(t, r) != want {
		t.Errorf("with --resume: %v", err)
	}
}

// An unseen store hides the jobs until somebody plans one.
type unseen struct {
	jobBackend
	late *bool
}

func (u *unseen) Jobs(context.Context) ([]jobs.Job, error) { return nil, nil }

func (u *unseen) Job(ctx context.Context, id string) (jobs.Job, error) {
	if *u.late {
		return jobs.Job{}, jobs.ErrNotFound
	}
	return u.jobBackend.Job(ctx, id)
}

func (u *unseen) Create(ctx context.Context, j jobs.Job, all []jobs.Slice) error {
	*u.late = false
	return u.jobBackend.Create(ctx, j, all)
}

// After an incomplete report --resume reads again what could not be read, and
// only that.
func TestResumeReadsAgainWhatCouldNotBeRead(t *testing.T) {
	twoArchives(t)
	object := filepath.Join("b", "2026/11/21/05/class-stream-1-2026-11-21-05-00-09-959487e4.gz")
	whole, err := os.ReadFile(object)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(object)
	if err != nil {
		t.Fatal(err)
	}
	write := func(body []byte) { // same size and time: the same object to whoever lists
		t.Helper()
		if err := errors.Join(os.WriteFile(object, body, 0o600), os.Chtimes(object, info.ModTime(), info.ModTime())); err != nil {
			t.Fatal(err)
		}
	}
	broken := slices.Clone(whole)
	broken[len(broken)/2] ^= 0xff
	write(broken)
	args := []string{"compare", "a", "b", "--settle=0s", "--slice=1h"}
	if r := call(args...); r.code != exitIncomplete || !strings.Contains(r.out, "--resume") || !strings.Contains(r.out, object[2:]) {
		t.Fatalf("%+v", r)
	}
	if r := call("jobs", "list"); strings.Count(r.out, "compare-") != 2 || !strings.Contains(r.out, "24 of 24") {
		t.Errorf("%+v", r)
	}
	write(whole)
	r := call(append(args, "--resume")...)
	if r.code != exitDifferent || !strings.Contains(r.errors, "going on with the comparison") {
		t.Errorf("%+v", r)
	}
	want := call(args...)
	if timeless.ReplaceAllString(r.out, "") != timeless.ReplaceAllString(want.out, "") {
		t.Errorf("%s\nwant\n%s", r.out, want.out)
	}
	if r := call("jobs", "list"); strings.Contains(r.out, "compare-") {
		t.Errorf("jobs are left after a whole report: %+v", r)
	}
}

func TestCompareSaysHowToGoOn(t *testing.T) {
	twoArchives(t)
	args := []string{"compare", "a", "b", "--settle=0s"}
	if r := call(append(args, "--resume")...); r.code != exitDifferent || !strings.Contains(r.errors, "nothing to resume: a comparison begins") {
		t.Errorf("nothing to resume: %+v", r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r := standpipeWith(ctx, strings.NewReader(""), args...); r.code != exitInterrupted || strings.Contains(r.errors, "--resume") {
		t.Errorf("nothing was begun: %+v", r)
	}
	held, err := embedded.Open(".standpipe/jobs")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if r := call(args...); r.code != exitIncomplete || !strings.Contains(r.errors, "another process is using it") {
		t.Errorf("two at once: %+v", r)
	}
}

func TestCutsAreRead(t *testing.T) {
	for text, want := range map[string]compareCut{
		"auto": {}, "1d": {Every: 24 * time.Hour}, "15m": {Every: 15 * time.Minute}, "1h": {Every: time.Hour}, "100": {Objects: 100},
	} {
		var c compareCut
		if err := c.UnmarshalText([]byte(text)); err != nil || c != want {
			t.Errorf("%s: %+v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "1s", "0d", "1000d", "d", "many"} {
		var c compareCut
		if err := c.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "give 1d") {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

func TestMachinesThatRunAtOnceShareAComparison(t *testing.T) {
	b := newCompareBench(t)
	want := b.undisturbed(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			r, err := b.machine(false).run(t.Context(), true)
			if err != nil {
				t.Error(err)
				return
			}
			if got := reportJSON(t, r); got != want {
				t.Errorf("%s\nwant\n%s", got, want)
			}
		})
	}
	all.Wait()
}
