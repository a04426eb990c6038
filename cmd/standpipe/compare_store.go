package main

import (
	"context"
	"errors"
	"sync"

	"github.com/standpipe/standpipe/compare"
	"github.com/standpipe/standpipe/jobs"
)

// A leanStore leaves results where they are: a runner asks for all slices every
// few seconds, and those of a comparison may have a hundred megabytes of them. A
// slice that is done does not change, so it is read once and remembered without
// its result; Slice has it.
type leanStore struct {
	jobBackend

	mu    sync.Mutex
	ended map[string]map[int]jobs.Slice // by job and number
	specs map[string]string             // of the jobs in ended
	shown shares
	job   string // that is followed
	gone  func() // called when it is not there any more
}

func newLeanStore(store jobBackend) *leanStore {
	return &leanStore{jobBackend: store, ended: map[string]map[int]jobs.Slice{}, specs: map[string]string{}, gone: func() {}}
}

// Job implements jobs.Store.
func (l *leanStore) Job(ctx context.Context, id string) (jobs.Job, error) {
	j, err := l.jobBackend.Job(ctx, id)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, jobs.ErrNotFound):
		if id == l.job {
			l.gone()
		}
		l.drop(id)
	case err == nil && l.specs[id] != string(j.Spec):
		if id == l.job && l.specs[id] != "" {
			l.gone() // it was begun anew
		}
		l.drop(id)
		l.specs[id] = string(j.Spec)
	}
	return j, err
}

func (l *leanStore) drop(id string) {
	delete(l.ended, id)
	delete(l.specs, id)
}

// Slices implements jobs.Store, slice by slice.
func (l *leanStore) Slices(ctx context.Context, job string) ([]jobs.Slice, error) {
	j, err := l.Job(ctx, job)
	if err != nil {
		return nil, err
	}
	all := make([]jobs.Slice, j.Slices)
	for i := range all {
		if s, known := l.known(job, i); known {
			all[i] = s
			continue
		}
		if all[i], err = l.Slice(ctx, job, i); err != nil {
			return nil, err
		}
		l.remember(all[i])
		all[i].Result = nil
	}
	return all, nil
}

// States implements jobs.Store. In the file of a node, Slices is cheaper: it
// reads no result twice. A table tells states without their results.
func (l *leanStore) States(ctx context.Context, job string) ([]jobs.Slice, error) {
	if l.Alone() {
		return l.Slices(ctx, job)
	}
	if _, err := l.Job(ctx, job); err != nil { // notices a job that was begun anew
		return nil, err
	}
	all, err := l.jobBackend.States(ctx, job)
	for _, s := range all {
		l.remember(s)
	}
	return all, err
}

// Put implements jobs.Store.
func (l *leanStore) Put(ctx context.Context, s jobs.Slice) (jobs.Slice, error) {
	got, err := l.jobBackend.Put(ctx, s)
	if err == nil {
		l.remember(got)
	}
	return got, err
}

// Delete implements jobs.Store.
func (l *leanStore) Delete(ctx context.Context, job string) error {
	l.mu.Lock()
	l.drop(job)
	l.mu.Unlock()
	return l.jobBackend.Delete(ctx, job)
}

func (l *leanStore) known(job string, number int) (jobs.Slice, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, known := l.ended[job][number]
	return s, known
}

func (l *leanStore) remember(s jobs.Slice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.State != jobs.Done {
		delete(l.ended[s.Job], s.Number) // it was given new tries
		return
	}
	if l.ended[s.Job] == nil {
		l.ended[s.Job] = map[int]jobs.Slice{}
	}
	s.Result = nil
	l.ended[s.Job][s.Number] = s
	if s.Job == l.job {
		l.shown.end(s.Number)
	}
}

// follow shows how the slices of a job get on, and calls gone when the job is
// deleted or begun anew.
func (l *leanStore) follow(job string, all []compare.Slice, show shares, gone func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.job, l.gone, l.shown = job, gone, show
	for _, s := range all {
		l.shown.add(s)
	}
	for i := range l.ended[job] {
		l.shown.end(i)
	}
}

// seen counts an object that this process has read.
func (l *leanStore) seen(slice int, o compare.Object, lines int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown.read(slice, o.Size, lines)
}
