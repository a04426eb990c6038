// Package memory keeps leases in memory: for tests, simulations and a trial
// run that may forget. It promises the whole Store contract but durability.
package memory

import (
	"context"
	"sort"
	"sync"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// Store is a checkpoint.Store in memory. The zero value is ready to use.
type Store struct {
	mu     sync.Mutex // covers leases; never held across anything that blocks
	leases map[standpipe.ShardID]checkpoint.Lease
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

// List implements checkpoint.Store.
func (s *Store) List(ctx context.Context) ([]checkpoint.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]checkpoint.Lease, 0, len(s.leases))
	for _, l := range s.leases {
		all = append(all, l.Clone())
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Shard < all[j].Shard })
	return all, nil
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

// Close implements checkpoint.Store. The leases are forgotten with the Store.
func (s *Store) Close() error { return nil }
