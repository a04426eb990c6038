package sink

import (
	"context"
	"errors"
	"io"
)

// The outcomes a caller has to tell apart. Everything else is classified by
// standpipe.ClassOf and can be repeated.
var (
	// ErrNoUpload: the upload is unknown. It was published, discarded or
	// aborted; only Probe tells which. It never means "lost" by itself (rule R2).
	ErrNoUpload = errors.New("no such upload")
	// ErrNotFound: there is no object under the key. A refusal (403) is not
	// this error: what may not be seen is not known to be absent.
	ErrNotFound = errors.New("no such object")
	// ErrExists: WriteOnce found an object under the key, perhaps our own from
	// an earlier attempt whose answer was lost. Read it and compare.
	ErrExists = errors.New("object exists")
)

// An Object is what will become visible under Key.
type Object struct {
	// Key is the full name. Unique and write-once: nobody ever writes another
	// object under it, so a late duplicate of any request is harmless.
	Key string `json:"key"`
	// ContentEncoding is what Firehose sets: "gzip", "zstd" or empty.
	ContentEncoding string `json:"contentEncoding,omitempty"`
	// Metadata names the intent that may publish the object. Keys are lower case.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// An Upload is an object in the state "staged": its parts are durable and
// invisible. It is plain data, so that an intent can carry it to another
// process.
type Upload struct {
	Object
	// ID is the store's name for the staged state (S3: upload id).
	ID    string `json:"upload"`
	Parts []Part `json:"parts"`
}

// Size is the length of the object in bytes.
func (u Upload) Size() int64 {
	var n int64
	for _, p := range u.Parts {
		n += p.Size
	}
	return n
}

// CRC32 is the IEEE checksum of the object's bytes.
func (u Upload) CRC32() (sum uint32) {
	for _, p := range u.Parts {
		sum = combineCRC32(sum, p.CRC32, p.Size)
	}
	return sum
}

// A Part is one durable piece of an Upload, pinned so that a delayed duplicate
// of the request that wrote it can be noticed.
type Part struct {
	ETag string `json:"etag,omitempty"`
	Size int64  `json:"size"`
	// CRC32 is the IEEE checksum of the part's bytes.
	CRC32 uint32 `json:"crc32"`
}

// Info is what Probe and Read know of a visible object.
type Info struct {
	Size     int64
	Metadata map[string]string
}

// A Body is one part's bytes with their length and checksum. It can be read
// more than once: a store may have to repeat the request.
type Body interface {
	io.ReadSeeker
	Len() int64
	CRC32() uint32
}

// A Sink takes objects through their states:
//
//	            Begin, Append…            Publish
//	(nothing) ─────────────────► staged ─────────► visible
//	                                │ Discard, or the store's own clean-up
//	                                └────────────► gone for good
//
// Every method is safe for concurrent use, honours ctx, may be repeated after
// an unknown outcome, and returns errors that standpipe.ClassOf understands.
// The suite in package sinktest says the rest; every backend passes it.
type Sink interface {
	// Begin opens a staged object. Two calls give two uploads with different
	// ids; the one nobody uses costs storage until it is discarded or aged out.
	Begin(ctx context.Context, o Object) (Upload, error)
	// Append makes part number n, counted from 1, durable. It does not change
	// u; the caller keeps the Part. Repeating a number replaces that part.
	// Every part but the last must hold at least MinPart bytes.
	// ErrNoUpload when the upload is gone.
	Append(ctx context.Context, u Upload, n int, b Body) (Part, error)
	// Publish makes the object visible, whole or not at all. Publishing twice
	// is not an error where the store remembers; where it does not, the second
	// call returns ErrNoUpload and Probe tells the rest. Once it returned nil
	// the object is durable and visible to every reader.
	Publish(ctx context.Context, u Upload) error
	// Discard gives up a staged object. Final: a later Publish of the same
	// upload returns ErrNoUpload. Discarding what is gone is not an error, and
	// it never removes a visible object.
	Discard(ctx context.Context, u Upload) error
	// Probe looks at the visible object under key. ErrNotFound only when the
	// store said that there is none.
	Probe(ctx context.Context, key string) (Info, error)
	// WriteOnce makes a small object visible if none is under the key, else
	// ErrExists. For plans and manifests.
	WriteOnce(ctx context.Context, key string, body []byte) error
	// Read returns a small object, at most limit bytes of it; longer is an error.
	Read(ctx context.Context, key string, limit int64) ([]byte, error)
	// Put makes a whole object visible in one step, replacing what is there:
	// the at-least-once mode's only write.
	Put(ctx context.Context, o Object, body io.ReadSeeker) error
	// Location names the place for people and for intents: "s3://bucket",
	// "file:///data/out". An intent of another location is not ours to publish.
	Location() string
	// MinPart is the least size of a part that is not the last, in bytes.
	MinPart() int64
}
