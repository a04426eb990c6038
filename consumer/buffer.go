package consumer

import (
	"io"
	"sync"
)

// The sizes of page buffers in bytes.
const (
	// MinPage is the least a page buffer holds.
	MinPage int64 = 64 << 10
	// MaxPage holds the body of a whole 10 MiB page: 13.4 MiB of base64 and
	// 10,000 records of about 250 bytes of JSON around it. Kinesis counts no
	// escapes, so a body can be larger still; the reader then asks for fewer
	// records at a time.
	MaxPage int64 = 16 << 20
)

// Sizes grow by a quarter of an octave, so that rounding up wastes at most a
// fifth of a buffer: 64, 80, 96, 112, 128, 160 KiB … 16 MiB.
const sizeClasses = 8*4 + 1

// A bufferPool lends page buffers by size class. The pools belong to one
// Client and are safe for concurrent use.
type bufferPool struct{ classes [sizeClasses]sync.Pool }

// classSize is the capacity of class i.
func classSize(i int) int64 {
	octave := MinPage << (i / 4)
	return octave + octave/4*int64(i%4)
}

// classFor is the least class that holds n bytes, or false above MaxPage.
func classFor(n int64) (int, bool) {
	for i := range sizeClasses {
		if classSize(i) >= n {
			return i, true
		}
	}
	return 0, false
}

// roundUp is the capacity a buffer for n bytes will have.
func roundUp(n int64) int64 {
	if i, ok := classFor(n); ok {
		return classSize(i)
	}
	return n
}

// get returns an empty buffer for n bytes whose capacity is at most room, or
// nil when n is more than room.
func (p *bufferPool) get(n, room int64) []byte {
	if n > room {
		return nil
	}
	i, ok := classFor(n)
	if !ok || classSize(i) > room {
		return make([]byte, 0, n)
	}
	if b, ok := p.classes[i].Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, classSize(i))
}

// put takes a buffer back. Odd sizes go to the collector: in a pool they would
// be found too small.
func (p *bufferPool) put(b []byte) {
	i, ok := classFor(int64(cap(b)))
	if !ok || classSize(i) != int64(cap(b)) {
		return
	}
	b = b[:0]
	p.classes[i].Put(&b)
}

// read reads src to its end into a buffer of the pool. length is the announced
// length or negative, guess the first size to try when there is none. When
// src holds more than room bytes the buffer goes back and the second result is
// the least number of bytes src has.
func (p *bufferPool) read(src io.Reader, length, guess, room int64) (b []byte, over int64, err error) {
	want := length
	if length < 0 {
		want = min(guess, room)
	}
	if b = p.get(max(want, 1), room); b == nil {
		return nil, want, nil
	}
	for {
		if len(b) == cap(b) {
			// Full: either that was all, or a longer buffer is needed.
			var one [1]byte
			n, err := io.ReadFull(src, one[:])
			if err == io.EOF {
				return b, 0, nil
			}
			if err != nil {
				p.put(b)
				return nil, 0, err
			}
			longer := p.get(min(max(int64(cap(b))*2, MinPage), room), room)
			if longer == nil || cap(longer) <= cap(b) {
				over = int64(len(b) + n)
				p.put(b)
				return nil, over, nil
			}
			longer = append(append(longer, b...), one[0])
			p.put(b)
			b = longer
			continue
		}
		n, err := src.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, 0, nil
		}
		if err != nil {
			p.put(b)
			return nil, 0, err
		}
	}
}
