package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// An Object is one entry of a listing.
type Object struct {
	// Key is the name below the store's Location, with slashes.
	Key string
	// Size counts bytes as they are stored.
	Size int64
	// ETag changes when the content does. A bucket's is S3's, with its quotes; a
	// folder's is made of the size and the time of the last change.
	ETag     string
	Modified time.Time
}

// ErrChanged says that an object was replaced while it was read, or between
// two looks at it. Compare with errors.Is.
var ErrChanged = errors.New("the object changed while it was read")

// ErrNotFound says that there is no such object. Compare with errors.Is.
var ErrNotFound = errors.New("no such object")

// A Store is an archive to read. Safe for concurrent use.
type Store interface {
	// List visits every object whose key begins with prefix and comes after
	// after, in the byte order of the keys. An error of visit ends it and is
	// returned as it is. Empty "folders" that consoles make are left out;
	// standpipe's own files are not, see Own.
	List(ctx context.Context, prefix, after string, visit func(Object) error) error
	// Open returns the bytes of an object as they are stored, from its first to
	// its last. The caller closes the reader. A read fails with ErrChanged when
	// the object is no longer the one that was opened. Whoever listed it before
	// compares the ETag of the Object returned.
	Open(ctx context.Context, key string) (io.ReadCloser, Object, error)
	// Location names the store, in the form Open takes: keys are below it.
	Location() string
}

// An Option changes what Open does.
type Option func(*options)

type options struct {
	client func(ctx context.Context) (*s3.Client, error)
}

// WithS3 gives the function that makes the client of s3:// places. Without it
// settings come from the standard environment, see internal/awsclient.
func WithS3(client func(ctx context.Context) (*s3.Client, error)) Option {
	return func(o *options) { o.client = client }
}

// Open returns the store at a place: s3://bucket, s3://bucket/prefix or a
// folder, with or without file://. A prefix means the folder of that name:
// s3://lake/raw does not show raw-errors/. One that ends in * means every key
// that begins so, for archives whose date is glued to the prefix
// (s3://lake/legacy* for legacy2026/11/22/…, as Firehose writes them).
//
// A folder has to exist. A bucket is first asked when it is listed or read.
func Open(ctx context.Context, place string, opts ...Option) (Store, error) {
	o := options{client: environment}
	for _, opt := range opts {
		opt(&o)
	}
	rest, remote := strings.CutPrefix(place, "s3://")
	if !remote {
		return openFolder(strings.TrimPrefix(place, "file://"))
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if bucket == "" {
		return nil, fmt.Errorf("%s names no bucket: give s3://bucket/prefix/", place)
	}
	client, err := o.client(ctx)
	if err != nil {
		return nil, err
	}
	return newBucket(client, bucket, prefix), nil
}

// own is the folder of standpipe's plans, manifests and staged parts.
const own = "_standpipe/"

// Own says that a key is standpipe's own bookkeeping and holds no lines.
func Own(key string) bool {
	return strings.HasPrefix(key, own) || strings.Contains(key, "/"+own)
}
