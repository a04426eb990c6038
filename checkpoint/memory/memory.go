// Package memory keeps leases in memory: for tests, simulations and a trial
// run that may forget. It promises the whole Store contract but durability.
package memory

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// Store is a checkpoint.Store in memory. The zero value is ready to use.
type Store struct {
	mu      sync.Mutex // covers what follows; never held across anything that blocks
	leases  map[standpipe.ShardID]checkpoint.Lease
	workers map[string]checkpoint.Worker
}

var _ checkpoint.Store = (*Store)(nil)

// Create implements checkpoint.Store.
func (s *Store) Create(ctx context.Context, l checkpoint.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.leases[l.Shard]; ok {
		return checkpoint.ErrExists
	}
	if s.leases == nil {
		s.leases = map[standpipe.ShardID]checkpoint.Lease{}
	}
	s.leases[l.Shard] = l.Clone()
	return nil
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, shard standpipe.ShardID) (checkpoint.Lease, error) {
	if err := ctx.Err(); err != nil {
		return checkpoint.Lease{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.leases[shard]
	if !ok {
		return checkpoint.Lease{}, checkpoint.ErrNotFound
	}
	return l.Clone(), nil
}

// Update implements checkpoint.Store.
func (s *Store) Update(ctx context.Context, u checkpoint.Update) (checkpoint.Lease, error) {
	if err := ctx.Err(); err != nil {
		return checkpoint.Lease{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.leases[u.Shard]
	if !ok {
		return checkpoint.Lease{}, checkpoint.ErrNotFound
	}
	if !u.If.Holds(l) {
		return checkpoint.Lease{}, &checkpoint.FencedError{Current: l.Clone()}
	}
	next := u.Set.Apply(l)
	s.leases[u.Shard] = next
	return next.Clone(), nil
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, l checkpoint.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.leases[l.Shard]
	switch {
	case !ok:
		return checkpoint.ErrNotFound
	case found.Counter != l.Counter:
		return &checkpoint.FencedError{Current: found.Clone()}
	}
	delete(s.leases, l.Shard)
	return nil
}

// Roster implements checkpoint.Store.
func (s *Store) Roster(ctx context.Context) (r checkpoint.Roster, err error) {
	if err := ctx.Err(); err != nil {
		return r, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, shard := range slices.Sorted(maps.Keys(s.leases)) {
		r.Leases = append(r.Leases, s.leases[shard].Clone())
	}
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		r.Workers = append(r.Workers, s.workers[id])
	}
	return r, nil
}

// Beat implements checkpoint.Store.
func (s *Store) Beat(ctx context.Context, w checkpoint.Worker) (checkpoint.Worker, error) {
	if err := ctx.Err(); err != nil {
		return checkpoint.Worker{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.workers == nil {
		s.workers = map[string]checkpoint.Worker{}
	}
	found := s.workers[w.ID]
	w.Counter, w.Nudges = found.Counter+1, found.Nudges
	s.workers[w.ID] = w
	return w, nil
}

// Nudge implements checkpoint.Store.
func (s *Store) Nudge(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.workers[id]
	if !ok {
		return checkpoint.ErrNotFound
	}
	w.Nudges++
	s.workers[id] = w
	return nil
}

// Forget implements checkpoint.Store.
func (s *Store) Forget(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.workers, id)
	return nil
}

// Close implements checkpoint.Store. The leases are forgotten with the Store.
func (s *Store) Close() error { return nil }
