// Package embedded keeps leases in one bbolt file: the store of a single node.
//
// It promises that a write that returned is on disk (bbolt syncs the file in
// every transaction), that a process killed at any moment leaves the last
// written state, and that two processes never share a file: the second one is
// refused at once.
package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/checkpoint"
)

// FileName is the name of the file inside the configured folder.
const FileName = "checkpoint.db"

// format is the version of what the file holds. Older code refuses a newer file.
const format = "1"

// lockWait is how long to wait for another process to let go of the file: long
// enough for a predecessor that is just exiting, short enough for a clear error.
const lockWait = time.Second

var (
	bucketMeta   = []byte("meta")
	bucketLeases = []byte("leases")
	keyFormat    = []byte("format")
)

// Store is a checkpoint.Store in one file.
type Store struct {
	db *bolt.DB
}

var _ checkpoint.Store = (*Store)(nil)

// Open opens, or makes, the store in folder dir. Its errors name the setting
// Standpipe.Checkpoint.Path.
func Open(dir string) (*Store, error) {
	file := filepath.Join(dir, FileName)
	op := "open checkpoint store " + file
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: op, Err: err,
			Hint: "Standpipe.Checkpoint.Path must name a folder this user may write",
		}
	}
	db, err := bolt.Open(file, 0o640, &bolt.Options{Timeout: lockWait})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: op, Err: errors.New("another process is using it"),
			Hint: "one standpipe per Standpipe.Checkpoint.Path: stop the other one, or give this one a path of its own",
		}
	case err != nil:
		return nil, &standpipe.Error{
			Class: standpipe.Fatal, Op: op, Err: err,
			Hint: "check Standpipe.Checkpoint.Path; a file that is not a checkpoint store must be moved away",
		}
	}
	if err := db.Update(prepareFile); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", op, err), db.Close())
	}
	return &Store{db: db}, nil
}

func prepareFile(tx *bolt.Tx) error {
	meta, err := tx.CreateBucketIfNotExists(bucketMeta)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucketIfNotExists(bucketLeases); err != nil {
		return err
	}
	switch v := meta.Get(keyFormat); {
	case v == nil:
		return meta.Put(keyFormat, []byte(format))
	case !bytes.Equal(v, []byte(format)):
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "read format version",
			Err:  fmt.Errorf("the file has format %q, this program writes %q", v, format),
			Hint: "run the version of standpipe that wrote it, or a newer one",
		}
	}
	return nil
}

// Create implements checkpoint.Store.
func (s *Store) Create(ctx context.Context, l checkpoint.Lease) error {
	return s.update(ctx, func(b *bolt.Bucket) error {
		if b.Get([]byte(l.Shard)) != nil {
			return checkpoint.ErrExists
		}
		return put(b, l)
	})
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, shard standpipe.ShardID) (l checkpoint.Lease, err error) {
	err = s.view(ctx, func(b *bolt.Bucket) error {
		l, err = get(b, shard)
		return err
	})
	return l, err
}

// List implements checkpoint.Store.
func (s *Store) List(ctx context.Context) (all []checkpoint.Lease, err error) {
	err = s.view(ctx, func(b *bolt.Bucket) error {
		return b.ForEach(func(_, v []byte) error {
			var l checkpoint.Lease
			if err := json.Unmarshal(v, &l); err != nil {
				return err
			}
			all = append(all, l)
			return nil
		})
	})
	return all, err
}

// Update implements checkpoint.Store.
func (s *Store) Update(ctx context.Context, u checkpoint.Update) (next checkpoint.Lease, err error) {
	err = s.update(ctx, func(b *bolt.Bucket) error {
		l, err := get(b, u.Shard)
		if err != nil {
			return err
		}
		if !u.If.Holds(l) {
			return &checkpoint.FencedError{Current: l}
		}
		next = u.Set.Apply(l)
		return put(b, next)
	})
	if err != nil {
		return checkpoint.Lease{}, err
	}
	return next, nil
}

// Close implements checkpoint.Store. It waits for running transactions.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) update(ctx context.Context, f func(*bolt.Bucket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.classify(s.db.Update(func(tx *bolt.Tx) error { return f(tx.Bucket(bucketLeases)) }))
}

func (s *Store) view(ctx context.Context, f func(*bolt.Bucket) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.classify(s.db.View(func(tx *bolt.Tx) error { return f(tx.Bucket(bucketLeases)) }))
}

// classify leaves the contract's own errors alone. Anything else is the disk's:
// full or failing, it may heal, so it is retryable.
func (s *Store) classify(err error) error {
	if err == nil || errors.Is(err, checkpoint.ErrExists) || errors.Is(err, checkpoint.ErrNotFound) {
		return err
	}
	if _, ok := errors.AsType[*checkpoint.FencedError](err); ok {
		return err
	}
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return &standpipe.Error{Class: standpipe.Fatal, Op: "use the checkpoint store", Err: err}
	}
	return &standpipe.Error{
		Class: standpipe.Retryable, Op: "use the checkpoint store " + s.db.Path(), Err: err,
		Hint: "free space or mend the disk under Standpipe.Checkpoint.Path",
	}
}

func get(b *bolt.Bucket, shard standpipe.ShardID) (l checkpoint.Lease, err error) {
	v := b.Get([]byte(shard))
	if v == nil {
		return l, checkpoint.ErrNotFound
	}
	return l, json.Unmarshal(v, &l)
}

func put(b *bolt.Bucket, l checkpoint.Lease) error {
	v, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return b.Put([]byte(l.Shard), v)
}
