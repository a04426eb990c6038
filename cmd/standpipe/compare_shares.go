package main

import "github.com/standpipe/standpipe/compare"

// A shares is how far the slices of a job are, whoever works on them: of its own a
// process knows each object, of those of others when they are done. It belongs to
// one goroutine at a time.
type shares struct {
	phase string
	tell  func(compare.Progress)
	total int64 // bytes
	parts []share

	objects, bytes, lines int64 // done
}

// A share is how far a slice is.
type share struct {
	whole   int64 // bytes
	objects int64
	// read and seen are the bytes and objects that count as done.
	read, seen int64
}

// add makes room for a slice.
func (s *shares) add(x compare.Slice) {
	s.parts = append(s.parts, share{whole: x.Bytes(), objects: int64(len(x.Objects))})
	s.total += x.Bytes()
}

// read counts an object of a slice. A slice that is done over does not count
// twice.
func (s *shares) read(slice int, bytes, lines int64) {
	if slice >= len(s.parts) {
		return
	}
	p := &s.parts[slice]
	s.lines += lines
	s.move(p, min(p.read+bytes, p.whole), min(p.seen+1, p.objects))
}

// end counts a slice as done.
func (s *shares) end(slice int) {
	if slice < len(s.parts) {
		p := &s.parts[slice]
		s.move(p, p.whole, p.objects)
	}
}

func (s *shares) move(p *share, read, seen int64) {
	s.bytes += read - p.read
	s.objects += seen - p.seen
	p.read, p.seen = read, seen
	if s.tell != nil {
		s.tell(compare.Progress{Phase: s.phase, Objects: s.objects, Bytes: s.bytes, Total: s.total, Lines: s.lines})
	}
}
