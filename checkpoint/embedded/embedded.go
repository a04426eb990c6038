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
	bucketMeta    = []byte("meta")
	bucketLeases  = []byte("leases")
	bucketWorkers = []byte("workers")
	keyFormat     = []byte("format")
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
	for _, b := range [][]byte{bucketLeases, bucketWorkers} {
		if _, err := tx.CreateBucketIfNotExists(b); err != nil {
			return err
		}
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
	return s.update(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketLeases)
		if b.Get([]byte(l.Shard)) != nil {
			return checkpoint.ErrExists
		}
		return put(b, string(l.Shard), l)
	})
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, shard standpipe.ShardID) (l checkpoint.Lease, err error) {
	err = s.view(ctx, func(tx *bolt.Tx) error {
		return get(tx.Bucket(bucketLeases), string(shard), &l)
	})
	return l, err
}

// Update implements checkpoint.Store.
func (s *Store) Update(ctx context.Context, u checkpoint.Update) (next checkpoint.Lease, err error) {
	err = s.update(ctx, func(tx *bolt.Tx) error {
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
	return s.update(ctx, func(tx *bolt.Tx) error {
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
	err = s.view(ctx, func(tx *bolt.Tx) error {
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
	err := s.update(ctx, func(tx *bolt.Tx) error {
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
	return s.update(ctx, func(tx *bolt.Tx) error {
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
	return s.update(ctx, func(tx *bolt.Tx) error { return tx.Bucket(bucketWorkers).Delete([]byte(id)) })
}

// Close implements checkpoint.Store. It waits for running transactions.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) update(ctx context.Context, f func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.classify(s.db.Update(f))
}

func (s *Store) view(ctx context.Context, f func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.classify(s.db.View(f))
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
