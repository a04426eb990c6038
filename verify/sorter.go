package verify

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

const (
	// runSize is how many bytes of entries are sorted in memory at a time.
	runSize = 16 << 20
	// runsMax is how many runs are read at a time; more are merged into one.
	runsMax = 64
	// entryOverhead is what an entry takes in memory besides its bytes.
	entryOverhead = 24
)

// A sorter sorts entries by their bytes in bounded memory: runSize bytes of
// entries, and a read buffer for each of at most runsMax files. It belongs to
// one goroutine.
type sorter struct {
	dir   string
	limit int // of held, in bytes

	entries [][]byte
	held    int
	peak    int // the most that held has been
	runs    []*os.File
	merges  int
}

func newSorter(dir string) *sorter { return &sorter{dir: dir, limit: runSize} }

// add copies one entry.
func (s *sorter) add(entry []byte) error {
	s.entries = append(s.entries, bytes.Clone(entry))
	s.held += len(entry) + entryOverhead
	s.peak = max(s.peak, s.held)
	if s.held < s.limit {
		return nil
	}
	return s.spill()
}

// spill writes what is held as one sorted run.
func (s *sorter) spill() error {
	slices.SortFunc(s.entries, bytes.Compare)
	if err := s.write(slices.Values(s.entries)); err != nil {
		return err
	}
	s.entries, s.held = nil, 0
	if len(s.runs) < runsMax {
		return nil
	}
	s.merges++
	old := s.runs
	s.runs = nil
	var failed error
	err := s.write(func(yield func([]byte) bool) {
		for e, err := range merged(old, nil) {
			if failed = err; err != nil || !yield(e) {
				return
			}
		}
	})
	return errors.Join(failed, err, remove(old))
}

func (s *sorter) write(entries iter.Seq[[]byte]) error {
	f, err := os.CreateTemp(s.dir, "sorted-*")
	if err != nil {
		return fmt.Errorf("sort names: %w", err)
	}
	s.runs = append(s.runs, f)
	w := bufio.NewWriterSize(f, 64<<10)
	var head [binary.MaxVarintLen64]byte
	for e := range entries {
		n := binary.PutUvarint(head[:], uint64(len(e)))
		if _, err := w.Write(head[:n]); err != nil {
			return fmt.Errorf("sort names: %w", err)
		}
		if _, err := w.Write(e); err != nil {
			return fmt.Errorf("sort names: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("sort names: %w", err)
	}
	return nil
}

// sorted yields every entry in order. It can be called again, and entries may
// not be added meanwhile. An entry is valid until the next.
func (s *sorter) sorted() iter.Seq2[[]byte, error] {
	slices.SortFunc(s.entries, bytes.Compare)
	return merged(s.runs, s.entries)
}

func (s *sorter) empty() bool { return len(s.entries) == 0 && len(s.runs) == 0 }

// close removes the files.
func (s *sorter) close() error {
	err := remove(s.runs)
	s.runs, s.entries = nil, nil
	return err
}

func remove(files []*os.File) (err error) {
	for _, f := range files {
		err = errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	return err
}

// merged yields the entries of sorted files and of one sorted slice in order.
func merged(files []*os.File, rest [][]byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var h heads
		for _, f := range files {
			h = append(h, &run{from: bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 64<<10)})
		}
		h = append(h, &run{rest: rest})
		for k := len(h) - 1; k >= 0; k-- {
			if err := h[k].next(); errors.Is(err, io.EOF) {
				h = slices.Delete(h, k, k+1)
			} else if err != nil {
				yield(nil, err)
				return
			}
		}
		heap.Init(&h)
		for len(h) > 0 {
			if !yield(h[0].head, nil) {
				return
			}
			switch err := h[0].next(); {
			case err == nil:
				heap.Fix(&h, 0)
			case errors.Is(err, io.EOF):
				heap.Pop(&h)
			default:
				yield(nil, err)
				return
			}
		}
	}
}

// A run is one sorted sequence, from a file or from memory.
type run struct {
	from *bufio.Reader
	rest [][]byte
	head []byte
}

func (r *run) next() error {
	if r.from == nil {
		if len(r.rest) == 0 {
			return io.EOF
		}
		r.head, r.rest = r.rest[0], r.rest[1:]
		return nil
	}
	n, err := binary.ReadUvarint(r.from)
	if err != nil {
		return err
	}
	r.head = slices.Grow(r.head[:0], int(n))[:n]
	if _, err := io.ReadFull(r.from, r.head); err != nil {
		return fmt.Errorf("read sorted names: %w", io.ErrUnexpectedEOF)
	}
	return nil
}

type heads []*run

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return bytes.Compare(h[i].head, h[j].head) < 0 }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *heads) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
