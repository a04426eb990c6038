package sim

import (
	"bytes"
	"context"
	"hash/crc32"
	"io"

	"github.com/standpipe/standpipe/sink"
)

// Sink is a sink.Sink at the other end of the network.
type Sink struct {
	Client *Client
	Server sink.Sink
	// Discarded is told of every upload a client discards, when it happens.
	Discarded func(id string)
}

var _ sink.Sink = Sink{}

// Begin implements sink.Sink.
func (s Sink) Begin(ctx context.Context, o sink.Object) (sink.Upload, error) {
	return call(ctx, s.Client, toSink, "begin "+o.Key, func() (sink.Upload, error) { return s.Server.Begin(context.Background(), o) })
}

// Append implements sink.Sink. The request carries a copy of the bytes: the
// client may be gone when it arrives.
func (s Sink) Append(ctx context.Context, u sink.Upload, n int, b sink.Body) (sink.Part, error) {
	copied, err := io.ReadAll(b)
	if err != nil {
		return sink.Part{}, err
	}
	return call(ctx, s.Client, toSink, "append "+u.ID, func() (sink.Part, error) {
		return s.Server.Append(context.Background(), u, n, body{bytes.NewReader(copied), crc32.ChecksumIEEE(copied)})
	})
}

type body struct {
	*bytes.Reader
	crc uint32
}

func (b body) Len() int64    { return b.Size() }
func (b body) CRC32() uint32 { return b.crc }

// Publish implements sink.Sink.
func (s Sink) Publish(ctx context.Context, u sink.Upload) error {
	_, err := call(ctx, s.Client, toSink, "publish "+u.ID, func() (nothing, error) { return nothing{}, s.Server.Publish(context.Background(), u) })
	return err
}

// Discard implements sink.Sink.
func (s Sink) Discard(ctx context.Context, u sink.Upload) error {
	_, err := call(ctx, s.Client, toSink, "discard "+u.ID, func() (nothing, error) {
		s.Discarded(u.ID)
		return nothing{}, s.Server.Discard(context.Background(), u)
	})
	return err
}

// Probe implements sink.Sink.
func (s Sink) Probe(ctx context.Context, key string) (sink.Info, error) {
	return call(ctx, s.Client, toSink, "probe "+key, func() (sink.Info, error) { return s.Server.Probe(context.Background(), key) })
}

// WriteOnce implements sink.Sink.
func (s Sink) WriteOnce(ctx context.Context, key string, b []byte) error {
	_, err := call(ctx, s.Client, toSink, "write "+key, func() (nothing, error) {
		return nothing{}, s.Server.WriteOnce(context.Background(), key, b)
	})
	return err
}

// Read implements sink.Sink.
func (s Sink) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	return call(ctx, s.Client, toSink, "read "+key, func() ([]byte, error) { return s.Server.Read(context.Background(), key, limit) })
}

// Put implements sink.Sink.
func (s Sink) Put(ctx context.Context, o sink.Object, r io.ReadSeeker) error {
	copied, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, err = call(ctx, s.Client, toSink, "put "+o.Key, func() (nothing, error) {
		return nothing{}, s.Server.Put(context.Background(), o, bytes.NewReader(copied))
	})
	return err
}

// Location implements sink.Sink.
func (s Sink) Location() string { return s.Server.Location() }

// MinPart implements sink.Sink.
func (s Sink) MinPart() int64 { return s.Server.MinPart() }
