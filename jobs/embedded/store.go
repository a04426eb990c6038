package embedded

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/standpipe/standpipe/internal/boltfile"
	"github.com/standpipe/standpipe/jobs"
)

// FileName is the name of the file inside the folder.
const FileName = "jobs.db"

var (
	bucketJobs   = []byte("jobs")
	bucketSlices = []byte("slices")
)

var kind = boltfile.Kind{
	Name: FileName, Store: "job store", Format: "1",
	Folder:  "--jobs must name a folder this user may write",
	Busy:    "one process per --jobs folder: the running command shows its progress and is stopped by Ctrl-C; wait for it, or use another folder",
	Foreign: "check --jobs; a file that is not a job store must be moved away",
	Disk:    "free space or mend the disk under --jobs",
	Buckets: [][]byte{bucketJobs, bucketSlices, bucketDue, bucketMessages},
	Own:     own,
}

// Store is a jobs.Store in one file, which also holds the queues of its process.
type Store struct{ db *boltfile.File }

var _ jobs.Store = (*Store)(nil)

// Open opens, or makes, the file in folder dir.
func Open(dir string) (*Store, error) {
	db, err := kind.Open(dir)
	if err != nil {
		return nil, err
	}
	return &Store{db: db}, nil
}

// sliceKey orders slices by number within their job. A job id holds no NUL.
func sliceKey(job string, number int) []byte {
	k := append([]byte(job), 0)
	return binary.BigEndian.AppendUint32(k, uint32(number))
}

// Create implements jobs.Store.
func (s *Store) Create(ctx context.Context, j jobs.Job, all []jobs.Slice) error {
	return s.db.Write(ctx, func(tx *bolt.Tx) error {
		if tx.Bucket(bucketJobs).Get([]byte(j.ID)) != nil {
			return jobs.ErrExists
		}
		for _, x := range all {
			x.Revision = 1
			if err := put(tx.Bucket(bucketSlices), sliceKey(j.ID, x.Number), x); err != nil {
				return err
			}
		}
		j.Revision = 1
		return put(tx.Bucket(bucketJobs), []byte(j.ID), j)
	})
}

// Jobs implements jobs.Store.
func (s *Store) Jobs(ctx context.Context) (all []jobs.Job, err error) {
	err = s.db.Read(ctx, func(tx *bolt.Tx) error {
		return tx.Bucket(bucketJobs).ForEach(func(_, v []byte) error {
			var j jobs.Job
			if err := json.Unmarshal(v, &j); err != nil {
				return err
			}
			all = append(all, j)
			return nil
		})
	})
	slices.SortStableFunc(all, func(a, b jobs.Job) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

// Job implements jobs.Store.
func (s *Store) Job(ctx context.Context, id string) (j jobs.Job, err error) {
	err = s.db.Read(ctx, func(tx *bolt.Tx) error { return get(tx.Bucket(bucketJobs), []byte(id), &j) })
	return j, err
}

// PutJob implements jobs.Store.
func (s *Store) PutJob(ctx context.Context, j jobs.Job) (jobs.Job, error) {
	err := s.db.Write(ctx, func(tx *bolt.Tx) error {
		b, key := tx.Bucket(bucketJobs), []byte(j.ID)
		var stored jobs.Job
		if err := get(b, key, &stored); err != nil {
			return err
		}
		if stored.Revision != j.Revision {
			return jobs.ErrChanged
		}
		j.Revision++
		return put(b, key, j)
	})
	return j, err
}

// Slices implements jobs.Store.
func (s *Store) Slices(ctx context.Context, job string) (all []jobs.Slice, err error) {
	err = s.db.Read(ctx, func(tx *bolt.Tx) error {
		prefix := append([]byte(job), 0)
		c := tx.Bucket(bucketSlices).Cursor()
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			var x jobs.Slice
			if err := json.Unmarshal(v, &x); err != nil {
				return err
			}
			all = append(all, x)
		}
		return nil
	})
	return all, err
}

// States implements jobs.Store.
func (s *Store) States(ctx context.Context, job string) ([]jobs.Slice, error) {
	return s.Slices(ctx, job)
}

// Slice implements jobs.Store.
func (s *Store) Slice(ctx context.Context, job string, number int) (x jobs.Slice, err error) {
	err = s.db.Read(ctx, func(tx *bolt.Tx) error { return get(tx.Bucket(bucketSlices), sliceKey(job, number), &x) })
	return x, err
}

// Put implements jobs.Store.
func (s *Store) Put(ctx context.Context, x jobs.Slice) (jobs.Slice, error) {
	err := s.db.Write(ctx, func(tx *bolt.Tx) error {
		b, key := tx.Bucket(bucketSlices), sliceKey(x.Job, x.Number)
		var stored jobs.Slice
		if err := get(b, key, &stored); err != nil {
			return err
		}
		if stored.Revision != x.Revision {
			return jobs.ErrChanged
		}
		x.Revision++
		return put(b, key, x)
	})
	return x, err
}

// Delete implements jobs.Store.
func (s *Store) Delete(ctx context.Context, job string) error {
	return s.db.Write(ctx, func(tx *bolt.Tx) error {
		prefix := append([]byte(job), 0)
		b := tx.Bucket(bucketSlices)
		var keys [][]byte // a cursor must not delete under itself
		c := b.Cursor()
		for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			keys = append(keys, bytes.Clone(k))
		}
		for _, k := range keys {
			if err := b.Delete(k); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketJobs).Delete([]byte(job))
	})
}

// Close implements jobs.Store. Queues of this file must be closed before.
func (s *Store) Close() error { return s.db.Close() }

// own are the answers of the contract.
func own(err error) bool {
	return errors.Is(err, jobs.ErrExists) || errors.Is(err, jobs.ErrNotFound) || errors.Is(err, jobs.ErrChanged)
}

func get(b *bolt.Bucket, key []byte, into any) error {
	v := b.Get(key)
	if v == nil {
		return jobs.ErrNotFound
	}
	return json.Unmarshal(v, into)
}

func put(b *bolt.Bucket, key []byte, v any) error {
	j, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.Put(key, j)
}
