package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/standpipe/standpipe"
)

// invisible is how the names of sink/folder's private directories begin: what
// lies there is not published.
const invisible = ".standpipe-"

// A folder is a store in the file system.
type folder struct{ root string }

func openFolder(path string) (Store, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &standpipe.Error{
			Class: standpipe.NotFound, Op: "open the folder " + path, Err: errors.Unwrap(err),
			Hint: "a bucket is written s3://bucket/prefix/",
		}
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is a file: give the folder it is in", path)
	}
	return &folder{root: path}, nil
}

func (f *folder) Location() string { return f.root }

func (f *folder) List(ctx context.Context, prefix, after string, visit func(Object) error) error {
	return f.walk(ctx, "", listing{prefix: prefix, after: after, visit: visit})
}

type listing struct {
	prefix, after string
	visit         func(Object) error
}

// wants says whether a folder, whose keys all begin with dir, can hold keys of
// the listing.
func (l listing) wants(dir string) bool {
	inside := strings.HasPrefix(dir, l.prefix) || strings.HasPrefix(l.prefix, dir)
	passed := dir < l.after && !strings.HasPrefix(l.after, dir)
	return inside && !passed
}

// walk visits the files below dir ("" or ending in a slash) in the order of
// their keys, which is not that of the names: "a-b" comes before "a/b".
func (f *folder) walk(ctx context.Context, dir string, l listing) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(f.root, filepath.FromSlash(dir)))
	if errors.Is(err, fs.ErrNotExist) && dir != "" {
		return nil // removed since its parent was read, like an object
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", f.root, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(keyPart(a), keyPart(b)) })
	for _, e := range entries {
		key := dir + keyPart(e)
		if e.IsDir() {
			if l.wants(key) && !strings.HasPrefix(key, invisible) {
				if err := f.walk(ctx, key, l); err != nil {
					return err
				}
			}
			continue
		}
		if key <= l.after || !strings.HasPrefix(key, l.prefix) {
			continue
		}
		if err := f.entry(key, l.visit); err != nil {
			return err
		}
	}
	return nil
}

func keyPart(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// entry visits one name that is no directory. Links to files are followed; a
// link to a directory is refused rather than left out, because what is left
// out in silence is missing from every verdict.
func (f *folder) entry(key string, visit func(Object) error) error {
	info, err := os.Stat(f.path(key))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("list %s: %w", f.root, err)
	case info.IsDir():
		return fmt.Errorf("list %s: %s is a link to a folder: give the folder itself", f.root, key)
	case !info.Mode().IsRegular():
		return nil
	}
	return visit(describe(key, info))
}

func describe(key string, info fs.FileInfo) Object {
	return Object{
		Key: key, Size: info.Size(), Modified: info.ModTime(),
		ETag: fmt.Sprintf("%x-%x", info.Size(), info.ModTime().UnixNano()),
	}
}

func (f *folder) path(key string) string { return filepath.Join(f.root, filepath.FromSlash(key)) }

func (f *folder) Open(ctx context.Context, key string) (io.ReadCloser, Object, error) {
	if !filepath.IsLocal(filepath.FromSlash(key)) {
		return nil, Object{}, fmt.Errorf("open %s in %s: the key leads out of the folder", key, f.root)
	}
	// What a listing leaves out is no object here either; a pipe would wait for a
	// writer that never comes.
	info, err := os.Stat(f.path(key))
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(f.path(key))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Object{}, &standpipe.Error{Class: standpipe.NotFound, Op: "open " + f.path(key), Err: ErrNotFound}
	}
	if err != nil {
		return nil, Object{}, fmt.Errorf("open %s: %w", f.path(key), errors.Unwrap(err))
	}
	if info, err = file.Stat(); err != nil {
		file.Close()
		return nil, Object{}, fmt.Errorf("open %s: %w", f.path(key), err)
	}
	o := describe(key, info)
	return &fileReader{ctx: ctx, file: file, name: f.path(key), opened: o}, o, nil
}

// A fileReader reads one file and looks at its end whether it is still the one
// that was opened.
type fileReader struct {
	ctx    context.Context
	file   *os.File
	name   string
	opened Object
}

func (r *fileReader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	if err == nil {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read %s: %w", r.name, err)
	}
	info, serr := r.file.Stat()
	if serr != nil {
		return n, fmt.Errorf("read %s: %w", r.name, serr)
	}
	if describe(r.opened.Key, info).ETag != r.opened.ETag {
		return n, fmt.Errorf("read %s: %w", r.name, ErrChanged)
	}
	return n, io.EOF
}

func (r *fileReader) Close() error { return r.file.Close() }
