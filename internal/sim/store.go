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
	return s.write(ctx, "create lease "+string(l.Shard), func() error { return s.Server.Create(context.Background(), l) })
}

// Get implements checkpoint.Store.
func (s Store) Get(ctx context.Context, shard standpipe.ShardID) (checkpoint.Lease, error) {
	return call(ctx, s.Client, toStore, "get lease "+string(shard), func() (checkpoint.Lease, error) {
		return s.Server.Get(context.Background(), shard)
	})
}

// Update implements checkpoint.Store.
func (s Store) Update(ctx context.Context, u checkpoint.Update) (checkpoint.Lease, error) {
	return call(ctx, s.Client, toStore, "update lease "+string(u.Shard), func() (checkpoint.Lease, error) {
		return s.Server.Update(context.Background(), u)
	})
}

// Delete implements checkpoint.Store.
func (s Store) Delete(ctx context.Context, l checkpoint.Lease) error {
	return s.write(ctx, "delete lease "+string(l.Shard), func() error { return s.Server.Delete(context.Background(), l) })
}

// Roster implements checkpoint.Store.
func (s Store) Roster(ctx context.Context) (checkpoint.Roster, error) {
	return call(ctx, s.Client, toStore, "read roster", func() (checkpoint.Roster, error) {
		return s.Server.Roster(context.Background())
	})
}

// Beat implements checkpoint.Store.
func (s Store) Beat(ctx context.Context, w checkpoint.Worker) (checkpoint.Worker, error) {
	return call(ctx, s.Client, toStore, "beat", func() (checkpoint.Worker, error) {
		return s.Server.Beat(context.Background(), w)
	})
}

// Nudge implements checkpoint.Store.
func (s Store) Nudge(ctx context.Context, id string) error {
	return s.write(ctx, "nudge "+id, func() error { return s.Server.Nudge(context.Background(), id) })
}

// Forget implements checkpoint.Store.
func (s Store) Forget(ctx context.Context, id string) error {
	return s.write(ctx, "forget "+id, func() error { return s.Server.Forget(context.Background(), id) })
}

func (s Store) write(ctx context.Context, name string, f func() error) error {
	_, err := call(ctx, s.Client, toStore, name, func() (nothing, error) { return nothing{}, f() })
	return err
}

// Close implements checkpoint.Store.
func (s Store) Close() error { return nil }
