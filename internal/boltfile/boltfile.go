// Package boltfile opens the bbolt file of a store that one process owns.
//
// It promises that two processes never share a file, that a file of a newer
// format is refused, and that each failure says which setting to look at. What
// is in the buckets is the stores' business: checkpoint/embedded, jobs/embedded.
package boltfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/standpipe/standpipe"
)

// lockWait is how long to wait for another process to let go of the file: long
// enough for a predecessor that is just exiting, short enough for a clear error.
const lockWait = time.Second

var (
	bucketMeta = []byte("meta")
	keyFormat  = []byte("format")
)

// A Kind is what a file holds, in the words of its errors.
type Kind struct {
	// Name is the file's name inside its folder, Store what it is: checkpoint store.
	Name, Store string
	// Format is the version of what it holds. Older code refuses a newer file.
	Format string
	// Hints, whole sentences so that they are found where they are quoted: the
	// folder cannot be made, another process has the file, it is something else, the
	// disk is full or failing.
	Folder, Busy, Foreign, Disk string
	// Buckets are made unless they are there.
	Buckets [][]byte
	// Own says of an error that it is an answer of the store's contract, and no
	// trouble with the file.
	Own func(error) bool
}

// A File is an open file. Safe for concurrent use.
type File struct {
	*bolt.DB
	kind Kind
}

// Open opens, or makes, the file in folder dir. Its errors are Fatal.
func (k Kind) Open(dir string) (*File, error) {
	file := filepath.Join(dir, k.Name)
	op := "open " + k.Store + " " + file
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: err, Hint: k.Folder}
	}
	db, err := bolt.Open(file, 0o640, &bolt.Options{Timeout: lockWait})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("another process is using it"), Hint: k.Busy}
	case err != nil:
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: err, Hint: k.Foreign}
	}
	if err := db.Update(k.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", op, err), db.Close())
	}
	return &File{db, k}, nil
}

func (k Kind) prepare(tx *bolt.Tx) error {
	for _, name := range append([][]byte{bucketMeta}, k.Buckets...) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta, format := tx.Bucket(bucketMeta), []byte(k.Format)
	switch v := meta.Get(keyFormat); {
	case v == nil:
		return meta.Put(keyFormat, format)
	case !bytes.Equal(v, format):
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "read format version",
			Err:  fmt.Errorf("the file has format %q, this program writes %q", v, format),
			Hint: "run the version of standpipe that wrote it, or a newer one",
		}
	}
	return nil
}

// Write runs change in a transaction that is on disk when it returns nil.
func (f *File) Write(ctx context.Context, change func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.classify(f.Update(change))
}

// Read runs look in a transaction that sees one state of the file.
func (f *File) Read(ctx context.Context, look func(*bolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.classify(f.View(look))
}

// classify leaves the store's own errors alone. A closed file is Fatal, anything
// else is the disk's, full or failing: it may heal.
func (f *File) classify(err error) error {
	switch {
	case err == nil || f.kind.Own(err):
		return err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return &standpipe.Error{Class: standpipe.Fatal, Op: "use the " + f.kind.Store, Err: err}
	}
	return &standpipe.Error{Class: standpipe.Retryable, Op: "use the " + f.kind.Store + " " + f.Path(), Err: err, Hint: f.kind.Disk}
}
