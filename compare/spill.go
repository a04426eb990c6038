package compare

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/standpipe/standpipe/compare/sketch"
)

const (
	// entrySize is a record on disk: its hash and a byte for where it is.
	entrySize = 17
	// partitionRecords is how many records a partition should have: its distinct
	// hashes are held in memory, about 100 bytes each.
	partitionRecords = 400_000
	partitionsMax    = 1024
	partitionBuffer  = 16 << 10
)

// errSpill says that the exact count on disk was refused or failed.
var errSpill = errors.New("count on disk")

// Copies is how often a record is in either side's core and halo.
type copies struct {
	hash sketch.Hash
	core [2]int64
	halo [2]int64
}

func (c copies) all(s Side) int64 { return c.core[s] + c.halo[s] }

// countOnDisk counts the records of all buckets that differ, on disk, and calls each
// for every hash of which the sides have different numbers, in no useful order
// but the same one each time.
func (r *run) countOnDisk(ctx context.Context, each func(copies)) ([]Problem, error) {
	c, t := r.c, r.tally
	differing := 0
	for b := range sketch.Buckets {
		if t.sketch.Differs(b) {
			differing++
		}
	}
	records := (t.Sides[A].Lines + t.Sides[B].Lines) * int64(differing) / sketch.Buckets
	if need := records * entrySize; need > c.SpillMax {
		return nil, fmt.Errorf("%w: about %d lines differ, more than the sketch holds, and to count them would take %d MiB: allow it with --max-spill, or give a larger --capacity",
			errSpill, t.sketch.Estimate(), need>>20+1)
	}
	dir, err := os.MkdirTemp(c.SpillDir, "standpipe-compare-")
	if err != nil {
		return nil, fmt.Errorf("%w: %w: give another --spill-dir", errSpill, err)
	}
	defer os.RemoveAll(dir)
	g := &grace{dir: dir, sketch: t.sketch, left: c.SpillMax}
	defer g.close()
	if err := g.open(int(min(records/partitionRecords+1, partitionsMax))); err != nil {
		return nil, err
	}
	if err := r.spread(ctx, g); err != nil {
		return nil, err
	}
	slices.SortFunc(g.problems, compareProblems)
	return g.problems, g.join(ctx, each)
}

// spread writes the records of all objects to the partitions.
func (r *run) spread(ctx context.Context, g *grace) error {
	told := &gauge{phase: PhaseSpill, total: r.inv.bytes, tell: r.c.Progress}
	return parallel(ctx, r.c.Workers, len(r.inv.objects), func() (func(context.Context, int) error, func()) {
		rd := newReader(r.c.Stores, r.unit())
		return func(ctx context.Context, i int) error {
			o := r.inv.objects[i]
			got, err := rd.object(ctx, o, g.begin(o))
			if err != nil {
				return err
			}
			if got.err != nil {
				g.trouble(problemOf(o, got.err))
			}
			told.done(o, got)
			return g.broken()
		}, rd.close
	})
}

// A grace is a hash join: partitions on disk by hash, one at a time in memory.
type grace struct {
	dir    string
	sketch *sketch.Sketch
	parts  []*partition
	failed atomic.Pointer[error]

	mu       sync.Mutex
	left     int64 // bytes that may still be written
	problems []Problem
}

type partition struct {
	mu   sync.Mutex
	file *os.File
	w    *bufio.Writer
}

func (g *grace) open(n int) error {
	for i := range n {
		f, err := os.OpenFile(filepath.Join(g.dir, fmt.Sprintf("%04d", i)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return fmt.Errorf("%w: %w", errSpill, err)
		}
		g.parts = append(g.parts, &partition{file: f, w: bufio.NewWriterSize(f, partitionBuffer)})
	}
	return nil
}

func (g *grace) close() {
	for _, p := range g.parts {
		p.file.Close()
	}
}

// where is the byte that says where a record is.
func where(o Object) byte {
	b := byte(o.Side)
	if o.Halo {
		b |= 2
	}
	return b
}

func (g *grace) begin(o Object) func(sketch.Hash, []byte, spot) {
	var entry [entrySize]byte
	entry[16] = where(o)
	return func(h sketch.Hash, _ []byte, _ spot) {
		if !g.sketch.Differs(h.Bucket()) || g.failed.Load() != nil {
			return
		}
		binary.LittleEndian.PutUint64(entry[:], h.Hi)
		binary.LittleEndian.PutUint64(entry[8:], h.Lo)
		if err := g.write(int(h.Lo%uint64(len(g.parts))), entry[:]); err != nil {
			g.failed.CompareAndSwap(nil, &err)
		}
	}
}

// broken is why nothing can be written any more, if that is so.
func (g *grace) broken() error {
	if err := g.failed.Load(); err != nil {
		return fmt.Errorf("%w in %s: %w: give another --spill-dir, or a larger --capacity", errSpill, g.dir, *err)
	}
	return nil
}

func (g *grace) trouble(p Problem) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.problems = append(g.problems, p)
}

func (g *grace) write(at int, entry []byte) error {
	g.mu.Lock()
	g.left -= entrySize
	enough := g.left >= 0
	g.mu.Unlock()
	if !enough {
		return errors.New("more than --max-spill")
	}
	p := g.parts[at]
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.w.Write(entry)
	return err
}

// join counts one partition after the other.
func (g *grace) join(ctx context.Context, each func(copies)) error {
	counts := map[sketch.Hash]*[4]int64{}
	for _, p := range g.parts {
		if err := p.w.Flush(); err != nil {
			g.failed.CompareAndSwap(nil, &err)
		}
		if err := g.broken(); err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		clear(counts)
		if err := p.count(counts); err != nil {
			return fmt.Errorf("%w in %s: %w", errSpill, g.dir, err)
		}
		emit(counts, each)
	}
	return nil
}

func (p *partition) count(counts map[sketch.Hash]*[4]int64) error {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(p.file, 256<<10)
	var entry [entrySize]byte
	for {
		if _, err := io.ReadFull(r, entry[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		h := sketch.Hash{Hi: binary.LittleEndian.Uint64(entry[:]), Lo: binary.LittleEndian.Uint64(entry[8:])}
		n := counts[h]
		if n == nil {
			n = new([4]int64)
			counts[h] = n
		}
		n[entry[16]&3]++
	}
}

// emit calls each for the hashes that differ, in their order.
func emit(counts map[sketch.Hash]*[4]int64, each func(copies)) {
	var differing []copies
	for h, n := range counts {
		c := copies{hash: h, core: [2]int64{n[0], n[1]}, halo: [2]int64{n[2], n[3]}}
		if c.all(A) != c.all(B) {
			differing = append(differing, c)
		}
	}
	slices.SortFunc(differing, func(a, b copies) int { return a.hash.Compare(b.hash) })
	for _, c := range differing {
		each(c)
	}
}
