package sink

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/standpipe/standpipe"
)

// WholePart is the PartSize of a Writer that is to be put in one step: the
// object stays in memory as a single part.
const WholePart = math.MaxInt

// Put makes the finished object visible in one step, without a staged state,
// and frees its memory. It is for a Writer made with WholePart. It may be
// called again after an error: the same key gets the same bytes.
func (w *Writer) Put(ctx context.Context) error {
	if !w.finished || w.begun || len(w.full) != 1 {
		return &standpipe.Error{
			Class: standpipe.Fatal, Op: "put " + w.object.Key,
			Err: errors.New("the object is not finished, or not whole"),
		}
	}
	b := newBody(w.full[0])
	defer b.end()
	if err := w.sink.Put(ctx, w.object, b); err != nil {
		return fmt.Errorf("put %s: %w", w.object.Key, err)
	}
	w.free()
	return nil
}

// Forget frees the memory and leaves what was staged as it is: somebody else
// may be about to publish it. The Writer is of no further use.
func (w *Writer) Forget() {
	w.finished = true
	w.free()
}

func (w *Writer) free() {
	w.chunk.reset()
	w.current.reset()
	for _, p := range w.full {
		p.reset()
	}
	w.full = nil
}
