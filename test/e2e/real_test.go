package e2e

import (
	"bytes"
	"testing"

	"github.com/standpipe/standpipe/test/e2e/harness"
)

// 76 MB of real lines, packed into records in every way producers do, through
// each codec: the bucket holds the same lines the same number of times, and
// each shard's in its order. Then once more as raw bytes.
func TestRealInputArrivesExactly(t *testing.T) {
	eachStack(t, func(t *testing.T, s *stack) {
		input := harness.RealInput(t, 0, 0, 0)
		want := harness.Multiset(input)
		stream := harness.CreateStream(t, s.kinesis, "real", 3)
		records := harness.Pack(input)
		if got := digestOf(records); got != want.Digest {
			t.Fatalf("packing changed the lines: %d became %d", want.Digest.Lines, got.Lines)
		}
		if err := (&harness.Producer{Stream: stream}).Put(limited(t, testLimit), records); err != nil {
			t.Fatal(err)
		}
		for _, codec := range []struct {
			name     string
			settings harness.Settings
			magic    string // an object's first bytes
		}{
			{"gzip", harness.Settings{Name: "real-gzip", CompressionFormat: "GZIP", SizeInMBs: 8}, "\x1f\x8b"},
			{"zstd", harness.Settings{Name: "real-zstd", Zstd: true, SizeInMBs: 8}, "\x28\xb5\x2f\xfd"},
			{"plain", harness.Settings{Name: "real-plain", SizeInMBs: 8}, "{"},
		} {
			t.Run(codec.name, func(t *testing.T) {
				delivery, archive := s.deliver(t, stream, codec.settings)
				settle(t, delivery.Start(t), archive, want)
				ordered(t, stream, archive)
				encoded(t, archive, codec.magic)
			})
		}
		t.Run("raw", func(t *testing.T) { rawBytes(t, s, stream) })
	})
}

// encoded checks that an object is stored in the codec that was configured.
func encoded(t *testing.T, a *harness.Archive, magic string) {
	t.Helper()
	key := a.Keys()[0]
	body, err := a.Get(limited(t, testLimit), key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(body, []byte(magic)) {
		t.Errorf("object %s begins with %q, want %q", key, body[:min(len(body), 4)], magic)
	}
}

// rawBytes: the objects of a shard joined in the order of its manifests are
// the records of the shard joined in theirs, byte for byte.
func rawBytes(t *testing.T, s *stack, stream *harness.Stream) {
	delivery, archive := s.deliver(t, stream, harness.Settings{Name: "real-raw", RecordFormat: "raw", CompressionFormat: "GZIP", SizeInMBs: 8})
	ctx := limited(t, testLimit)
	contents, err := stream.Contents(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := delivery.Start(t)
	text := map[string][]byte{}
	// Bytes without newlines between records have no lines to count: follow
	// the manifests instead.
	err = p.Until(ctx, "every byte delivered", func() error {
		if err := archive.Refresh(ctx); err != nil {
			return err
		}
		return archive.Covers(ctx, contents, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, p)
	for shard, records := range contents {
		if d := harness.DiffBytes(bytes.Join(records, nil), text[shard]); d != "" {
			t.Errorf("%s: %s", shard, d)
		}
	}
}
