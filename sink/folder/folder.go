// Package folder keeps objects in a local folder, with the same states as a
// bucket. It promises that a crash at any point leaves an object staged or
// visible, never half; that what Publish made visible survives a power failure;
// and that no key reaches outside the folder, not even through a symbolic link.
//
//	<root>/.standpipe-staging/<id>/object.json   what will become visible
//	<root>/.standpipe-staging/<id>/part-00001    durable parts
//	<root>/.standpipe-meta/<sha256 of key>.json  metadata of a visible object
//	<root>/<key>                                 visible objects
//
//	staged ── Publish: join the parts into one file in staging, fsync;
//	   │      write the metadata; link the file to its key (never replaces) ──► visible
//	   └───── Discard: rename the upload's folder away, then remove it ──► gone
//
// The link and the rename are the only steps that decide: a Publish that lost
// against a Discard finds its file gone. The folder must support hard links.
package folder

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/sink"
)

// MetaDir is where a folder keeps the metadata of its objects.
const MetaDir = ".standpipe-meta"

const (
	stagingDir  = ".standpipe-staging"
	objectFile  = "object.json"
	trashPrefix = "discarded-"

	dirMode  = 0o755
	fileMode = 0o644

	keyMax     = 1024 // bytes, as S3's
	segmentMax = 255  // bytes, Linux's NAME_MAX
)

// A Sink is one folder. Safe for concurrent use, also by several processes as
// long as no key is written by two uploads at once, which delivery never does.
type Sink struct {
	root *os.Root
	path string

	// naming makes "is there an object, whose is it, put mine there" one step
	// within the process.
	naming sync.Mutex
}

var _ sink.Sink = (*Sink)(nil)

// Open returns the sink of a folder, which is created. Close it at the end.
func Open(dir string) (*Sink, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, classify("open "+dir, err)
	}
	if err := os.MkdirAll(abs, dirMode); err != nil {
		return nil, classify("create "+abs, err)
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, classify("open "+abs, err)
	}
	s := &Sink{root: root, path: abs}
	for _, d := range []string{stagingDir, MetaDir} {
		if err := s.mkdir(d); err != nil {
			return nil, errors.Join(classify("create "+d+" in "+abs, err), root.Close())
		}
	}
	return s, nil
}

// Close ends the use of the folder.
func (s *Sink) Close() error { return s.root.Close() }

// Location is "file://" and the absolute path.
func (s *Sink) Location() string { return "file://" + filepath.ToSlash(s.path) }

// MinPart is 1: a folder has no least part.
func (s *Sink) MinPart() int64 { return 1 }

// staged is the content of object.json.
type staged struct {
	Object sink.Object `json:"object"`
}

func uploadDir(id string) string { return path.Join(stagingDir, id) }

func partName(n int) string { return fmt.Sprintf("part-%05d", n) }

// Begin implements sink.Sink.
func (s *Sink) Begin(ctx context.Context, o sink.Object) (sink.Upload, error) {
	op := "begin " + o.Key
	if err := check(ctx, op, o.Key); err != nil {
		return sink.Upload{}, err
	}
	u := sink.Upload{Object: o, ID: rand.Text()}
	p, err := json.Marshal(staged{Object: o})
	if err == nil {
		err = s.mkdir(uploadDir(u.ID))
	}
	if err == nil {
		err = s.replace(path.Join(uploadDir(u.ID), objectFile), p)
	}
	if err != nil {
		return sink.Upload{}, classify(op, err)
	}
	return u, nil
}

// Append implements sink.Sink.
func (s *Sink) Append(ctx context.Context, u sink.Upload, n int, b sink.Body) (sink.Part, error) {
	op := fmt.Sprintf("append part %d of %s", n, u.Key)
	if err := checkUpload(ctx, op, u); err != nil {
		return sink.Part{}, err
	}
	if n < 1 || n > 10_000 {
		return sink.Part{}, &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("part number is not between 1 and 10000")}
	}
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return sink.Part{}, fmt.Errorf("%s: %w", op, err)
	}
	dir := uploadDir(u.ID)
	temporary := path.Join(dir, "temporary-"+rand.Text())
	got, err := s.write(ctx, temporary, b)
	if err == nil && (got.Size != b.Len() || got.CRC32 != b.CRC32()) {
		err = errors.Join(errors.New("body differs from its length or checksum"), s.root.Remove(temporary))
	}
	if err == nil {
		err = s.root.Rename(temporary, path.Join(dir, partName(n)))
	}
	if err == nil {
		err = s.syncDir(dir)
	}
	if err != nil {
		return sink.Part{}, gone(op, err)
	}
	return got, nil
}

// Publish implements sink.Sink. It remembers: publishing again what is visible
// under the same metadata is not an error.
func (s *Sink) Publish(ctx context.Context, u sink.Upload) error {
	op := "publish " + u.Key
	if err := checkUpload(ctx, op, u); err != nil {
		return err
	}
	if len(u.Parts) == 0 {
		return &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: errors.New("upload has no parts")}
	}
	whole := path.Join(uploadDir(u.ID), "whole-"+rand.Text())
	err := s.join(ctx, whole, u)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errPart) {
		if visible, seen := s.sameObject(u); seen == nil && visible {
			return nil
		}
		return sink.Outcome(op, sink.ErrNoUpload, err)
	}
	if err == nil {
		err = s.name(whole, u)
	}
	if err != nil {
		return gone(op, err)
	}
	// What is left of the upload is only a matter of space.
	_ = s.remove(u.ID)
	return nil
}

var errPart = errors.New("is not the one that was staged")

// join writes the parts one after the other, checking each.
func (s *Sink) join(ctx context.Context, name string, u sink.Upload) error {
	readers := make([]io.Reader, len(u.Parts))
	for i, want := range u.Parts {
		r := &partReader{root: s.root, name: path.Join(uploadDir(u.ID), partName(i+1)), want: want}
		defer r.close()
		readers[i] = r
	}
	_, err := s.write(ctx, name, io.MultiReader(readers...))
	return err
}

// name makes the joined file visible under its key.
func (s *Sink) name(whole string, u sink.Upload) error {
	if err := s.mkdir(path.Dir(u.Key)); err != nil {
		return err
	}
	s.naming.Lock()
	defer s.naming.Unlock()
	if _, err := s.root.Lstat(u.Key); errors.Is(err, fs.ErrNotExist) {
		if err := s.writeMeta(u.Object, u.Size()); err != nil {
			return err
		}
	}
	err := s.root.Link(whole, u.Key)
	if errors.Is(err, fs.ErrExist) {
		same, err := s.sameObject(u)
		if err != nil {
			return err
		}
		if !same {
			return sink.Outcome("link "+u.Key, sink.ErrExists, nil)
		}
	} else if err != nil {
		return err
	}
	return s.syncDir(path.Dir(u.Key))
}

// Discard implements sink.Sink.
func (s *Sink) Discard(ctx context.Context, u sink.Upload) error {
	op := "discard " + u.Key
	if err := checkUpload(ctx, op, u); err != nil {
		return err
	}
	return classify(op, s.remove(u.ID))
}

func (s *Sink) remove(id string) error {
	trash := path.Join(stagingDir, trashPrefix+rand.Text())
	err := s.root.Rename(uploadDir(id), trash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.syncDir(stagingDir)
	}
	return errors.Join(err, s.root.RemoveAll(trash))
}

// Probe implements sink.Sink.
func (s *Sink) Probe(ctx context.Context, key string) (sink.Info, error) {
	op := "probe " + key
	if err := check(ctx, op, key); err != nil {
		return sink.Info{}, err
	}
	info, err := s.stat(key)
	if err != nil {
		return sink.Info{}, absent(op, err)
	}
	m, err := s.readMeta(key)
	if err != nil {
		return sink.Info{}, classify(op, err)
	}
	return sink.Info{Size: info.Size(), Metadata: m.Metadata}, nil
}

// WriteOnce implements sink.Sink.
func (s *Sink) WriteOnce(ctx context.Context, key string, body []byte) error {
	op := "write " + key
	if err := check(ctx, op, key); err != nil {
		return err
	}
	temporary := path.Join(stagingDir, "once-"+rand.Text())
	_, err := s.write(ctx, temporary, strings.NewReader(string(body)))
	if err != nil {
		return classify(op, err)
	}
	defer func() { _ = s.root.Remove(temporary) }()
	err = s.mkdir(path.Dir(key))
	if err == nil {
		err = s.root.Link(temporary, key)
	}
	if errors.Is(err, fs.ErrExist) {
		return sink.Outcome(op, sink.ErrExists, nil)
	}
	if err == nil {
		err = s.syncDir(path.Dir(key))
	}
	return classify(op, err)
}

// Read implements sink.Sink.
func (s *Sink) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	op := "read " + key
	if err := check(ctx, op, key); err != nil {
		return nil, err
	}
	if _, err := s.stat(key); err != nil {
		return nil, absent(op, err)
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, absent(op, err)
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, classify(op, err)
	}
	if int64(len(p)) > limit {
		return nil, &standpipe.Error{Class: standpipe.Fatal, Op: op, Err: fmt.Errorf("object has more than %d bytes", limit)}
	}
	return p, nil
}

// Put implements sink.Sink.
func (s *Sink) Put(ctx context.Context, o sink.Object, body io.ReadSeeker) error {
	op := "put " + o.Key
	if err := check(ctx, op, o.Key); err != nil {
		return err
	}
	temporary := path.Join(stagingDir, "put-"+rand.Text())
	whole, err := s.write(ctx, temporary, body)
	if err == nil {
		err = s.mkdir(path.Dir(o.Key))
	}
	if err == nil {
		s.naming.Lock()
		defer s.naming.Unlock()
		err = s.writeMeta(o, whole.Size)
	}
	if err == nil {
		err = s.root.Rename(temporary, o.Key)
	}
	if err == nil {
		err = s.syncDir(path.Dir(o.Key))
	}
	if err != nil {
		_ = s.root.Remove(temporary)
	}
	return classify(op, err)
}

// stat accepts only regular files: a folder is not an object.
func (s *Sink) stat(key string) (fs.FileInfo, error) {
	info, err := s.root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	return info, err
}

func checkUpload(ctx context.Context, op string, u sink.Upload) error {
	// The id comes from an intent, that is from outside: one path segment.
	if u.ID == "" || strings.HasPrefix(u.ID, trashPrefix) || !isAlphanumeric(u.ID) {
		return sink.Outcome(op, sink.ErrNoUpload, nil)
	}
	return check(ctx, op, u.Key)
}

func isAlphanumeric(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}

func check(ctx context.Context, op, key string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	}
	first, _, _ := strings.Cut(key, "/")
	bad := ""
	switch {
	case len(key) > keyMax:
		bad = "key is longer than 1024 bytes"
	case !fs.ValidPath(key) || key == "." || strings.ContainsRune(key, 0):
		bad = "key is not a path below the folder"
	case first == stagingDir || first == MetaDir:
		bad = "key is in a folder that standpipe keeps for itself"
	default:
		for segment := range strings.SplitSeq(key, "/") {
			if len(segment) > segmentMax {
				bad = "key has a part of more than 255 bytes"
			}
		}
	}
	if bad == "" {
		return nil
	}
	return &standpipe.Error{Class: standpipe.Fatal, Op: op, Hint: "change Prefix", Err: errors.New(bad)}
}

// gone: every file of an upload lies in its folder, so "not found" there means
// that the upload is.
func gone(op string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return sink.Outcome(op, sink.ErrNoUpload, err)
	}
	return classify(op, err)
}

// absent: a key below a key that is a file does not exist either.
func absent(op string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return sink.Outcome(op, sink.ErrNotFound, nil)
	}
	return classify(op, err)
}

// classify is the one place that judges the file system's errors.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*standpipe.Error](err); done {
		return err
	}
	e := &standpipe.Error{Class: standpipe.Retryable, Op: op, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Class, e.Hint = standpipe.Denied, "give this process's user the right to write the folder"
	case errors.Is(err, syscall.EROFS):
		e.Class, e.Hint = standpipe.Denied, "the file system is mounted read-only"
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		e.Hint = "the disk is full: free some space"
	case errors.Is(err, syscall.ENAMETOOLONG):
		e.Class, e.Hint = standpipe.Fatal, "shorten Prefix"
	case errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR):
		e.Class, e.Hint = standpipe.Fatal, "one object's key is a folder of another's: change Prefix"
	case errors.Is(err, fs.ErrNotExist):
		e.Class = standpipe.NotFound
	}
	return e
}
