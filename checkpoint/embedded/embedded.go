// Package embedded keeps leases in one bbolt file: the store of a single node.
//
// It promises that a write that returned is on disk (bbolt syncs the file in
// every transaction), that a process killed at any moment leaves the last
// written state, and that two processes never share a file: the second one is
// refused at once.
package embedded

import (
	"context"
	"encoding/json"
	"errors"

	bolt "go.etcd.io/bbolt"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
	"github.com/standpipe/standpipe/internal/boltfile"
)

// FileName is the name of the file inside the configured folder.
const FileName = "checkpoint.db"

var (
	bucketLeases  = []byte("leases")
	bucketWorkers = []byte("workers")
)

var kind = boltfile.Kind{
	Name: FileName, Store: "checkpoint store", Format: "1",
	Folder:  "Standpipe.Checkpoint.Path must name a folder this user may write",
	Busy:    "one standpipe per Standpipe.Checkpoint.Path: stop the other one, or give this one a path of its own",
	Foreign: "check Standpipe.Checkpoint.Path; a file that is not a checkpoint store must be moved away",
	Disk:    "free space or mend the disk under Standpipe.Checkpoint.Path",
	Buckets: [][]byte{bucketLeases, bucketWorkers},
	Own:     own,
}

// Store is a checkpoint.Store in one file.
type Store struct {
	db *boltfile.File
}

var _ checkpoint.Store = (*Store)(nil)

// Open opens, or makes, the store in folder dir. Its errors name the setting
// Standpipe.Checkpoint.Path.
func Open(dir string) (*Store, error) {
	db, err := kind.Open(dir)
	if err != nil {
		return nil, err
	}
	return &Store{db: db}, nil
}

// Create implements checkpoint.Store.
func (s *Store) Create(ctx context.Context, l checkpoint.Lease) error {
	return s.db.Write(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLeases)
		if b.Get([]byte(l.Shard)) != nil {
			return checkpoint.ErrExists
		}
		return put(b, string(l.Shard), l)
	})
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, shard standpipe.ShardID) (l checkpoint.Lease, err error) {
	err = s.db.Read(ctx, func(tx *bolt.Tx) error {
		return get(tx.Bucket(bucketLeases), string(shard), &l)
	})
	return l, err
}

// Update implements checkpoint.Store.
func (s *Store) Update(ctx context.Context, u checkpoint.Update) (next checkpoint.Lease, err error) {
	err = s.db.Write(ctx, func(tx *bolt.Tx) error {
		var l checkpoint.Lease
		b := tx.Bucket(bucketLeases)
		if err := get(b, string(u.Shard), &l); err != nil {
			return err
		}
		if !u.If.Holds(l) {
			return &checkpoint.FencedError{Current: l}
		}
		next = u.Set.Apply(l)
		return put(b, string(u.Shard), next)
	})
	if err != nil {
		return checkpoint.Lease{}, err
	}
	return next, nil
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, l checkpoint.Lease) error {
	return s.db.Write(ctx, func(tx *bolt.Tx) error {
		var found checkpoint.Lease
		b := tx.Bucket(bucketLeases)
		if err := get(b, string(l.Shard), &found); err != nil {
			return err
		}
		if found.Counter != l.Counter {
			return &checkpoint.FencedError{Current: found}
		}
		return b.Delete([]byte(l.Shard))
	})
}

// Roster implements checkpoint.Store.
func (s *Store) Roster(ctx context.Context) (r checkpoint.Roster, err error) {
	err = s.db.Read(ctx, func(tx *bolt.Tx) error {
		if r.Leases, err = all[checkpoint.Lease](tx.Bucket(bucketLeases)); err != nil {
			return err
		}
		r.Workers, err = all[checkpoint.Worker](tx.Bucket(bucketWorkers))
		return err
	})
	return r, err
}

// Beat implements checkpoint.Store.
func (s *Store) Beat(ctx context.Context, w checkpoint.Worker) (checkpoint.Worker, error) {
	err := s.db.Write(ctx, func(tx *bolt.Tx) error {
		var found checkpoint.Worker
		b := tx.Bucket(bucketWorkers)
		if err := get(b, w.ID, &found); err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
			return err
		}
		w.Counter, w.Nudges = found.Counter+1, found.Nudges
		return put(b, w.ID, w)
	})
	if err != nil {
		return checkpoint.Worker{}, err
	}
	return w, nil
}

// Nudge implements checkpoint.Store.
func (s *Store) Nudge(ctx context.Context, id string) error {
	return s.db.Write(ctx, func(tx *bolt.Tx) error {
		var w checkpoint.Worker
		b := tx.Bucket(bucketWorkers)
		if err := get(b, id, &w); err != nil {
			return err
		}
		w.Nudges++
		return put(b, id, w)
	})
}

// Forget implements checkpoint.Store.
func (s *Store) Forget(ctx context.Context, id string) error {
	return s.db.Write(ctx, func(tx *bolt.Tx) error { return tx.Bucket(bucketWorkers).Delete([]byte(id)) })
}

// Close implements checkpoint.Store. It waits for running transactions.
func (s *Store) Close() error { return s.db.Close() }

// own are the answers of the contract.
func own(err error) bool {
	_, fenced := errors.AsType[*checkpoint.FencedError](err)
	return fenced || errors.Is(err, checkpoint.ErrExists) || errors.Is(err, checkpoint.ErrNotFound)
}

// get reads a row into v. ErrNotFound when there is none.
func get(b *bolt.Bucket, key string, v any) error {
	row := b.Get([]byte(key))
	if row == nil {
		return checkpoint.ErrNotFound
	}
	return json.Unmarshal(row, v)
}

func put(b *bolt.Bucket, key string, v any) error {
	row, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), row)
}

// all reads every row of a bucket, ordered by key.
func all[T any](b *bolt.Bucket) (rows []T, err error) {
	err = b.ForEach(func(_, row []byte) error {
		var v T
		rows = append(rows, v)
		return json.Unmarshal(row, &rows[len(rows)-1])
	})
	return rows, err
}
