package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"time"

	"github.com/standpipe/standpipe"
	"github.com/standpipe/standpipe/internal/backoff"
)

const (
	// resumesMax is how often in a row a body may break without a byte more.
	resumesMax = 5
	// stall is how long one read of a body may bring nothing: half-open
	// connections never end by themselves.
	stall = 60 * time.Second
)

// resumePace spreads the repeats of a broken body over about 10 s.
var resumePace = backoff.Policy{Min: 200 * time.Millisecond, Max: 5 * time.Second}

// An answer is one response to a request for an object's bytes.
type answer struct {
	body   io.ReadCloser
	object Object
}

// A get asks for the bytes from one offset on, of the object with that ETag
// when it is not empty.
type get func(ctx context.Context, from int64, etag string) (answer, error)

// openRanged returns a reader over as many requests as it takes.
func openRanged(ctx context.Context, name string, g get) (io.ReadCloser, Object, error) {
	r := &ranged{ctx: ctx, name: name, get: g, random: mathrand.New(mathrand.NewPCG(backoff.Seed(), backoff.Seed()))}
	a, err := r.request("")
	if err != nil {
		return nil, Object{}, err
	}
	r.object = a.object
	return r, r.object, nil
}

// ranged reads an object; a body that breaks is asked for again from where it
// broke. It belongs to one goroutine.
type ranged struct {
	ctx    context.Context
	name   string
	get    get
	object Object
	random *mathrand.Rand

	body   io.ReadCloser
	cancel context.CancelCauseFunc // of the request body comes from
	timer  *time.Timer             // cancels it when a read stalls
	at     int64                   // bytes read
	broken int                     // requests in a row that brought nothing
}

var errStalled = fmt.Errorf("no byte came for %v", stall)

// request asks for the bytes from r.at on.
func (r *ranged) request(etag string) (answer, error) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	a, err := r.get(ctx, r.at, etag)
	if err != nil {
		cancel(nil)
		return a, err
	}
	r.body, r.cancel = a.body, cancel
	r.timer = time.AfterFunc(stall, func() { cancel(errStalled) })
	r.timer.Stop()
	return a, nil
}

// end gives up the request under way.
func (r *ranged) end() error {
	r.timer.Stop()
	err := r.body.Close()
	r.cancel(nil)
	return err
}

func (r *ranged) Read(p []byte) (int, error) {
	for {
		r.timer.Reset(stall)
		n, err := r.body.Read(p)
		r.timer.Stop()
		if r.at += int64(n); n > 0 {
			r.broken = 0
		}
		if err == nil {
			return n, nil
		}
		if errors.Is(err, io.EOF) && r.at == r.object.Size {
			return n, io.EOF
		}
		if r.at >= r.object.Size && !errors.Is(err, io.EOF) {
			// All bytes are here; what failed is the check of their checksum.
			return n, fmt.Errorf("read %s: %w", r.name, err)
		}
		if err := r.resume(err); err != nil {
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}

// resume opens the body again where it broke.
func (r *ranged) resume(cause error) error {
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	_ = r.end()
	for {
		if err := context.Cause(r.ctx); err != nil {
			return fmt.Errorf("read %s at byte %d: %w", r.name, r.at, err)
		}
		if r.broken++; r.broken > resumesMax {
			return &standpipe.Error{Class: standpipe.Retryable, Op: fmt.Sprintf("read %s at byte %d", r.name, r.at), Err: cause}
		}
		if err := backoff.Sleep(r.ctx, resumePace.Delay(r.broken, r.random)); err != nil {
			return fmt.Errorf("read %s at byte %d: %w", r.name, r.at, err)
		}
		_, err := r.request(r.object.ETag)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, ErrChanged), errors.Is(err, ErrNotFound), standpipe.ClassOf(err) == standpipe.Denied, standpipe.ClassOf(err) == standpipe.Fatal:
			r.body = io.NopCloser(failing{err})
			return err
		}
		cause = err
	}
}

// Close may be called after any error.
func (r *ranged) Close() error { return r.end() }

// failing is what a body is after an error that no repeat heals.
type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
