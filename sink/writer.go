package sink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/standpipe/standpipe"
)

const (
	// chunkSize is how many bytes are compressed at a time. At 1 MiB a run of
	// independent chunks is 0.3 % larger than one stream, at 256 KiB 1.5 %.
	chunkSize = 512 << 10
	// DefaultPartSize is S3's least part size, 5 MiB: with at most 10,000 parts
	// an object can reach 50 GB.
	DefaultPartSize = 5 << 20
)

// WriterOptions are the sizes of a Writer; zero means the default.
type WriterOptions struct {
	// PartSize is the least encoded size in bytes at which a part leaves for
	// the sink: DefaultPartSize, and never below the sink's MinPart.
	PartSize int64
}

// A Writer is one open object of one shard and prefix. It belongs to one
// goroutine. Memory is bounded by the caller: call Upload whenever Held has
// grown by a part or so.
//
// Only Upload, Stage and Abandon do I/O, and only they can fail; all three may
// be called again after an error and then do what is left to do.
type Writer struct {
	sink     Sink
	codec    Codec
	object   Object
	partSize int

	blocks   *blocks // of the Slots that lent the first encoder
	chunk    buffer  // lines not yet compressed
	current  buffer  // encoded bytes of the part being filled
	full     []*buffer
	finished bool

	upload Upload // ID is empty until begun; Parts are the durable ones
	begun  bool
	anew   bool // a second time: the first upload was lost before its first part

	raw    int64
	rawCRC uint32 // of what is already compressed
	size   int64  // encoded bytes of full parts
	crc    uint32 // of them
}

// NewWriter opens an object in memory.
func NewWriter(s Sink, c Codec, o Object, opt WriterOptions) *Writer {
	size := opt.PartSize
	if size <= 0 {
		size = DefaultPartSize
	}
	return &Writer{sink: s, codec: c, object: o, partSize: int(max(size, s.MinPart()))}
}

// Object is what NewWriter was given.
func (w *Writer) Object() Object { return w.object }

// Append copies the line, and a newline if wanted, into the object, and
// compresses with e whenever a chunk is complete. It may not follow Finish.
func (w *Writer) Append(e *Encoder, line []byte, newline bool) {
	if w.finished {
		panic("sink: Append after Finish")
	}
	if w.blocks == nil {
		w.lend(e)
	}
	w.add(e, line)
	if newline {
		w.add(e, newlineByte)
	}
}

var newlineByte = []byte{'\n'}

func (w *Writer) lend(e *Encoder) {
	w.blocks = e.blocks
	w.chunk.from, w.current.from = e.blocks, e.blocks
	if w.codec.Format() == Gzip {
		// RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown system.
		must((*parts)(w).Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}))
	}
}

func (w *Writer) add(e *Encoder, p []byte) {
	w.raw += int64(len(p))
	if w.codec.Format() == None {
		must((*parts)(w).Write(p))
		return
	}
	for {
		n := min(len(p), chunkSize-w.chunk.size)
		must(w.chunk.Write(p[:n]))
		if p = p[n:]; len(p) == 0 {
			break
		}
		w.compress(e)
	}
	if w.chunk.size == chunkSize {
		w.compress(e)
	}
}

// parts is a Writer's side for encoded bytes. Every part but the last has the
// same size to the byte: some stores (R2) complete no other upload.
type parts Writer

// Write never fails.
func (w *parts) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		c := min(len(p), w.partSize-w.current.size)
		must(w.current.Write(p[:c]))
		if p = p[c:]; w.current.size == w.partSize {
			(*Writer)(w).seal()
		}
	}
	return n, nil
}

func (w *Writer) compress(e *Encoder) {
	if w.chunk.size == 0 {
		return
	}
	w.chunk.sum()
	w.rawCRC = combineCRC32(w.rawCRC, w.chunk.crc, int64(w.chunk.size))
	e.encode(w.codec, &w.chunk, (*parts)(w))
	w.chunk.reset()
}

func (w *Writer) seal() {
	part := w.current
	part.sum()
	w.crc = combineCRC32(w.crc, part.crc, int64(part.size))
	w.size += int64(part.size)
	w.full = append(w.full, &part)
	w.current = buffer{from: w.blocks}
}

// Finish compresses what is pending and ends the encoding; nothing can be
// appended after it. Calling it again does nothing.
func (w *Writer) Finish(e *Encoder) {
	if w.finished {
		return
	}
	if w.blocks == nil {
		w.lend(e)
	}
	w.compress(e)
	if w.codec.Format() == Gzip {
		// An empty final block (fixed codes: 03 00), then RFC 1952's trailer.
		end := []byte{3, 0}
		end = binary.LittleEndian.AppendUint32(end, w.rawCRC)
		end = binary.LittleEndian.AppendUint32(end, uint32(w.raw))
		must((*parts)(w).Write(end))
	}
	// An object has a last part even if it is empty: S3 completes no upload
	// without parts.
	if w.current.size > 0 || (len(w.full) == 0 && len(w.upload.Parts) == 0) {
		w.seal()
	}
	w.finished = true
}

// Upload makes every full part durable and gives its memory back. It does
// nothing while no part is full, so that small objects cost no early request.
// An upload that the store lost while nothing was in it is begun anew, once.
func (w *Writer) Upload(ctx context.Context) error {
	for len(w.full) > 0 {
		if err := w.begin(ctx); err != nil {
			return err
		}
		part := w.full[0]
		b := newBody(part)
		p, err := w.sink.Append(ctx, w.upload, len(w.upload.Parts)+1, b)
		b.end()
		if errors.Is(err, ErrNoUpload) && len(w.upload.Parts) == 0 && !w.anew {
			if err := w.restart(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("upload part %d of %s: %w", len(w.upload.Parts)+1, w.object.Key, err)
		}
		w.upload.Parts = append(w.upload.Parts, p)
		w.full = slices.Delete(w.full, 0, 1)
		part.reset()
	}
	return nil
}

// restart leaves an upload of which the store says that it is gone, while every
// byte is in memory still. It may be gone for one of several servers only, hence
// the Discard.
func (w *Writer) restart(ctx context.Context) error {
	if err := w.sink.Discard(ctx, w.upload); err != nil {
		return fmt.Errorf("begin %s anew: %w", w.object.Key, err)
	}
	w.begun, w.anew = false, true
	return nil
}

func (w *Writer) begin(ctx context.Context) error {
	if w.begun {
		return nil
	}
	u, err := w.sink.Begin(ctx, w.object)
	if err != nil {
		return fmt.Errorf("begin %s: %w", w.object.Key, err)
	}
	w.upload, w.begun = u, true
	return nil
}

// Stage uploads what is left and returns the token by which anyone can publish
// the object. It may only follow Finish. ErrNoUpload in its chain means that
// the store dropped the upload: the parts are gone and must be read again.
func (w *Writer) Stage(ctx context.Context) (Upload, error) {
	if !w.finished {
		return Upload{}, &standpipe.Error{
			Class: standpipe.Fatal, Op: "stage " + w.object.Key,
			Err: errors.New("the object is not finished"),
		}
	}
	if err := w.Upload(ctx); err != nil {
		return Upload{}, err
	}
	u := w.upload
	u.Parts = slices.Clone(u.Parts)
	return u, nil
}

// Abandon frees the memory and discards what was staged. The memory is free
// even after an error; call it again to repeat the discard. The Writer is of
// no further use.
func (w *Writer) Abandon(ctx context.Context) error {
	w.Forget()
	if !w.begun {
		return nil
	}
	if err := w.sink.Discard(ctx, w.upload); err != nil {
		return fmt.Errorf("abandon %s: %w", w.object.Key, err)
	}
	w.begun = false
	return nil
}

// Held is the memory in bytes that the object occupies now, blocks not yet
// full included.
func (w *Writer) Held() int64 {
	n := w.chunk.held() + w.current.held()
	for _, p := range w.full {
		n += p.held()
	}
	return n
}

// Raw is the number of bytes accepted, before compression.
func (w *Writer) Raw() int64 { return w.raw }

// Size is the number of encoded bytes so far; final after Finish.
func (w *Writer) Size() int64 { return w.size + int64(w.current.size) }

// CRC32 is the IEEE checksum of the whole object; final after Finish.
func (w *Writer) CRC32() uint32 {
	w.current.sum()
	return combineCRC32(w.crc, w.current.crc, int64(w.current.size))
}
