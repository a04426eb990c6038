package sim

import (
	"context"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// Store is a checkpoint.Store at the other end of the network.
type Store struct {
	Client *Client
	Server checkpoint.Store
}

var _ checkpoint.Store = Store{}

type nothing struct{}

// Create implements checkpoint.Store.
func (s Store) Create(ctx context.Context, l checkpoint.Lease) error {
	_, err := call(ctx, s.Client, "create lease", func() (nothing, error) {
		return nothing{}, s.Server.Create(context.Background(), l)
	})
	return err
}

// Get implements checkpoint.Store.
func (s Store) Get(ctx context.Context, shard standpipe.ShardID) (checkpoint.Lease, error) {
	return call(ctx, s.Client, "get lease", func() (checkpoint.Lease, error) {
		return s.Server.Get(context.Background(), shard)
	})
}

// List implements checkpoint.Store.
func (s Store) List(ctx context.Context) ([]checkpoint.Lease, error) {
	return call(ctx, s.Client, "list leases", func() ([]checkpoint.Lease, error) {
		return s.Server.List(context.Background())
	})
}

// Update implements checkpoint.Store.
func (s Store) Update(ctx context.Context, u checkpoint.Update) (checkpoint.Lease, error) {
	return call(ctx, s.Client, "update lease", func() (checkpoint.Lease, error) {
		return s.Server.Update(context.Background(), u)
	})
}

// Close implements checkpoint.Store.
func (s Store) Close() error { return nil }
