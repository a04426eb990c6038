package compare

import (
	"context"
	"io"

	"github.com/standpipe/standpipe/archive"
)

const (
	probedObjects = 3
	probedBytes   = 256 << 10
)

// units decides whether records end at newlines alone. Both sides are cut
// alike, and cutting more finely makes nothing unequal; it only takes longer.
func (c *Config) units(ctx context.Context, inv *inventory) (json bool, err error) {
	if c.Records != Auto {
		return c.Records == JSON, nil
	}
	var d archive.Decoder
	defer d.Close()
	for _, side := range []Side{A, B} {
		for _, o := range inv.sample(side, probedObjects) {
			if joined := c.probe(ctx, &d, o); joined {
				return true, nil
			}
			if err := context.Cause(ctx); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// probe says whether an object has two JSON values on one line. What is wrong
// with an object is for the first pass to say.
func (c *Config) probe(ctx context.Context, d *archive.Decoder, o Object) (joined bool) {
	raw, _, err := c.Stores[o.Side].Open(ctx, o.Key)
	if err != nil {
		return false
	}
	defer raw.Close()
	plain, _, err := d.Decode(raw, o.Key)
	if err != nil {
		return false
	}
	defer plain.Close()
	head, err := io.ReadAll(io.LimitReader(plain, probedBytes))
	if err != nil && len(head) == 0 {
		return false
	}
	last, records := int64(0), 0
	s := splitter{json: true}
	_, _ = s.each(&memory{head}, func(_ []byte, at spot) {
		if at.line != last {
			last, records = at.line, 0
		}
		if records++; records > 1 {
			joined = true
		}
	})
	return joined
}

type memory struct{ b []byte }

func (m *memory) Read(p []byte) (int, error) {
	if len(m.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, m.b)
	m.b = m.b[n:]
	return n, nil
}
