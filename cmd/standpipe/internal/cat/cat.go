// Package cat writes what archives hold as plain bytes: objects and prefixes of
// S3, files and folders, whatever they are compressed with. It promises the
// bytes as they are, in the order of the keys, streamed: memory does not grow
// with an object, and nothing is read past a limit but what was already on its way.
package cat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/archive"
)

// A Reader opens places by name.
type Reader struct {
	// S3 makes the client when the first s3:// place asks for it.
	S3    func(ctx context.Context) (*s3.Client, error)
	Stdin io.Reader
	// Own includes standpipe's own files in prefixes and folders.
	Own bool
}

// An Object is one thing to read.
type Object struct {
	Name string
	open func(ctx context.Context) (io.ReadCloser, error)
}

// Copy writes the plain bytes of o to w, at most lines lines of them when lines
// is not negative, and returns how many newlines it wrote.
func (o Object) Copy(ctx context.Context, w io.Writer, lines int64) (int64, error) {
	if lines == 0 {
		return 0, nil
	}
	raw, err := o.open(ctx)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	plain, _, err := archive.Decode(raw, o.Name)
	if err != nil {
		return 0, o.failed(ctx, err)
	}
	defer plain.Close()
	n, err := copyLines(ctx, w, plain, lines)
	return n, o.failed(ctx, err)
}

// Lines takes one object after the other and keeps their lines apart: one that
// does not end in a newline gets one as soon as something follows. The last is
// left as it is.
type Lines struct {
	W io.Writer
	// open says that the last byte was none of a line's end.
	open bool
}

func (l *Lines) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.open = p[len(p)-1] != '\n'
	}
	return l.W.Write(p)
}

// Copy is the object's, at most lines lines with the one that was left open
// before it, which is ended by the object's first byte.
func (l *Lines) Copy(ctx context.Context, o Object, lines int64) (int64, error) {
	if !l.open {
		return o.Copy(ctx, l, lines)
	}
	if lines == 0 || lines == 1 {
		return lines, nil // that line was the last
	}
	if lines > 0 {
		lines--
	}
	first := &ending{Lines: l}
	n, err := o.Copy(ctx, first, lines)
	return n + first.ended, err
}

// ending writes the newline that the object before lacks.
type ending struct {
	*Lines
	ended int64
}

func (e *ending) Write(p []byte) (int, error) {
	if e.ended == 0 && len(p) > 0 {
		if _, err := e.W.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		e.ended = 1
	}
	return e.Lines.Write(p)
}

// failed names the object in errors that do not.
func (o Object) failed(ctx context.Context, err error) error {
	_, ours := errors.AsType[*writeError](err)
	_, corrupt := errors.AsType[*archive.CorruptError](err)
	switch {
	case err == nil, ours, ctx.Err() != nil:
		return err
	case corrupt:
		return fmt.Errorf("read %w", err)
	}
	return fmt.Errorf("read %s: %w", o.Name, err)
}

// writeError tells a reader that went away from an object that is broken.
type writeError struct{ error }

func (w *writeError) Unwrap() error { return w.error }

// copyLines copies until r ends or the limit is reached.
func copyLines(ctx context.Context, w io.Writer, r io.Reader, limit int64) (int64, error) {
	buf := make([]byte, 64<<10)
	var lines int64
	for {
		if err := ctx.Err(); err != nil {
			return lines, err
		}
		n, rerr := r.Read(buf)
		chunk := buf[:n]
		if limit >= 0 {
			chunk = firstLines(chunk, limit-lines)
		}
		lines += int64(bytes.Count(chunk, []byte("\n")))
		if _, err := w.Write(chunk); err != nil {
			return lines, &writeError{fmt.Errorf("write the output: %w", err)}
		}
		if lines == limit || errors.Is(rerr, io.EOF) {
			return lines, nil
		}
		if rerr != nil {
			return lines, rerr
		}
	}
}

// firstLines is b up to and including its n-th newline.
func firstLines(b []byte, n int64) []byte {
	end := 0
	for range n {
		i := bytes.IndexByte(b[end:], '\n')
		if i < 0 {
			return b
		}
		end += i + 1
	}
	return b[:end]
}

// Objects lists what place names: "-", a file, a folder, s3://bucket/key, or
// s3://bucket/prefix/ with all objects under it. A place with nothing in it is
// an error, the last thing given.
func (r *Reader) Objects(ctx context.Context, place string) iter.Seq2[Object, error] {
	switch rest, isS3 := strings.CutPrefix(place, "s3://"); {
	case place == "-":
		return one(Object{Name: "standard input", open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(r.Stdin), nil
		}})
	case isS3:
		bucket, key, _ := strings.Cut(rest, "/")
		return r.remote(ctx, bucket, key)
	default:
		return r.local(ctx, strings.TrimPrefix(place, "file://"))
	}
}

func one(o Object) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { yield(o, nil) }
}

func failed(err error) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { yield(Object{}, err) }
}

func (r *Reader) local(ctx context.Context, path string) iter.Seq2[Object, error] {
	info, err := os.Stat(path)
	if err != nil {
		return failed(fmt.Errorf("open %s: %w", path, errors.Unwrap(err)))
	}
	if !info.IsDir() {
		return one(localFile(path))
	}
	return r.under(ctx, path, func(key string) string { return filepath.Join(path, filepath.FromSlash(key)) })
}

// errStop ends a listing whose caller has enough.
var errStop = errors.New("stop")

// under gives the objects of a folder or a prefix, in the order of their keys.
// standpipe's own are left out, unless the place itself leads into them.
func (r *Reader) under(ctx context.Context, place string, name func(key string) string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		store, err := archive.Open(ctx, place, archive.WithS3(r.S3))
		if err != nil {
			yield(Object{}, err)
			return
		}
		found := false
		err = store.List(ctx, "", "", func(o archive.Object) error {
			if archive.Own(o.Key) && !r.Own {
				return nil
			}
			found = true
			if !yield(fromStore(store, o.Key, name(o.Key)), nil) {
				return errStop
			}
			return nil
		})
		switch {
		case errors.Is(err, errStop):
		case err != nil:
			yield(Object{}, err)
		case !found:
			yield(Object{}, &standpipe.Error{
				Class: standpipe.NotFound, Op: "no objects under " + place,
				Hint: "standpipe's own files are shown with --own",
			})
		}
	}
}

func fromStore(store archive.Store, key, name string) Object {
	return Object{Name: name, open: func(ctx context.Context) (io.ReadCloser, error) {
		raw, _, err := store.Open(ctx, key)
		return raw, err
	}}
}

func localFile(name string) Object {
	return Object{Name: name, open: func(context.Context) (io.ReadCloser, error) { return os.Open(name) }}
}

func (r *Reader) remote(ctx context.Context, bucket, key string) iter.Seq2[Object, error] {
	if bucket == "" {
		return failed(errors.New("s3:// without a bucket: give s3://bucket/key or s3://bucket/prefix/"))
	}
	if key == "" || strings.HasSuffix(key, "/") {
		place := "s3://" + bucket + "/" + key
		return r.under(ctx, place, func(key string) string { return place + key })
	}
	store, err := archive.Open(ctx, "s3://"+bucket, archive.WithS3(r.S3))
	if err != nil {
		return failed(err)
	}
	name := "s3://" + bucket + "/" + key
	return one(Object{Name: name, open: func(ctx context.Context) (io.ReadCloser, error) {
		raw, _, err := store.Open(ctx, key)
		if errors.Is(err, archive.ErrNotFound) {
			return nil, &standpipe.Error{
				Class: standpipe.NotFound, Op: "no object " + name,
				Hint: "for all objects under a prefix end it in a slash: " + name + "/",
			}
		}
		return raw, err
	}})
}
