package sink

import (
	"context"
	"io"
	"strings"
)

// Under is a sink whose keys all lie under prefix, which ends in a slash, of
// another sink. What its callers see has no prefix: an archive below it can be
// read, verified and moved on its own.
func Under(s Sink, prefix string) Sink { return under{s, prefix} }

type under struct {
	sink   Sink
	prefix string
}

func (u under) in(up Upload) Upload { up.Key = u.prefix + up.Key; return up }

func (u under) Begin(ctx context.Context, o Object) (Upload, error) {
	o.Key = u.prefix + o.Key
	up, err := u.sink.Begin(ctx, o)
	up.Key = strings.TrimPrefix(up.Key, u.prefix)
	return up, err
}

func (u under) Append(ctx context.Context, up Upload, n int, b Body) (Part, error) {
	return u.sink.Append(ctx, u.in(up), n, b)
}

func (u under) Publish(ctx context.Context, up Upload) error { return u.sink.Publish(ctx, u.in(up)) }

func (u under) Discard(ctx context.Context, up Upload) error { return u.sink.Discard(ctx, u.in(up)) }

func (u under) Probe(ctx context.Context, key string) (Info, error) {
	return u.sink.Probe(ctx, u.prefix+key)
}

func (u under) WriteOnce(ctx context.Context, key string, body []byte) error {
	return u.sink.WriteOnce(ctx, u.prefix+key, body)
}

func (u under) Read(ctx context.Context, key string, limit int64) ([]byte, error) {
	return u.sink.Read(ctx, u.prefix+key, limit)
}

func (u under) Put(ctx context.Context, o Object, body io.ReadSeeker) error {
	o.Key = u.prefix + o.Key
	return u.sink.Put(ctx, o, body)
}

func (u under) Location() string { return strings.TrimSuffix(u.sink.Location(), "/") + "/" + u.prefix }
func (u under) MinPart() int64   { return u.sink.MinPart() }
