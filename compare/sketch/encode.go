package sketch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// cellSize and bucketSize are the encoded sizes, five and three words.
const (
	cellSize   = 40
	bucketSize = 24
)

// WriteTo writes the sketch: the number of cells, the buckets, then the cells,
// all as words of 64 bits, little endian.
func (s *Sketch) WriteTo(w io.Writer) (int64, error) {
	le := binary.LittleEndian
	buf := le.AppendUint64(nil, uint64(len(s.cells)))
	for _, b := range s.buckets {
		buf = le.AppendUint64(le.AppendUint64(le.AppendUint64(buf, uint64(b.count)), b.hi), b.lo)
	}
	var total int64
	for i, c := range s.cells {
		for _, v := range [...]uint64{uint64(c.count), c.lo, c.mid, c.top, c.check} {
			buf = le.AppendUint64(buf, v)
		}
		if len(buf) >= 64<<10 || i == len(s.cells)-1 {
			n, err := w.Write(buf)
			if total += int64(n); err != nil {
				return total, fmt.Errorf("write a sketch: %w", err)
			}
			buf = buf[:0]
		}
	}
	return total, nil
}

// Read reads what WriteTo wrote and not a byte more.
func Read(r io.Reader) (*Sketch, error) {
	le := binary.LittleEndian
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("read a sketch: %w", err)
	}
	n := le.Uint64(head[:])
	each := n / tables
	if n%tables != 0 || n > cellsMax*tables || bits.OnesCount64(each) != 1 {
		return nil, errors.New("read a sketch: it has an impossible number of cells")
	}
	s := &Sketch{mask: each - 1}
	var word [cellSize]byte
	for i := range s.buckets {
		if _, err := io.ReadFull(r, word[:bucketSize]); err != nil {
			return nil, fmt.Errorf("read a sketch: %w", err)
		}
		s.buckets[i] = bucket{int64(le.Uint64(word[:])), le.Uint64(word[8:]), le.Uint64(word[16:])}
	}
	for range n { // grown as it is read: the number alone costs no memory
		if _, err := io.ReadFull(r, word[:]); err != nil {
			return nil, fmt.Errorf("read a sketch: %w", err)
		}
		s.cells = append(s.cells, cell{
			count: int64(le.Uint64(word[:])), lo: le.Uint64(word[8:]), mid: le.Uint64(word[16:]),
			top: le.Uint64(word[24:]), check: le.Uint64(word[32:]),
		})
	}
	return s, nil
}
