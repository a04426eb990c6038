package main

import (
	"context"
	"io"
	"sync"
)

// interruptible reads r until it ends or ctx does. A read of a terminal or a
// pipe can't be called off in Go, so it happens in a goroutine of its own, which
// after an interrupt stays in that last read until the process exits: the only
// one nobody waits for. It starts with the first Read.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	return &stdinReader{ctx: ctx, r: r, chunks: make(chan chunk)}
}

type chunk struct {
	data []byte
	err  error
}

type stdinReader struct {
	ctx    context.Context
	r      io.Reader
	chunks chan chunk
	start  sync.Once
	have   chunk
}

func (s *stdinReader) Read(p []byte) (int, error) {
	s.start.Do(func() { go s.pump() })
	if len(s.have.data) == 0 && s.have.err == nil {
		select {
		case s.have = <-s.chunks:
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	if len(s.have.data) == 0 {
		return 0, s.have.err
	}
	n := copy(p, s.have.data)
	s.have.data = s.have.data[n:]
	return n, nil
}

// pump ends after the first error of r, end of file included.
func (s *stdinReader) pump() {
	for {
		buf := make([]byte, 64<<10)
		n, err := s.r.Read(buf)
		select {
		case s.chunks <- chunk{buf[:n], err}:
		case <-s.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}
