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
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/cmd/standpipe/internal/decompress"
	"github.com/standpipe/standpipe/internal/awsclient"
)

// own is the folder of standpipe's plans and manifests inside an archive.
const own = "_standpipe/"

// A Reader opens places by name.
type Reader struct {
	// S3 makes the client when the first s3:// place asks for it.
	S3    func(ctx context.Context) (*s3.Client, error)
	Stdin io.Reader
	// Own includes standpipe's own files in prefixes and folders.
	Own bool

	client *s3.Client
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
	plain, err := decompress.NewReader(raw)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", o.Name, err)
	}
	defer plain.Close()
	n, err := copyLines(ctx, w, plain, lines)
	if _, ours := errors.AsType[*writeError](err); err != nil && !ours && ctx.Err() == nil {
		err = fmt.Errorf("read %s: %w", o.Name, err)
	}
	return n, err
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
		return r.local(strings.TrimPrefix(place, "file://"))
	}
}

func one(o Object) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { yield(o, nil) }
}

func failed(err error) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) { yield(Object{}, err) }
}

func (r *Reader) local(path string) iter.Seq2[Object, error] {
	info, err := os.Stat(path)
	if err != nil {
		return failed(fmt.Errorf("open %s: %w", path, errors.Unwrap(err)))
	}
	if !info.IsDir() {
		return one(localFile(path))
	}
	return func(yield func(Object, error) bool) {
		found := false
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && d.Name()+"/" == own && !r.Own && name != path {
				return fs.SkipDir
			}
			if !d.Type().IsRegular() {
				return nil
			}
			found = true
			if !yield(localFile(name), nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(Object{}, fmt.Errorf("list %s: %w", path, err))
		} else if !found {
			yield(Object{}, fmt.Errorf("no files under %s", path))
		}
	}
}

func localFile(name string) Object {
	return Object{Name: name, open: func(context.Context) (io.ReadCloser, error) { return os.Open(name) }}
}

func (r *Reader) remote(ctx context.Context, bucket, key string) iter.Seq2[Object, error] {
	if bucket == "" {
		return failed(errors.New("s3:// without a bucket: give s3://bucket/key or s3://bucket/prefix/"))
	}
	if r.client == nil {
		client, err := r.S3(ctx)
		if err != nil {
			return failed(err)
		}
		r.client = client
	}
	if key != "" && !strings.HasSuffix(key, "/") {
		return one(r.object(bucket, key))
	}
	return func(yield func(Object, error) bool) {
		found := false
		pages := s3.NewListObjectsV2Paginator(r.client, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &key})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(Object{}, awsclient.Classify("list s3://"+bucket+"/"+key, err))
				return
			}
			for _, o := range page.Contents {
				name := aws.ToString(o.Key)
				if r.hidden(key, name) {
					continue
				}
				found = true
				if !yield(r.object(bucket, name), nil) {
					return
				}
			}
		}
		if !found {
			yield(Object{}, &standpipe.Error{
				Class: standpipe.NotFound, Op: "no objects under s3://" + bucket + "/" + key,
				Hint: "standpipe's own files are shown with --own",
			})
		}
	}
}

// hidden says that a listed key holds no lines: an empty "folder" that consoles
// make, or standpipe's own files, unless the prefix itself leads into them.
func (r *Reader) hidden(prefix, key string) bool {
	rest := strings.TrimPrefix(key, prefix)
	if strings.HasSuffix(key, "/") {
		return true
	}
	return !r.Own && (strings.HasPrefix(rest, own) || strings.Contains(rest, "/"+own))
}

func (r *Reader) object(bucket, key string) Object {
	name := "s3://" + bucket + "/" + key
	return Object{Name: name, open: func(ctx context.Context) (io.ReadCloser, error) {
		out, err := r.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if awsclient.Code(err) == "NoSuchKey" {
			return nil, &standpipe.Error{
				Class: standpipe.NotFound, Op: "no object " + name,
				Hint: "for all objects under a prefix end it in a slash: " + name + "/",
			}
		}
		if err != nil {
			return nil, awsclient.Classify("get "+name, err)
		}
		return out.Body, nil
	}}
}
