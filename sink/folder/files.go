package folder

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"syscall"

	"github.com/standpipe/standpipe/sink"
)

// write makes a new file durable, but not its name.
func (s *Sink) write(ctx context.Context, name string, r io.Reader) (sink.Part, error) {
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return sink.Part{}, err
	}
	sum := crc32.NewIEEE()
	n, err := io.Copy(io.MultiWriter(f, sum), cancellable{ctx, r})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.root.Remove(name)
		return sink.Part{}, err
	}
	return sink.Part{Size: n, CRC32: sum.Sum32()}, nil
}

// replace writes a small file in one step and makes its name durable.
func (s *Sink) replace(name string, p []byte) error {
	temporary := path.Join(path.Dir(name), "temporary-"+rand.Text())
	f, err := s.root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(p)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = s.root.Rename(temporary, name)
	}
	if err != nil {
		_ = s.root.Remove(temporary)
		return err
	}
	return s.syncDir(path.Dir(name))
}

// cancellable looks at the context between two reads.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// mkdir creates a folder and those above it and makes their names durable. A
// name is an entry of the parent, so every parent is synced, also when all are
// there: another process may have created one and not have synced it yet.
func (s *Sink) mkdir(dir string) error {
	if dir == "." {
		return nil
	}
	if err := s.root.MkdirAll(dir, dirMode); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create folder %s: %w", dir, syscall.ENOTDIR)
	} else if err != nil {
		return err
	}
	for dir != "." {
		dir = path.Dir(dir)
		if err := s.syncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) syncDir(dir string) error {
	f, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// A partReader reads a staged part and fails at its end if it is not the part
// that the token names. The file is opened at the first read.
type partReader struct {
	root *os.Root
	name string
	want sink.Part
	file *os.File
	size int64
	crc  uint32
}

func (r *partReader) Read(p []byte) (int, error) {
	if r.file == nil {
		f, err := r.root.Open(r.name)
		if err != nil {
			return 0, err
		}
		r.file = f
	}
	n, err := r.file.Read(p)
	r.size += int64(n)
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
	if err == io.EOF && (r.size != r.want.Size || r.crc != r.want.CRC32) {
		return n, fmt.Errorf("%s %w", r.name, errPart)
	}
	return n, err
}

func (r *partReader) close() {
	if r.file != nil {
		_ = r.file.Close() // only read
	}
}

// meta is what is known of a visible object besides its bytes.
type meta struct {
	Key             string            `json:"key"`
	Size            int64             `json:"size"`
	ContentEncoding string            `json:"contentEncoding,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
}

// metaName is a hash because a key's own name may be as long as a name can be,
// and because "a" and "a/b" could not both have a file.
func metaName(key string) string {
	h := sha256.Sum256([]byte(key))
	return path.Join(MetaDir, hex.EncodeToString(h[:])+".json")
}

// writeMeta comes before the object's name: nobody sees an object without its
// metadata. What a crash leaves behind in between belongs to the same upload,
// as keys are unique.
func (s *Sink) writeMeta(o sink.Object, size int64) error {
	p, err := json.Marshal(meta{Key: o.Key, Size: size, ContentEncoding: o.ContentEncoding, Metadata: o.Metadata})
	if err != nil {
		return err
	}
	return s.replace(metaName(o.Key), p)
}

// readMeta returns no metadata for files that others put into the folder.
func (s *Sink) readMeta(key string) (meta, error) {
	p, err := s.root.ReadFile(metaName(key))
	if errors.Is(err, fs.ErrNotExist) {
		return meta{}, nil
	}
	var m meta
	if err == nil {
		err = json.Unmarshal(p, &m)
	}
	return m, err
}

// sameObject reports whether the upload is visible already.
func (s *Sink) sameObject(u sink.Upload) (bool, error) {
	info, err := s.stat(u.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m, err := s.readMeta(u.Key)
	return err == nil && info.Size() == u.Size() && maps.Equal(m.Metadata, u.Metadata) && m.Size == u.Size(), err
}
